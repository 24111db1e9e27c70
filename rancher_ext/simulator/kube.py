"""How does the plain Kubernetes API of one cluster answer over HTTP?

Verbs and query options of an API server in front of a `Store`: lists with selectors and paging, get, create, update, patch,
delete of one or of many, watch, `status`, `pods/log`, `pods/eviction`, SelfSubjectAccessReview. As in kube-apiserver 1.32:

- A resourceVersion that is no number fails with 500 and without a reason, before a watch begins to stream; one that is
  still to come with 504 and a `Retry-After`. `resourceVersionMatch` without a resourceVersion, and query options with
  unknown values (`dryRun=Some`), are 422 of a kind of their own. `limit=0` and below mean no limit.
- A PUT or PATCH of a collection, and whatever else a path does not have, is 405 with the same sentence everywhere.
- A client that takes no JSON gets 406, one that wants metadata alone gets it (`PartialObjectMetadata`).
- The body of a patch that is no JSON has another text than that of an object.
- Unknown fields come back as `Warning` headers, as does a Job's deletion that leaves its pods behind.
- Server-side apply needs a field manager, and answers 201 when it made the object.
- Who may not: the message names the subresource, its subject and the details do not; many at once is `deletecollection`.

Simplified: no Table and no protobuf (who asks for a Table alone is given the objects); impersonation does not exist; a watch
does not know `resourceVersionMatch`.
"""

import json
from typing import Any

import yaml

from rancher_ext.simulator import status as refuse
from rancher_ext.simulator.admission import Terms, terms_of
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.deletion import ORPHANS, warns
from rancher_ext.simulator.discovery import Target, discovery, target
from rancher_ext.simulator.faults import Faults
from rancher_ext.simulator.http import Answer, Ask, Json, as_json
from rancher_ext.simulator.podlogs import pod_log
from rancher_ext.simulator.records import STALE_FOR, Entry, encode
from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.selectors import Match, field_selector, label_selector
from rancher_ext.simulator.store import APPLY, Store
from rancher_ext.simulator.watching import Watch, WatchLimits, follow

__all__ = ["KubeApi", "WatchLimits"]

JSON_TYPES = ("application/json", "application/*", "*/*")
AVAILABLE = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
)
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class KubeApi:
    def __init__(self, clock: SimClock, faults: Faults, limits: WatchLimits) -> None:
        self._clock = clock
        self._faults = faults
        self._limits = limits

    async def handle(self, ask: Ask, path: str, store: Store, cluster: SimCluster | None) -> Answer:
        """`path` is what follows `/k8s/clusters/<id>`; `cluster` is None for `local`."""
        parts = [p for p in path.split("/") if p]
        if found := discovery(parts, store, cluster):
            return found
        if parts[:3] == ["apis", "authorization.k8s.io", "v1"] and parts[3:] == ["selfsubjectaccessreviews"]:
            return _access_review(ask)
        asked = target(parts, store)
        if isinstance(asked, Answer):
            return asked
        _authorize(ask, asked)
        shown = _representation(ask)
        if asked.sub == "log":
            if ask.method != "GET":
                raise refuse.method_not_allowed()
            return pod_log(ask, store, cluster, asked.namespace, asked.name)
        if asked.sub == "eviction":
            return _evict(ask, asked, store)
        if ask.method != "GET":
            return _write(ask, asked, store)
        if asked.name:
            return _get(ask, asked, store, self._clock.seconds(), shown)
        matches = _matches(ask, asked.resource)
        if ask.flag("watch"):
            wanted = _version(ask.one("resourceVersion"))
            lasts = ask.number("timeoutSeconds")
            bookmarks, initial = ask.flag("allowWatchBookmarks"), ask.flag("sendInitialEvents")
            watch = Watch(ask.path, asked.resource, asked.namespace, matches, wanted, lasts, bookmarks, initial)
            return Answer(stream=follow(watch, store, self._faults, self._limits))
        return _list(ask, asked, store, self._clock.seconds(), shown)


def _version(text: str) -> int:
    """0 when none is named: any will do."""
    if text and not text.isdigit():
        raise refuse.bad_version(text)
    return int(text or 0)


