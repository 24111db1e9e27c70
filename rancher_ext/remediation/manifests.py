"""How do we put documents of our own into a cluster's `additionalManifest`, and take out just these?

Rancher writes that text to a file on the control plane nodes, and the distribution applies it there: it works while nobody
reaches the cluster. The text belongs to people. Ours stands at its end as blocks between two comment lines, so that they can
be found again; theirs is never rewritten. A document that leaves the text takes its objects with it (rancher-api 4.3):
therefore custom resource definitions, which would take everybody's data along, go in as a block of their own that stays.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rancher_ext.client.changes import ABSENT, Place, Value
from rancher_ext.client.kubernetes import CRDS, DAEMON_SETS, Resource
from rancher_ext.errors import ConfigError
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, StepResult, Target, Write, apply
from rancher_ext.remediation.spec import RKE_CONFIG, change_of

PATH = (*RKE_CONFIG, "additionalManifest")
BEGIN = "# drover:begin "
END = "# drover:end "
_STAYING = "CustomResourceDefinition"
# The kinds that shipped manifests have, for making them directly.
_RESOURCES: Mapping[str, Resource] = {
    _STAYING: CRDS,
    "DaemonSet": DAEMON_SETS,
    "ClusterRole": Resource("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False),
    "ClusterRoleBinding": Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", namespaced=False),
}
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Manifest:
    """Documents under one name, and their text as it is written."""

    name: str
    text: str
    documents: tuple[Mapping[str, Any], ...]

    @property
    def stays(self) -> bool:
        """Taking a definition out deletes all objects of its kind."""
        return any(document.get("kind") == _STAYING for document in self.documents)

    @property
    def block(self) -> str:
        # The separator stands inside, so that taking the block out leaves the neighbours as they were.
        return f"{BEGIN}{self.name}\n---\n{self.text.strip()}\n{END}{self.name}\n"

    @classmethod
    def of(cls, name: str, documents: Sequence[Mapping[str, Any]]) -> "Manifest":
        # A copy without shared parts: YAML would write those as references, which nobody wants to review.
        plain = json.loads(json.dumps(documents))
        return cls(name, yaml.safe_dump_all(plain, sort_keys=True, default_flow_style=False, width=1000), tuple(plain))


@cache
def shipped(name: str) -> Manifest:
    """A manifest of `config/manifests/`. A name that does not exist is a fault of the playbook that says it."""
    for folder in (_PACKAGE / "shipped_config", _PACKAGE.parent / "config"):
        path = folder / "manifests" / f"{name}.yaml"
        if path.is_file():
            written = path.read_text(encoding="utf-8")
            documents = tuple(document for document in yaml.safe_load_all(written) if document)
            lines = written.splitlines(keepends=True)
            while lines and (lines[0].startswith("#") or lines[0].strip() in {"", "---"}):
                lines.pop(0)
            return Manifest(name, "".join(lines), documents)
    raise ConfigError(
        f"there is no shipped manifest {name!r}",
        cure="Look into config/manifests/ and mend the playbook that names it.",
    )


def for_chart(manifest: Manifest, chart: str) -> Manifest:
    """The same documents as a chart's own: helm refuses to install over objects that do not say they are its."""
    documents = []
    for document in manifest.documents:
        metadata = dict(mapping(document, "metadata"))
        metadata["labels"] = {**mapping(metadata, "labels"), "app.kubernetes.io/managed-by": "Helm"}
        metadata["annotations"] = {
            **mapping(metadata, "annotations"),
            "meta.helm.sh/release-name": chart,
            "meta.helm.sh/release-namespace": "kube-system",
        }
        documents.append({**document, "metadata": metadata})
    return Manifest.of(manifest.name, documents)


def creation(document: Mapping[str, Any]) -> Change:
    """The making of one object in the cluster itself. A definition stays whatever comes after."""
    _, kind, namespace, name = key_of(document)
    place = Place(_RESOURCES[kind], namespace, name, ())
    after = Value(present=True, value=dict(document))
    return Change(place, "", ABSENT, after, downstream=True, stays=kind == _STAYING)


