"""Which kind of cluster is this, and how does it change with time and with what is written to it?

A scenario is a YAML file in `scenarios/`: an identity (distribution, CNI, versions, pools), named states with what they
show, transitions between them, log texts, and the truth a diagnosis is measured with. States that many scenarios share
(how a fresh cluster comes up, how a mended one recovers) stand in `library/<distribution>.yaml`; a scenario's own state
of the same name wins.

A transition is taken `after` a time, once its `when` holds; without `when` after the state's age alone; `after: ramp`
waits until every count of the state has arrived. A `when` looks at the configuration that was *delivered* to the nodes
(not at what was merely written), at downstream objects, or at a parameter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from rancher_ext.simulator import troubles
from rancher_ext.simulator.facts import Facts, parse_facts

Json = dict[str, Any]

HERE = Path(__file__).parent
VERDICTS = ("healthy", "progressing", "stuck", "unknown", "out-of-scope")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(s|m|h|d)$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PARAMETER = re.compile(r"^\$\{(\w+)\}$")
RAMP = -1.0  # the `after` of a transition that waits for the state's ramps
_CONDITIONS = ("is", "is_not", "contains", "lacks", "present")


class ScenarioError(ValueError):
    """A scenario file that cannot be read as one, or a scenario that does not exist."""


@dataclass(frozen=True, slots=True)
class Truth:
    verdict: str
    cause: str = ""
    signature: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class When:
    """One test. Empty fields are not looked at."""

    spec: str = ""  # dotted path into the delivered configuration
    test: str = ""
    value: Any = None
    crds: tuple[str, ...] = ()  # all of these CRDs exist downstream
    ghosts_gone: bool = False  # somebody deleted the stale Node objects
    pod_deleted: bool = False  # somebody deleted a pod of the CNI since the state was entered
    done: str = ""  # what a client did since the state was entered, as `deeds.py` names it
    objects: tuple[str, ...] = ()  # all of these exist downstream, each as `Kind name`
    param: str = ""
    unless: str = ""
    supports: str = ""  # the Rancher version has this feature


@dataclass(frozen=True, slots=True)
class Transition:
    to: str
    after: float = 0.0
    when: tuple[When, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    name: str
    facts: Facts
    transitions: tuple[Transition, ...]
    truth: Truth | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    roles: tuple[str, ...]
    quantity: int
    os: str = "linux"


@dataclass(frozen=True)
class Scenario:
    id: str
    title: str
    distribution: str  # rke1, rke2, k3s, unknown
    management: str  # provisioned, imported, hosted, local
    cni: str
    kubernetes: str
    was: str  # the version of nodes that an upgrade has not reached
    driver: str  # amazonec2, vmwarevsphere, custom, or "" where Rancher made no machine
    names: str  # beginning of a generated name
    pools: tuple[Pool, ...]
    os_image: str
    kernel: str
    runtime: str
    config: Json  # laid over the configuration of an ordinary cluster of this kind
    config_before: Json  # laid over that, until `start`
    labels: Mapping[str, str]
    age: float
    begin: str  # the state a fresh cluster is in
    start: str  # the first state of its own
    settled: float  # how long it had been well before `start`, for clusters that worked once
    truth: Truth
    states: Mapping[str, State]
    logs: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)

    def truth_in(self, state: str) -> Truth:
        return self.states[state].truth or self.truth


def seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.match(str(value))
    if not match:
        raise ValueError(f"expected a duration such as 90s, 5m or 2h, found {value!r}")
    return float(match[1]) * _UNITS[match[2]]


def scenario_ids() -> list[str]:
    return sorted(p.stem for p in (HERE / "scenarios").glob("*.yaml"))


def load_scenario(scenario_id: str, params: Mapping[str, Any] | None = None) -> Scenario:
    """One scenario with its parameters filled in."""
    path = HERE / "scenarios" / f"{scenario_id}.yaml"
    raw = _read(path) if path.is_file() else troubles.written_out(scenario_id)
    if raw is None:
        raise ScenarioError(
            f"there is no scenario {scenario_id!r}; known: {', '.join(scenario_ids())}, "
            f"and those of troubles: {', '.join(troubles.trouble_ids())}"
        )
    known = dict(raw.get("params") or {})
    unknown = set(params or {}) - set(known) - _OVERRIDES
    if unknown:
        may = ", ".join(sorted({*known, *_OVERRIDES}))
        raise ScenarioError(f"{scenario_id} has no parameter {', '.join(sorted(unknown))}; it has: {may}")
    given = dict(params or {})
    known.update({k: v for k, v in given.items() if k in known})
    try:
        return _scenario(scenario_id, _fill(raw, known), known, given)
    except (KeyError, TypeError, ValueError) as e:
        raise ScenarioError(f"{scenario_id}: {type(e).__name__}: {e}") from e


_OVERRIDES = {"age", "nodes", "labels", "kubernetes"}


@lru_cache
def _read(path: Path) -> Json:
    with path.open(encoding="utf-8") as f:
        raw = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe loader in C
    if not isinstance(raw, dict):
        raise ScenarioError(f"{path.name}: expected a mapping, found {type(raw).__name__}")
    return raw


def _fill(value: Any, params: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, params) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, params) for v in value]
    if isinstance(value, str) and (m := _PARAMETER.match(value)):
        return params[m[1]]
    return value


def _scenario(scenario_id: str, raw: Json, params: Json, given: Json) -> Scenario:
    distribution = raw["distribution"]
    library = HERE / "library" / f"{raw.get('library', distribution)}.yaml"
    shared: Json = _read(library) if library.is_file() else {}
    own = raw.get("states") or {}
    merged = {**(shared.get("states") or {}), **own}
    truth = _truth(raw["truth"])
    states = {name: _state(name, merged, own=name in own) for name in merged}
    machine = {**(shared.get("machine") or {}), **(raw.get("machine") or {})}
    pools = tuple(
        Pool(p["name"], tuple(p["roles"]), int(p["quantity"]), p.get("os", "linux")) for p in raw.get("pools") or ()
    )
    if given.get("nodes"):
        pools = _resized(pools, int(given["nodes"]))
    start: str = raw.get("start", "healthy")
    logs = {**(_read(HERE / "library" / "logs.yaml")), **(raw.get("logs") or {})}
    scenario = Scenario(
        id=scenario_id,
        title=raw["title"],
        distribution=distribution,
        management=raw.get("management", "provisioned"),
        cni=raw.get("cni", ""),
        kubernetes=given.get("kubernetes") or raw.get("kubernetes", ""),
        was=raw.get("was", ""),
        driver=raw.get("driver", ""),
        names=raw.get("names", scenario_id),
        pools=pools,
        os_image=machine.get("os", ""),
        kernel=machine.get("kernel", ""),
        runtime=machine.get("runtime", ""),
        config=raw.get("config") or {},
        config_before=raw.get("config_before") or {},
        labels={**(raw.get("labels") or {}), **(given.get("labels") or {})},
        age=seconds(given.get("age", raw.get("age", "35m"))),
        begin=raw.get("begin") or start,
        start=start,
        settled=seconds(raw.get("settled", 0)),
        truth=truth,
        states=states,
        logs=logs,
        params=params,
    )
    _check(scenario)
    return scenario


def _state(name: str, merged: Json, *, own: bool) -> State:
    raw = merged[name]
    shows: Json = {}
    seen = {name}
    chain = [raw]
    while (like := chain[0].get("like")) is not None:
        if like in seen or like not in merged:
            raise ValueError(f"state {name!r} is like {like!r}, which does not exist or leads back")
        seen.add(like)
        chain.insert(0, merged[like])
    for link in chain:
        shows.update(link.get("shows") or {})
    transitions = tuple(_transition(t) for t in raw.get("next") or ())
    truth = _truth(raw["truth"]) if "truth" in raw else None
    if truth is None and not own:
        raise ValueError(f"shared state {name!r} must say its truth")
    return State(name, parse_facts(shows, seconds), transitions, truth)


def _transition(raw: Json) -> Transition:
    after = raw.get("after", 0)
    whens = raw.get("when") or []
    return Transition(
        to=raw["to"],
        after=RAMP if after == "ramp" else seconds(after),
        when=tuple(_when(w) for w in (whens if isinstance(whens, list) else [whens])),
    )


def _when(raw: Json) -> When:
    raw = dict(raw)
    tests = [t for t in _CONDITIONS if t in raw]
    if ("spec" in raw) != (len(tests) == 1):
        raise ValueError(f"a test on `spec` needs exactly one of {', '.join(_CONDITIONS)}: {raw}")
    test, value = (tests[0], raw.pop(tests[0])) if tests else ("", None)
    raw["crds"] = tuple(raw.get("crds") or ())
    raw["objects"] = tuple(raw.get("objects") or ())
    return When(test=test, value=value, **raw)


def _truth(raw: Any) -> Truth:
    truth = Truth(raw) if isinstance(raw, str) else Truth(**raw)
    if truth.verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {truth.verdict!r}")
    return truth


def _resized(pools: tuple[Pool, ...], nodes: int) -> tuple[Pool, ...]:
    """The same cluster with another number of nodes: the last pool takes up the difference."""
    if not pools:
        return pools
    kept = sum(p.quantity for p in pools[:-1])
    last = pools[-1]
    if nodes > kept:
        return (*pools[:-1], Pool(last.name, last.roles, nodes - kept, last.os))
    # Fewer than the fixed pools hold: one pool with every role.
    roles = tuple(dict.fromkeys(r for p in pools for r in p.roles))
    return (Pool(pools[0].name, roles, max(1, nodes), pools[0].os),)


def _check(scenario: Scenario) -> None:
    for name in (scenario.begin, scenario.start):
        if name not in scenario.states:
            raise ValueError(f"there is no state {name!r}")
    for state in scenario.states.values():
        for transition in state.transitions:
            if transition.to != "$start" and transition.to not in scenario.states:
                raise ValueError(f"state {state.name!r} leads to {transition.to!r}, which does not exist")
        log = state.facts.cni.log
        if log and log not in scenario.logs:
            raise ValueError(f"state {state.name!r} shows log {log!r}, which does not exist")