def _authorize(ask: Ask, target: Target) -> None:
    token = ask.token
    if token is None:
        return
    verb = VERBS.get(ask.method) or ("get" if target.name else "watch" if ask.flag("watch") else "list")
    if verb == "delete" and not target.name:
        verb = "deletecollection"
    resource = target.resource
    what = f"{resource.plural}/{target.sub}" if target.sub else resource.plural
    if token.refuses(verb, what, resource.group):
        raise refuse.forbidden(
            token.user, verb, resource.plural, resource.group, target.namespace, target.name, sub=target.sub
        )


def _access_review(ask: Ask) -> Answer:
    if ask.method != "POST":
        raise refuse.method_not_allowed()
    review = ask.json()
    attributes = ((review or {}).get("spec") or {}).get("resourceAttributes") or {}
    verb, resource = attributes.get("verb", ""), attributes.get("resource", "")
    if attributes.get("subresource"):
        resource += "/" + attributes["subresource"]
    token = ask.token
    allowed = token is not None and not token.refuses(verb, resource, attributes.get("group", ""))
    return as_json(
        {
            **review,
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "status": {"allowed": allowed},
        },
        201,
    )


def _matches(ask: Ask, resource: Resource) -> list[Match]:
    found: list[Match] = []
    if text := ask.one("labelSelector"):
        found += [m for m in [label_selector(text)] if m]
    if text := ask.one("fieldSelector"):
        found += [m for m in [field_selector(text, resource.kind, custom=resource.custom)] if m]
    return found


def _representation(ask: Ask) -> str:
    """What of an object is shown: all of it, or its metadata alone."""
    wanted = [each.strip().lower() for each in (ask.headers.get("accept") or "*/*").split(",")]
    for each in wanted:
        kind, *options = (part.strip() for part in each.split(";"))
        if kind in JSON_TYPES:
            asked = dict(option.partition("=")[::2] for option in options)
            return "metadata" if asked.get("as", "").startswith("partialobjectmetadata") else "all"
    raise refuse.not_acceptable(AVAILABLE)


def _metadata_alone(raw: bytes) -> bytes:
    metadata = json.loads(raw)["metadata"]
    return encode({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})


def _get(ask: Ask, target: Target, store: Store, now: float, shown: str) -> Answer:
    if (wanted := _version(ask.one("resourceVersion"))) > store.version:
        raise refuse.too_large_version(wanted, store.version)
    entry = store.get(target.resource, (target.namespace, target.name))
    raw = (_stale(entry, now) if ask.stale else entry).raw
    return Answer(body=_metadata_alone(raw) if shown == "metadata" else raw)


def _list(ask: Ask, target: Target, store: Store, now: float, shown: str) -> Answer:
    resource = target.resource
    exactly = _instant(ask, store)
    limit, matches = ask.number("limit") or 0, _matches(ask, resource)
    page = store.page(resource, target.namespace, matches, limit, ask.one("continue"), exactly=exactly)
    metadata: Json = {"resourceVersion": str(page.version)}
    if resource.custom:
        metadata["continue"] = ""
    if page.token:
        metadata["continue"] = page.token
        if not matches:
            # The API server cannot count what a selector leaves out.
            metadata["remainingItemCount"] = page.remaining
    entries = [_stale(e, now) if ask.stale else e for e in page.entries]
    kind, version = f"{resource.kind}List", resource.api_version
    show = [e.raw if resource.custom else e.item for e in entries]
    if shown == "metadata":
        kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        show = [_metadata_alone(e.raw) for e in entries]
    head = encode({"kind": kind, "apiVersion": version, "metadata": metadata})
    return Answer(body=head[:-1] + b',"items":[' + b",".join(show) + b"]}")


