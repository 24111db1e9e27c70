"""Which nodes does a finding concern, and what have they in common that the others have not?

"All 12 el10 nodes, none elsewhere" is half a diagnosis. It is said only when it is known: a node of which nothing was
collected is neither affected nor spared.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rancher_ext.bundle.facts import NodeFacts
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.predicate_schema import AnyPredicate
from rancher_ext.signatures.seen import Seen

# Names of nodes in a sentence; the JSON has them all.
_NAMED = 4


@dataclass(frozen=True)
class Affected:
    """`nodes` are concerned; of `known` nodes `unseen` have no evidence that would tell. `group` is what only they share."""

    nodes: tuple[str, ...]
    known: int
    unseen: int
    group: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return {
            "nodes": list(self.nodes),
            "known": self.known,
            "unseen": self.unseen,
            "group": self.group or None,
            "text": self.text,
        }


def affected(
    seen: Seen, needed: Sequence[AnyPredicate], fitting: Sequence[AnyPredicate], nodes: Sequence[NodeFacts]
) -> Affected | None:
    """The nodes on which all of `needed` and one of `fitting` hold; None when the evidence belongs to no node."""
    whole = [answers for predicate in needed if (answers := _told(seen, predicate))]
    some = [answers for predicate in fitting if (answers := _told(seen, predicate))]
    if not whole and not some:
        return None
    truths: dict[str, Truth] = {}
    for name in seen.nodes:
        checks = [answers.get(name, Truth.UNKNOWN) for answers in whole]
        if some:
            checks.append(Truth.any(answers.get(name, Truth.UNKNOWN) for answers in some))
        truths[name] = Truth.all(checks)
    hit = tuple(name for name in seen.nodes if truths[name] is Truth.TRUE)
    if not hit:
        return None
    unseen = sum(truth is Truth.UNKNOWN for truth in truths.values())
    spared = [name for name, truth in truths.items() if truth is Truth.FALSE]
    group = _shared_by(hit, [*hit, *spared], {node.name: node for node in nodes})
    return Affected(hit, len(truths), unseen, group, _text(hit, spared, unseen, group))


def _told(seen: Seen, predicate: AnyPredicate) -> Mapping[str, Truth]:
    """The nodes' answers, when at least one of them says yes: a predicate about the whole cluster separates no nodes."""
    answers = {name: answer.truth for name, answer in seen.by(predicate, "node").items()}
    return answers if Truth.TRUE in answers.values() else {}


def _text(hit: Sequence[str], spared: Sequence[str], unseen: int, group: str) -> str:
    rest = f"; nothing tells about {'one more node' if unseen == 1 else f'{unseen} more nodes'}" if unseen else ""
    if not spared:
        if len(hit) == 1:
            return f"node {hit[0]}{rest}"
        return (f"all {len(hit)} nodes that were looked at" if unseen else f"all {len(hit)} nodes") + rest
    if group:
        who = f"all {len(hit)} {group} nodes" if len(hit) > 1 else f"the one {group} node, {hit[0]}"
        if not unseen:
            return f"{who}, none elsewhere"
        others = "not the other one" if len(spared) == 1 else f"none of {len(spared)} others"
        return f"{who}, {others}{rest}"
    names = ", ".join(hit[:_NAMED]) + (f" and {len(hit) - _NAMED} more" if len(hit) > _NAMED else "")
    return f"{len(hit)} of {len(hit) + len(spared)} nodes: {names}{rest}"


def _shared_by(hit: Iterable[str], looked_at: Iterable[str], nodes: Mapping[str, NodeFacts]) -> str:
    """What all of these have and none of the others, in words that go before `nodes`; the plainest difference first."""
    inside, everyone = set(hit), set(looked_at)
    for words in _TRAITS:
        traits = {name: words(nodes[name]) if name in nodes else None for name in everyone}
        if None in traits.values():
            continue
        own = {traits[name] for name in inside}
        if len(own) == 1 and not own & {traits[name] for name in everyone - inside}:
            return str(own.pop())
    return ""


def _system(node: NodeFacts) -> str | None:
    return {"windows": "Windows", "linux": "Linux"}.get(node.os or "")


def _enterprise_linux(node: NodeFacts) -> str | None:
    found = re.search(r"[.](el\d+)", node.kernel or "")
    return found[1] if found else ("not el" if node.kernel else None)


def _release(node: NodeFacts) -> str | None:
    """`Rocky Linux 10` of `Rocky Linux 10.1 (Red Quartz)`."""
    found = re.match(r"(.*?\d+)(?:\.\d+)*\b", node.os_image or "")
    return found[1].strip() if found else node.os_image


def _info(key: str, words: str) -> Callable[[NodeFacts], str | None]:
    def trait(node: NodeFacts) -> str | None:
        status = node.object.get("status")
        info = status.get("nodeInfo") if isinstance(status, Mapping) else None
        value = info.get(key) if isinstance(info, Mapping) else None
        return words.format(value) if isinstance(value, str) and value else None

    return trait


def _label(key: str, words: str) -> Callable[[NodeFacts], str | None]:
    def trait(node: NodeFacts) -> str | None:
        return None if node.labels is None else words.format(node.labels.get(key) or "none")

    return trait


def _role(node: NodeFacts) -> str | None:
    if node.labels is None:
        return None
    roles = {key.partition("/")[2] for key in node.labels if key.startswith("node-role.kubernetes.io/")}
    return "control plane" if roles & {"control-plane", "controlplane", "master"} else "worker"


_TRAITS: tuple[Callable[[NodeFacts], str | None], ...] = (
    _system,
    _enterprise_linux,
    _release,
    lambda node: node.os_image,
    _info("architecture", "{}"),
    lambda node: f"kernel {node.kernel}" if node.kernel else None,
    _info("containerRuntimeVersion", "{}"),
    lambda node: f"kubelet {node.kubelet}" if node.kubelet else None,
    _role,
    _label("rke.cattle.io/rke-machine-pool-name", "pool {}"),
    _label("topology.kubernetes.io/zone", "zone {}"),
    _label("node.kubernetes.io/instance-type", "{}"),
)
