"""How does Rancher's newer API, Steve (`/v1`), answer?

Lists in its collection shape, single objects with `metadata.state`, PATCH as JSON Patch only (as up to 2.13), PUT with a
resourceVersion, and no writes to management.cattle.io except settings. Errors have Steve's own shape. Types a user may
not see are 404, as in the original.
Simplified: no websocket, no `include`/`exclude`, `filter` on metadata.name and metadata.namespace only.
"""

from typing import Any

from rancher_ext.simulator.conditions import computed_state
from rancher_ext.simulator.http import Answer, Ask, Json, as_json
from rancher_ext.simulator.records import Entry
from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.selectors import label_selector
from rancher_ext.simulator.status import ApiStatus
from rancher_ext.simulator.store import Store


class SteveApi:
    """One for each `/v1`: that of `local` and that behind the proxy."""

    def __init__(self, rancher_version: str) -> None:
        minor = int(rancher_version.removeprefix("v").split(".")[1])
        self._sql_cache = minor >= 12  # `limit` and `continue` are not read any more from 2.12 on

    def handle(self, ask: Ask, path: str, store: Store, prefix: str) -> Answer:
        """`prefix` is what stands before `/v1` in links."""
        parts = [p for p in path.split("/") if p][1:]
        resource = self._resource(parts[0], store) if parts else None
        if resource is None or len(parts) > 3:
            return _error(404, "NotFound", "the server could not find the requested resource")
        if ask.token and resource.plural in ask.token.deny:
            return _error(404, "NotFound", "the server could not find the requested resource")
        base = f"{ask.base_url}{prefix}/v1/{parts[0]}"
        rest = parts[1:]
        try:
            if not rest or (len(rest) == 1 and resource.namespaced):
                if ask.method != "GET":
                    return _error(405, "MethodNotAllow", f"Method {ask.method} not supported")
                return self._list(ask, store, resource, rest[0] if rest else "", base)
            key = (rest[0], rest[1]) if resource.namespaced else ("", rest[0])
            return self._one(ask, store, resource, key, base)
        except ApiStatus as e:
            return _error(e.code, str(e.body["reason"]), str(e.body["message"]))

    def _resource(self, name: str, store: Store) -> Resource | None:
        for resource in store.resources.values():
            plural = f"{resource.group}.{resource.plural}" if resource.group else resource.plural
            if name in {plural, resource.steve}:
                return resource
        return None

    def _list(self, ask: Ask, store: Store, resource: Resource, namespace: str, base: str) -> Answer:
        matches = []
        if text := ask.one("labelSelector"):
            matches += [m for m in [label_selector(text)] if m]
        for text in ask.query.get("filter", []):
            matches.append(self._filter(text))
        limit = 0 if self._sql_cache else ask.number("limit") or 0
        token = "" if self._sql_cache else ask.one("continue")
        page = store.page(resource, namespace, matches, limit, token)
        entries, size = page.entries, ask.number("pagesize") or 0
        body: Json = {
            "type": "collection",
            "resourceType": resource.steve,
            "revision": str(page.version),
            "count": len(entries),
            "links": {"self": base},
            "createTypes": {resource.steve: base},
            "actions": {},
        }
        if size:
            number = max(ask.number("page") or 1, 1)
            body["pages"] = -(-len(entries) // size)
            entries = entries[(number - 1) * size : number * size]
        if page.token:
            body["continue"] = page.token
        body["data"] = [_shape(e.obj, resource, base) for e in entries]
        return as_json(body)

    def _filter(self, text: str) -> Any:
        name, _, value = text.partition("=")
        exact = self._sql_cache or value.startswith("'")
        value = value.strip("'")
        field = name.removeprefix("metadata.")
        if field not in {"name", "namespace"}:
            raise ApiStatus(400, "InvalidQuery", f"column is invalid [{name}]: supplied column is invalid")
        return lambda obj: (obj["metadata"].get(field) == value) if exact else value in obj["metadata"].get(field, "")

    def _one(self, ask: Ask, store: Store, resource: Resource, key: tuple[str, str], base: str) -> Answer:
        entry: Entry = store.get(resource, key)
        if ask.method == "GET":
            obj = entry.previous if ask.stale and entry.previous else entry.obj
            return as_json(_shape(obj, resource, base))
        if ask.token and ask.token.read_only:
            return _error(403, "Forbidden", f"{resource.plural} is forbidden: User {ask.user!r} may not {ask.method}")
        if resource.group == "management.cattle.io" and resource.plural not in {"settings", "features"}:
            return _error(405, "MethodNotAllow", f"Method {ask.method} not supported")
        if ask.method == "PATCH":
            if ask.content_type != "application/json-patch+json":
                # Anything else is sent on as a strategic merge patch, which CRDs refuse.
                return _error(
                    415,
                    "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                )
            obj = store.patch(resource, key, ask.content_type, ask.json(), manager="rancher")
            return as_json(_shape(obj, resource, base))
        if ask.method == "PUT":
            body = ask.json()
            metadata = {
                k: v for k, v in (body.get("metadata") or {}).items() if k not in {"fields", "relationships", "state"}
            }
            if not metadata.get("resourceVersion"):
                return _error(422, "InvalidBodyContent", "metadata.resourceVersion is required for update")
            clean = {k: v for k, v in body.items() if k not in {"id", "type", "links", "actions"}}
            obj = store.update(resource, key, {**clean, "metadata": metadata}, manager="rancher")
            return as_json(_shape(obj, resource, base))
        if ask.method == "DELETE":
            store.delete(resource, key, {})
            return Answer(204)
        return _error(405, "MethodNotAllow", f"Method {ask.method} not supported")


def _shape(obj: Json, resource: Resource, base: str) -> Json:
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    identifier = f"{namespace}/{name}" if namespace else name
    conditions = (obj.get("status") or {}).get("conditions") or []
    state = computed_state(conditions, removing="deletionTimestamp" in metadata)
    link = f"{base}/{identifier}"
    links = {"self": link, "view": link, "update": link, "patch": link, "remove": link}
    if resource.group == "management.cattle.io" and resource.plural not in {"settings", "features"}:
        links = {"self": link, "view": link, "update": "blocked", "remove": "blocked"}
    shaped = {
        **metadata,
        "fields": [name],
        "relationships": None,
        "state": {
            "name": state.name,
            "error": state.error,
            "transitioning": state.transitioning,
            "message": state.message,
        },
    }
    found = {"id": identifier, "type": resource.steve, "links": links, **obj, "metadata": shaped}
    if resource.kind in {"Secret", "Event"} and "type" in obj:
        # Steve's own `type` wins; the object's is moved aside.
        found["_type"], found["type"] = obj["type"], resource.steve
    return found


def _error(status: int, code: str, message: str) -> Answer:
    return as_json({"type": "error", "links": {}, "code": code, "status": status, "message": message}, status)