def _instant(ask: Ask, store: Store) -> int | None:
    """The version a list has to show; None is the present, or what its token says."""
    text, match = ask.one("resourceVersion"), ask.one("resourceVersionMatch")
    causes = []
    if match and not text:
        causes.append("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and ask.one("continue"):
        causes.append("Forbidden: resourceVersionMatch is forbidden when continue is provided")
    if match not in {"", "Exact", "NotOlderThan"}:
        causes.append(f'Unsupported value: {json.dumps(match)}: supported values: "Exact", "NotOlderThan", ""')
    if match == "Exact" and text == "0":
        causes.append('Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if causes:
        raise refuse.invalid_option("ListOptions", *(refuse.Cause("resourceVersionMatch", each) for each in causes))
    wanted = _version(text)
    if ask.one("continue"):
        if wanted:
            raise refuse.bad_request("specifying resource version is not allowed when using continue")
        return None
    if wanted > store.version:
        raise refuse.too_large_version(wanted, store.version)
    # Without a word on the match a limit makes it exact, as it was before that word existed.
    exact = match == "Exact" or (not match and (ask.number("limit") or 0) > 0)
    return wanted if wanted and exact else None


def _stale(entry: Entry, now: float) -> Entry:
    return Entry(entry.previous, None, now) if entry.previous and now - entry.changed_at < STALE_FOR else entry


def _evict(ask: Ask, target: Target, store: Store) -> Answer:
    """A deletion that budgets may forbid; there are none here."""
    if ask.method != "POST":
        raise refuse.method_not_allowed()
    terms_of("POST", "", ask.query.get("dryRun", []), "", apply=False, manager="")
    options = (ask.json() or {}).get("deleteOptions") or {}
    dry_run = ask.one("dryRun") == "All" or options.get("dryRun") == ["All"]
    store.delete(target.resource, (target.namespace, target.name), options, dry_run=dry_run)
    return as_json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _write(ask: Ask, target: Target, store: Store) -> Answer:
    resource, key = target.resource, (target.namespace, target.name)
    if ask.method not in VERBS or (ask.method != "DELETE" and (ask.method == "POST") == bool(target.name)):
        raise refuse.method_not_allowed()
    if ask.method != "DELETE" and resource.namespaced and not target.namespace:
        raise refuse.method_not_allowed()
    apply = ask.method == "PATCH" and ask.content_type == APPLY
    manager = ask.one("fieldManager") if apply else ask.manager
    asked = ask.query.get("dryRun", [])
    terms = terms_of(ask.method, target.sub, asked, ask.one("fieldValidation"), apply=apply, manager=manager)
    dry_run = bool(asked)
    if ask.method == "DELETE":
        return _delete(ask, target, store, dry_run=dry_run)
    if ask.method == "POST":
        made = store.create(resource, target.namespace, ask.json(), manager=manager, dry_run=dry_run, terms=terms)
        return _written(made, terms, 201)
    if ask.method == "PUT":
        return _written(store.update(resource, key, ask.json(), manager=manager, dry_run=dry_run, terms=terms), terms)
    new = apply and store.entry(resource, key) is None
    body = _yaml(ask.body) if apply else _patch_body(ask)
    done = store.patch(resource, key, ask.content_type, body, manager=manager, dry_run=dry_run, terms=terms)
    return _written(done, terms, 201 if new else 200)


def _written(obj: Json, terms: Terms, status: int = 200) -> Answer:
    return _warned(as_json(obj, status), terms.warnings)


def _warned(answer: Answer, warnings: list[str]) -> Answer:
    if warnings:
        answer.headers["Warning"] = ", ".join(f"299 - {json.dumps(each)}" for each in warnings)
    return answer


def _delete(ask: Ask, target: Target, store: Store, *, dry_run: bool) -> Answer:
    options = ask.json() or {}
    if not isinstance(options, dict):
        raise refuse.bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
    warnings = [ORPHANS] if warns(target.resource, options) else []
    if target.sub:
        raise refuse.method_not_allowed()
    dry_run = dry_run or options.get("dryRun") == ["All"]
    if target.name:
        gone = store.delete(target.resource, (target.namespace, target.name), options, dry_run=dry_run)
        return _warned(as_json(gone), warnings)
    resource = target.resource
    page = store.delete_all(resource, target.namespace, _matches(ask, resource), options, dry_run=dry_run)
    metadata: Json = {"resourceVersion": str(page.version)}
    items = [e.raw if resource.custom else e.item for e in page.entries]
    head = encode({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
    return _warned(Answer(body=head[:-1] + b',"items":[' + b",".join(items) + b"]}"), warnings)


def _patch_body(ask: Ask) -> Any:
    try:
        found = json.loads(ask.body)
    except ValueError:
        raise refuse.bad_request("error decoding patch: unexpected end of JSON input") from None
    if ask.content_type != "application/json-patch+json" and not isinstance(found, dict):
        kind = "array" if isinstance(found, list) else "string" if isinstance(found, str) else "number"
        why = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise refuse.bad_request(f"error decoding patch: {why}")
    return found


def _yaml(body: bytes) -> Json:
    try:
        found = yaml.safe_load(body)
    except yaml.YAMLError as e:
        raise refuse.bad_request(f"error decoding YAML: {e}") from None
    return found if isinstance(found, dict) else json.loads("{}")
