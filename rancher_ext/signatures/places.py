"""Which node, and which pod, does a piece of evidence belong to?"""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from rancher_ext.bundle.facts import EventFact, Facts
from rancher_ext.bundle.origin import Origin, OriginKind

_LOGS = frozenset({OriginKind.CONTAINER, OriginKind.UNIT})


class Places:
    """The nodes and pods of a bundle by their names. `by` is `node` or `pod` throughout."""

    def __init__(self, facts: Facts, origins: Mapping[str, Origin]) -> None:
        self._facts = facts
        self._origins = origins

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node that the evidence names."""
        found = [node.name for node in self._facts.nodes]
        found += self.node_of.values()
        found += [self._known_as(origin.node) for origin in self._origins.values() if origin.node]
        return tuple(dict.fromkeys(found))

    @cached_property
    def pods(self) -> tuple[str, ...]:
        found = [pod.name for pod in self._facts.pods]
        found += [origin.pod for origin in self._origins.values() if origin.pod]
        return tuple(dict.fromkeys(found))

    @cached_property
    def node_of(self) -> Mapping[str, str]:
        """The node of each pod that has one."""
        return {pod.name: self._known_as(pod.node) for pod in self._facts.pods if pod.node}

    def names(self, by: str) -> tuple[str, ...]:
        return self.nodes if by == "node" else self.pods

    def of_log(self, path: str, by: str) -> str | None:
        """Whose words are in this file?"""
        origin = self._origins[path]
        if origin.kind not in _LOGS:
            return None
        if by == "pod":
            return origin.pod
        return self._known_as(origin.node) if origin.node else self.node_of.get(origin.pod or "")

    def of_event(self, event: EventFact, by: str) -> str | None:
        if event.name is None or event.kind not in {"Pod", "Node"}:
            return None
        if by == "pod":
            return event.name if event.kind == "Pod" else None
        return self._known_as(event.name) if event.kind == "Node" else self.node_of.get(event.name)

    def _known_as(self, host: str) -> str:
        """The node's name in the API: folders of logs go by the host's name, which may have a domain or lack it."""
        return host if host in self._names else self._short_names.get(_short(host), host)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(node.name for node in self._facts.nodes)

    @cached_property
    def _short_names(self) -> Mapping[str, str]:
        counts = Counter(_short(name) for name in self._names)
        # Two nodes of one short name are told apart by nothing but their domain.
        return {_short(name): name for name in self._names if counts[_short(name)] == 1}


def _short(host: str) -> str:
    first = host.partition(".")[0].lower()
    # The first number of an address is no host's name.
    return host if first.isdigit() else first
