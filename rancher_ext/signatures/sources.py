"""Is this the log, the event or the condition that a predicate asks for?"""

from collections.abc import Mapping, Sequence

from rancher_ext.bundle.facts import ConditionFact, EventFact
from rancher_ext.bundle.origin import K3S_UNITS, RKE2_UNITS, Origin, OriginKind
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.patterns import found_in
from rancher_ext.signatures.predicate_schema import ConditionWhere, EventWhere, From, Workload, duration_seconds
from rancher_ext.signatures.times import last_seen

LOG_KINDS = frozenset({OriginKind.CONTAINER, OriginKind.UNIT, OriginKind.HELM, OriginKind.UNKNOWN})

# Node logs in which the words of a workload stand, where it is not a pod.
_UNITS_OF: Mapping[Workload, frozenset[str]] = {
    Workload.CNI: K3S_UNITS | {"flanneld"},
    Workload.KUBE_PROXY: K3S_UNITS | {"kube-proxy"},
    Workload.NODE_AGENT: frozenset({"rancher-agent"}),
    Workload.KUBE_APISERVER: frozenset({"kube-apiserver"}),
    Workload.KUBE_CONTROLLER_MANAGER: K3S_UNITS | {"kube-controller-manager"},
    Workload.CLOUD_CONTROLLER_MANAGER: K3S_UNITS | {"cloud-controller-manager"},
    Workload.ETCD: frozenset({"etcd"}),
}
_UNITS_ALSO: Mapping[str, frozenset[str]] = {
    "kubelet": K3S_UNITS | RKE2_UNITS,
    "kube-proxy": K3S_UNITS,
    "k3s": K3S_UNITS,
    "containerd": frozenset(),
}


def fits_from(origin: Origin, froms: Sequence[From] | None, distribution: str = "unknown") -> Truth:
    """Do lines of this origin come from there? Unknown where the origin does not tell."""
    if not froms:
        return Truth.TRUE
    return Truth.any(_fits_one(origin, wanted, distribution) for wanted in froms)


def _fits_one(origin: Origin, wanted: From, distribution: str) -> Truth:
    checks: list[Truth] = []
    in_one_process = False
    if wanted.previous is not None and origin.kind is not OriginKind.UNKNOWN:
        checks.append(Truth.of(origin.previous == wanted.previous))
    if wanted.workload is not None:
        fits = Truth.any(_fits_workload(origin, workload, distribution) for workload in wanted.workload)
        in_one_process = origin.kind is OriginKind.UNIT and fits is not Truth.FALSE
        checks.append(fits)
    if wanted.unit is not None:
        checks.append(Truth.any(_fits_unit(origin, unit) for unit in wanted.unit))
    if wanted.container is not None and not in_one_process:
        checks.append(_fits_name(origin, origin.container, wanted.container))
    if wanted.namespace is not None and not in_one_process:
        checks.append(_fits_name(origin, origin.namespace, wanted.namespace))
    if wanted.node is not None:
        checks.append(Truth.UNKNOWN if origin.node is None else Truth.of(found_in(wanted.node, origin.node)))
    return Truth.all(checks)


def _fits_workload(origin: Origin, workload: Workload, distribution: str) -> Truth:
    if origin.kind is OriginKind.UNKNOWN:
        return Truth.UNKNOWN
    if origin.kind is OriginKind.UNIT and origin.unit is not None:
        units = _UNITS_OF.get(workload, frozenset())
        if origin.unit == "kubelet" and units & K3S_UNITS:
            # A K3s journal is often kept as the kubelet's log.
            return Truth.of(None if distribution == "unknown" else distribution == "k3s")
        return Truth.of(origin.unit in units)
    return Truth.of(origin.workload == workload.value)


def _fits_unit(origin: Origin, unit: str) -> Truth:
    if origin.kind is OriginKind.UNKNOWN:
        return Truth.UNKNOWN
    if origin.kind is OriginKind.UNIT:
        return Truth.of(origin.unit == unit or origin.unit in _UNITS_ALSO.get(unit, frozenset()))
    # kube-proxy, etcd and the like are a unit here and a static pod there.
    return Truth.of(origin.workload == unit)


def _fits_name(origin: Origin, name: str | None, wanted: Sequence[str]) -> Truth:
    if origin.kind in {OriginKind.UNIT, OriginKind.HELM}:
        return Truth.of(origin.kind is OriginKind.HELM)
    return Truth.of(None if name is None else name in wanted)


def condition_fits(fact: ConditionFact, where: ConditionWhere) -> Truth:
    """Is this the condition? Unknown where a bare message does not say its type or owner."""
    checks = [
        Truth.TRUE if where.of in {"any", fact.of} else Truth.of(None if fact.of == "any" else False),
        _named(fact.type, where.type),
        _named(fact.status, (where.status,) if where.status else None),
        _named(fact.reason, where.reason),
    ]
    if where.message is not None:
        checks.append(Truth.of(found_in(where.message, fact.message)))
    elif fact.type is None:
        # A bare message says nothing about a predicate that does not ask for its words.
        return Truth.FALSE
    return Truth.all(checks)


def event_fits(fact: EventFact, where: EventWhere) -> Truth:
    """Is this the event? Unknown where a bare message does not say its reason, object or time."""
    checks = [
        _named(fact.type, (where.type,) if where.type else None),
        _named(fact.reason, where.reason),
        _named(fact.kind, where.kind),
    ]
    if where.name is not None:
        checks.append(Truth.of(None if fact.name is None else found_in(where.name, fact.name)))
    if where.within is not None or where.before is not None:
        checks.append(_seen_in_time(last_seen(fact), where))
    if where.message is not None:
        checks.append(Truth.of(found_in(where.message, fact.message)))
    elif fact.reason is None:
        return Truth.FALSE
    return Truth.all(checks)


def _seen_in_time(age: int | None, where: EventWhere) -> Truth:
    if age is None:
        return Truth.UNKNOWN
    recent = where.within is None or age <= duration_seconds(where.within)
    return Truth.of(recent and (where.before is None or age >= duration_seconds(where.before)))


def _named(value: str | None, wanted: Sequence[str] | None) -> Truth:
    if wanted is None:
        return Truth.TRUE
    return Truth.of(None if value is None else value in wanted)
