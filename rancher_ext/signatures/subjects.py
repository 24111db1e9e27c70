"""What do the expressions of all signatures say about each pod, node, DaemonSet and object?

Every object is turned into a CEL context once, all expressions that concern it are asked, and the context is thrown away:
a thousand nodes with their status are a lot of memory in that form.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.bundle.facts import ContainerFacts, DaemonSetFacts, Facts, NodeFacts, Place, PodFacts
from rancher_ext.bundle.origin import workload_of_pod
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.expressions import Subject, evaluate
from rancher_ext.signatures.patterns import found_in
from rancher_ext.signatures.predicate_schema import (
    AgePredicate,
    AnyPredicate,
    DaemonSetPredicate,
    NodePredicate,
    ObjectPredicate,
    ObjectWhere,
    Of,
    PodPredicate,
)


@dataclass
class Asked:
    """How many said yes or no or could not tell, who, and where that stands. `listed`: evidence has a listing of that kind."""

    yes: int = 0
    no: int = 0
    unknown: int = 0
    listed: bool = False
    places: list[tuple[Place, ...]] = field(default_factory=list)
    by_name: dict[str, tuple[Truth, tuple[Place, ...]]] = field(default_factory=dict)

    def note(self, name: str, truth: Truth, places: tuple[Place, ...]) -> None:
        if truth is Truth.TRUE:
            self.yes += 1
            self.places.append(places)
        elif truth is Truth.FALSE:
            self.no += 1
        else:
            self.unknown += 1
        self.by_name[name] = (truth, places)


_Key = tuple[str, Of | None]
_AgeRow = tuple[int | None, Truth, Place]


class Questions:
    """Asks every expression of the given predicates when the first answer is wanted."""

    def __init__(self, facts: Facts, predicates: Iterable[AnyPredicate]) -> None:
        self._facts = facts
        wanted = list(predicates)
        self._pods = _Expressions((p.pod, p.of) for p in wanted if isinstance(p, PodPredicate))
        self._nodes = _Expressions((p.node, None) for p in wanted if isinstance(p, NodePredicate))
        self._daemonsets = _Expressions((p.daemonset, p.of) for p in wanted if isinstance(p, DaemonSetPredicate))
        self._ages: dict[AgePredicate, list[_AgeRow]] = {}
        self._objects: dict[ObjectWhere, Asked] = {}

    def answers(self, predicate: PodPredicate | NodePredicate | DaemonSetPredicate) -> Asked:
        match predicate:
            case PodPredicate():
                return self._pods.answer((predicate.pod, predicate.of), self._pod_subjects, "Pod" in self._facts.listed)
            case NodePredicate():
                return self._nodes.answer((predicate.node, None), self._node_subjects, "Node" in self._facts.listed)
            case DaemonSetPredicate():
                key = (predicate.daemonset, predicate.of)
                return self._daemonsets.answer(key, self._daemonset_subjects, "DaemonSet" in self._facts.listed)

    def ages(self, predicate: AgePredicate) -> list[_AgeRow]:
        """Age, whether the expression holds, and place, of every node or pod."""
        rows = self._ages.get(predicate)
        if rows is None:
            subjects = self._node_subjects() if predicate.age.of == "node" else self._pod_subjects()
            where = predicate.age.where
            rows = [
                (subject.variables.get("age"), Truth.TRUE if where is None else evaluate(where, subject), place)
                for subject, place, _, _ in subjects
            ]
            self._ages[predicate] = rows
        return rows

    def objects(self, predicate: ObjectPredicate) -> Asked:
        where = predicate.object
        asked = self._objects.get(where)
        if asked is None:
            asked = Asked(listed=where.kind in self._facts.listed)
            for fact in self._facts.objects:
                if fact.kind != where.kind:
                    continue
                if where.name is not None and not found_in(where.name, fact.name):
                    continue
                if where.namespace is not None and fact.namespace not in where.namespace:
                    continue
                subject = Subject({"object": fact.object}, complete=True)
                asked.note(fact.name, Truth.TRUE if where.where is None else evaluate(where.where, subject), (fact.at,))
            self._objects[where] = asked
        return asked

    def _pod_subjects(self) -> Iterator["_Row"]:
        for pod in self._facts.pods:
            yield pod_subject(pod), pod.at, pod.name, pod.namespace

    def _node_subjects(self) -> Iterator["_Row"]:
        for node in self._facts.nodes:
            yield node_subject(node), node.at, node.name, None

    def _daemonset_subjects(self) -> Iterator["_Row"]:
        linux = sum(node.os != "windows" for node in self._facts.nodes) or None
        for daemonset in self._facts.daemonsets:
            yield daemonset_subject(daemonset, linux), daemonset.at, daemonset.name, daemonset.namespace


_Row = tuple[Subject, Place, str, str | None]


class _Expressions:
    """The expressions asked of one kind, and their answers."""

    def __init__(self, keys: Iterable[_Key]) -> None:
        self._keys: Sequence[_Key] = tuple(dict.fromkeys(keys))
        self._answers: dict[_Key, Asked] | None = None

    def answer(self, key: _Key, subjects: Callable[[], Iterable[_Row]], listed: bool) -> Asked:
        if self._answers is None:
            self._answers = {known: Asked(listed=listed) for known in self._keys}
            for subject, place, name, namespace in subjects():
                context: Any = None
                for known in self._keys:
                    if not selected(known[1], name, namespace):
                        continue
                    context = subject.context() if context is None else context
                    self._answers[known].note(name, evaluate(known[0], subject, context), (place,))
        return self._answers[key]


def selected(of: Of | None, name: str, namespace: str | None) -> bool:
    """Does an expression concern a pod or DaemonSet of this name? An unknown namespace is not held against it."""
    if of is None:
        return True
    if of.workload is not None and workload_of_pod(name) not in {workload.value for workload in of.workload}:
        return False
    if of.namespace is not None and namespace is not None and namespace not in of.namespace:
        return False
    return of.name is None or found_in(of.name, name)


def pod_subject(pod: PodFacts) -> Subject:
    containers = {container.name: _container(container) for container in pod.containers}
    variables: Mapping[str, Any] = {
        "pod": pod.object,
        "name": pod.name,
        "nodeName": pod.node,
        "status": pod.status,
        "ready": pod.ready,
        "total": pod.total,
        "restarts": pod.restarts,
        "age": pod.age,
    }
    return Subject(variables, {"container": containers.get}, complete=pod.complete)


def _container(container: ContainerFacts) -> Mapping[str, Any]:
    values = {
        "ready": container.ready,
        "restarts": container.restarts,
        "state": container.state,
        "reason": container.reason,
        "message": container.message,
        "exitCode": container.exit_code,
        "lastReason": container.last_reason,
        "lastMessage": container.last_message,
        "lastExitCode": container.last_exit_code,
        "image": container.image,
    }
    return {key: value for key, value in values.items() if value is not None}


def node_subject(node: NodeFacts) -> Subject:
    conditions = {
        condition.type: {
            key: value
            for key, value in (
                ("status", condition.status),
                ("reason", condition.reason),
                ("message", condition.message),
            )
            if value is not None
        }
        for condition in node.conditions
    }
    taints = None if node.taints is None else {taint.key for taint in node.taints}

    def taint(key: str) -> bool | None:
        return None if taints is None else key in taints

    def annotation(key: str) -> str | None:
        return None if node.annotations is None else node.annotations.get(key, "")

    def label(key: str) -> str | None:
        return None if node.labels is None else node.labels.get(key, "")

    variables: Mapping[str, Any] = {
        "node": node.object,
        "name": node.name,
        "ready": node.ready,
        "podCIDR": node.pod_cidr or ("" if node.complete else None),
        "os": node.os,
        "osImage": node.os_image,
        "kernel": node.kernel,
        "kubelet": node.kubelet,
        "internalIP": node.internal_ip,
        "age": node.age,
    }
    functions: dict[str, Callable[..., Any]] = {
        "taint": taint,
        "condition": conditions.get,
        "annotation": annotation,
        "label": label,
    }
    return Subject(variables, functions, complete=node.complete)


def daemonset_subject(daemonset: DaemonSetFacts, linux_nodes: int | None) -> Subject:
    variables: Mapping[str, Any] = {
        "daemonset": daemonset.object,
        "name": daemonset.name,
        "desired": daemonset.desired,
        "current": daemonset.current,
        "ready": daemonset.ready,
        "available": daemonset.available,
        "misscheduled": daemonset.misscheduled,
        "linuxNodes": linux_nodes,
    }
    return Subject(variables, complete=daemonset.complete)