def key_of(document: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What makes two documents the same object: group, kind, namespace, name."""
    metadata = mapping(document, "metadata")
    group = text(document.get("apiVersion")).rpartition("/")[0]
    return group, text(document.get("kind")), text(metadata.get("namespace")), text(metadata.get("name"))


def documents_of(present: str) -> list[Mapping[str, Any]] | NotPossible:
    """The documents of a text, or why they cannot be read: a file with one bad document is not applied at all."""
    try:
        documents = [each for each in yaml.safe_load_all(present) if each is not None]
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError is a date that does not exist, written without quotes.
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" at its line {line + 1}" if line is not None else ""
        return NotPossible(f"additionalManifest is not valid YAML{where}: mend it first, nothing after it is applied")
    if not all(isinstance(each, Mapping) and each.get("kind") for each in documents):
        return NotPossible("additionalManifest has a document that is no Kubernetes object: mend it first")
    return documents


def present_text(item: Mapping[str, Any]) -> str:
    return text(mapping(item, *RKE_CONFIG).get("additionalManifest"))


def with_block(present: str, manifest: Manifest) -> str:
    """The text with our block at its end."""
    glue = "" if not present or present.endswith("\n") else "\n"
    return f"{present}{glue}{manifest.block}"


def has_block(present: str, manifest: Manifest) -> bool:
    return manifest.block in present


def append_changes(
    target: Target, item: Mapping[str, Any], manifests: Iterable[Manifest]
) -> tuple[Change, ...] | NotPossible:
    """One change per block, each built on the one before. Blocks that are there already are left out."""
    present = present_text(item)
    documents = documents_of(present)
    if isinstance(documents, NotPossible):
        return documents
    taken = {key_of(document) for document in documents}
    missing = [manifest for manifest in manifests if not has_block(present, manifest)]
    for manifest in missing:
        if f"{BEGIN}{manifest.name}\n" in present:
            return NotPossible(
                f"additionalManifest has an older block of Drover named {manifest.name}: take it out first"
            )
        twice = next((key_of(each) for each in manifest.documents if key_of(each) in taken), None)
        if twice:
            return NotPossible(f"additionalManifest already has {twice[1]} {twice[3]}: two sources would fight over it")
    # What stays comes first: an undo goes backwards and ends above it.
    changes: list[Change] = []
    before = Value.of(item, PATH)
    for manifest in sorted(missing, key=lambda each: not each.stays):
        present = with_block(present, manifest)
        after = Value(present=True, value=present)
        change = change_of(target, item, PATH, after, stays=manifest.stays)
        changes.append(Change(change.place, change.uid, before, after, stays=manifest.stays))
        before = after
    return tuple(changes)


def apply_block(target: Target, write: Write) -> StepResult:
    """Write a block, or find it written: after a crash the text may already hold the blocks that come after this one."""
    if isinstance(write, Change) and write.place.path == PATH and write.after.present:
        place = write.place
        now = Value.of(target.local.get(place.resource, place.name, place.namespace), PATH)
        earlier = write.before.value if write.before.present else ""
        added = str(write.after.value).removeprefix(str(earlier)).strip("\n")
        if added and now.present and now.value != write.after.value and f"{added}\n" in str(now.value):
            return StepResult(wrote=False, seen=f"{place}: the block is there already")
    return apply(target, write)


def block_diff(manifests: Iterable[Manifest]) -> str:
    """What a reviewer reads: our lines alone. The text around them may hold what is nobody's business.

    Definitions are named only: they all look alike, and their text is covered by the plan's digest like any other.
    """
    lines = [" rkeConfig:", "   additionalManifest: |"]
    for manifest in manifests:
        if manifest.stays:
            lines += [f"+    {BEGIN}{manifest.name}"]
            lines += [f"+    {kind} {name}" for _, kind, _, name in map(key_of, manifest.documents)]
            lines += [f"+    {END}{manifest.name}"]
        else:
            lines += [f"+    {line}".rstrip() for line in manifest.block.splitlines()]
    return "\n".join(lines)


def named(documents: Iterable[Mapping[str, Any]], *, most: int = 4) -> str:
    """The objects for a sentence: `ClusterRole drover-canal, …`."""
    words = [f"{kind} {name}" for _, kind, _, name in map(key_of, documents)]
    if len(words) > most:
        return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
