"""How does one simulated cluster live: what is due when, what was delivered to its nodes, what state is it in?

The state machine behind a scenario. Time is only ever moved forward to the next due instant, so a cluster that is
"35 minutes old" has really gone through its states at those instants, and every condition, log line and restart count
carries the time at which it came about.

A write of a client changes the wanted configuration at once. As with Rancher it then takes time until it counts:
RKE2/K3s: planner accepts (1 s), plans are written (3 s), node agents apply (12 s). RKE1: `rke up` runs for 15 s with
condition `Updated` Unknown. Only what was delivered is looked at by a scenario's transitions.

Where drain is on, RKE2/K3s drain a machine before they write it a plan that restarts its service. That goes through the agent: without
one it never ends, and no plan is written (R13 `pkg/capr/planner/drain.go`). Machines that never were nodes, and a single one, are
not drained. Simplified: all machines of a cluster wait together.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rancher_ext.simulator import conditions as cond
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.conditions import Since, Standing
from rancher_ext.simulator.facts import Counts, Facts
from rancher_ext.simulator.identity import Identity, MachineName, successor
from rancher_ext.simulator.operations import Operations
from rancher_ext.simulator.records import CRD, Written
from rancher_ext.simulator.resources import DOWNSTREAM_RESOURCES, Resource, resource_of
from rancher_ext.simulator.rollout import has_objects, is_rollout, node_deeds, pods_of
from rancher_ext.simulator.scenario import RAMP, Scenario, State, Transition, Truth, When
from rancher_ext.simulator.store import Store
from rancher_ext.simulator.triggers import at_path, has_br_netfilter, tested

Json = dict[str, Any]

ACCEPTED_AFTER, PLANNED_AFTER, APPLIED_AFTER, RKE_UP_TAKES = 1.0, 3.0, 12.0, 15.0
REMOVED_AFTER = 30.0
DRAIN_ASKED_AGAIN, RESTART_TAKES = 60.0, 60.0
# What a machine's plan is made of; of these, what restarts its service.
_IN_PLANS = (
    "machineGlobalConfig",
    "machineSelectorConfig",
    "machineSelectorFiles",
    "registries",
    "provisionGeneration",
)
_QUIET_IN_PLANS = ("chartValues", "additionalManifest")
ILL_HEARTBEAT, WELL_HEARTBEAT = 60.0, 300.0
LOG_LIMIT = 10_000  # characters that Rancher keeps in provisioning-log
NEVER = float("inf")

DAEMON_SET = resource_of("apps/v1", "DaemonSet")
JOB = resource_of("batch/v1", "Job")
NODE = resource_of("v1", "Node")
POD = resource_of("v1", "Pod")


@dataclass(slots=True)
class Delivery:
    """A written configuration on its way to the nodes."""

    config: Json
    accepted: float
    planned: float
    applied: float


class SimCluster:
    """One cluster. The renderer is handed in, so that this file knows states and time, and nothing of objects."""

    def __init__(
        self,
        scenario: Scenario,
        identity: Identity,
        clock: SimClock,
        *,
        rancher_version: str,
        config: Json,
        config_before: Json,
        born: float,
        lock: threading.RLock,
    ) -> None:
        self.scenario = scenario
        self.identity = identity
        self.clock = clock
        self.rancher_version = rancher_version
        self._config_at_start: Json | None = config
        self.wanted: Json = config_before  # what a client wrote last
        self.planned: Json = config_before  # what Rancher has made plans of
        self.delivered: Json = config_before  # what the nodes run
        self.applied: Json | None = None  # the specification of the last complete reconcile
        self.plan_updated = born
        self.probes_passed: float | None = None
        self.since = Since()
        self.log: list[tuple[float, str, bool]] = []
        self.was_connected = False
        self.was_active = False
        self.connected_at: float | None = None
        self.born = born
        self.now = born
        self.forgotten_ghosts: set[str] = set()
        self.ended_pods: dict[str, float] = {}  # when a pod was taken away that has a successor
        self.rerun_jobs: dict[str, float] = {}  # since when a job that a client deleted runs anew
        self.made: dict[str, float] = {}  # since when a client's own workload is seen, by its uid
        self.operations = Operations()
        self._deeds: set[str] = set()  # what clients did since the state was entered
        self.cni_since: dict[int, float] = {}  # since when the CNI pod of a node has its present manner
        self._cni_manner: dict[int, str] = {}
        self.ready_since: dict[int, float] = {}
        self.proxies = 0
        self.removed = False
        self.render: Callable[[SimCluster], None] = lambda _: None
        self._lock = lock
        self._downstream: Store | None = None
        self._fill_downstream: Callable[[SimCluster, Store], None] = lambda _c, _s: None
        self._delivery: Delivery | None = None
        self._draining = False  # a plan waits for a drain that nobody can make
        self._removal: float | None = None
        self._armed: dict[int, float] = {}
        self._pod_deleted = False
        self._heartbeat = NEVER
        self._counts: tuple[object, Counts] | None = None
        self._standing: tuple[object, Standing] | None = None
        self.state: State = scenario.states[scenario.begin]
        self.entered = born
        self._enter(self.state.name, born)

    # -- what others ask -------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def provisioned_v2(self) -> bool:
        return self.scenario.management == "provisioned" and self.scenario.distribution in {"rke2", "k3s"}

    @property
    def rke1(self) -> bool:
        return self.scenario.management == "provisioned" and self.scenario.distribution == "rke1"

    @property
    def facts(self) -> Facts:
        return self.state.facts

    @property
    def counts(self) -> Counts:
        # Asked once per machine and object, so kept for the instant it belongs to.
        key = (self.state, self.entered, self.now)
        if self._counts is None or self._counts[0] != key:
            self._counts = (key, self.facts.counts(self.now - self.entered, len(self.identity.machines)))
        return self._counts[1]

    @property
    def truth(self) -> Truth:
        return self.scenario.truth_in(self.state.name)

    @property
    def running_rke_up(self) -> bool:
        return self.rke1 and self._delivery is not None

    @property
    def accepted(self) -> bool:
        """Has Rancher's planner taken up the last write?"""
        return self._delivery is None or self.now >= self._delivery.accepted

    @property
    def standing(self) -> Standing:
        moving = (self._delivery is None, self._draining)
        key = (self.state, self.entered, self.now, moving, self.was_connected, self.was_active)
        if self._standing is None or self._standing[0] != key:
            self._standing = (key, self._stand())
        return self._standing[1]

    def _stand(self) -> Standing:
        facts, text = self.facts, self.text
        if self.running_rke_up and facts.provisioned:
            facts = replace(facts, condition="Updated")
            text = f"[worker] Building up Worker Plane for cluster [{self.name}].."
        return Standing(
            facts,
            self.counts,
            text,
            self.scenario.distribution,
            self.scenario.management,
            self.was_connected,
            self.was_active,
        )

    @property
    def text(self) -> str:
        """What Rancher waits for, with names filled in."""
        text = self.facts.text
        if self._draining:
            text = "draining {bootstrap_tier} node(s) {first}: draining node"
        if self._delivery is not None and not text and self.provisioned_v2:
            text = "configuring {bootstrap_tier} node(s) {first}: waiting for plan to be applied"
        if "{" not in text:
            return text
        machines = self.identity.machines
        unready = [m.name for m in machines if not self.is_ready(m)]
        workers = [m.name for m in machines if not m.has("etcd") and not m.has("controlplane")]
        second = machines[1].name if len(machines) > 1 else machines[0].name
        return text.format(
            cluster=self.name,
            first=machines[0].name,
            second=second,
            all=_names([m.name for m in machines]),
            rest=_names([m.name for m in machines[1:]]) or machines[0].name,
            workers=_names(workers) or machines[0].name,
            unready=_names(unready) or machines[0].name,
            bootstrap_tier="bootstrap",
            version=self.scenario.kubernetes,
            namespace=self.identity.namespace,
        )

    def is_ready(self, machine: MachineName) -> bool:
        facts = self.facts
        if machine.place < 0:
            return False
        if facts.not_ready:
            return machine.place not in facts.not_ready and machine.place < self.counts.nodes
        return machine.place < self.counts.ready

    def reachable(self) -> bool:
        """May anybody talk to the downstream API through Rancher at all?"""
        return self.facts.connected or (self.rke1 and self.facts.provisioned)

    @property
    def downstream(self) -> Store:
        """Made when first asked for: a fleet of hundreds is never looked at in full."""
        with self._lock:
            if self._downstream is None:
                self._downstream = Store(
                    self.id, self.clock, DOWNSTREAM_RESOURCES, lock=self._lock, history=2048, crds_decide=True
                )
                self._downstream.on_write = self._downstream_written
                self._downstream.lingers = self._lingers
                self._fill_downstream(self, self._downstream)
                self._schedule_heartbeat()
            return self._downstream

    @property
    def downstream_if_made(self) -> Store | None:
        return self._downstream

    def on_render(
        self, render: Callable[["SimCluster"], None], fill_downstream: Callable[["SimCluster", Store], None]
    ) -> None:
        self.render, self._fill_downstream = render, fill_downstream

    # -- time ------------------------------------------------------------------------------------------------------

    def due(self) -> float:
        return min(self._next_step(), self._heartbeat)

    def advance(self, now: float) -> bool:
        """Moves to `now` through everything that is due; renders when something changed."""
        changed = False
        while not self.removed and (at := self._next_step()) <= now:
            self._step(max(at, self.now))
            changed = True
        if self._heartbeat <= now:
            self.now = max(self.now, now)
            changed = True
        if changed:
            self.now = max(self.now, now)
            self._schedule_heartbeat()
            self.render(self)
        return changed

    def _next_step(self) -> float:
        at = self._removal if self._removal is not None else NEVER
        if self._delivery:
            d = self._delivery
            at = min(at, *(t for t in (d.accepted, d.planned, d.applied) if t > self.now or t == d.applied))
        at = min(at, self.operations.due(self.now))
        for index, armed in self._armed.items():
            at = min(at, armed + self._delay(self.state.transitions[index]))
        age = self.now - self.entered
        for ramp in self.facts.ramps():
            if (step := ramp.next_step(age, len(self.identity.machines))) is not None:
                at = min(at, self.entered + step)
        return at

    def _delay(self, transition: Transition) -> float:
        if transition.after != RAMP:
            return transition.after
        total = len(self.identity.machines)
        return max((r.lasts(total) for r in self.facts.ramps()), default=0.0)

    def _step(self, at: float) -> None:
        self.now = at
        if self._removal is not None and self._removal <= at:
            self.removed = True
            return
        if self._delivery:
            self._deliver(self._delivery, at)
        if self.operations.restored(at):
            self._restore(at)
        for index in sorted(self._armed):
            transition = self.state.transitions[index]
            if self._armed[index] + self._delay(transition) <= at:
                self._enter(self.scenario.start if transition.to == "$start" else transition.to, at)
                return
        self._note(at)

    def _schedule_heartbeat(self) -> None:
        well = self.standing.active and self.counts.ready == len(self.identity.machines)
        if well and self._downstream is None:
            self._heartbeat = NEVER
        else:
            # Sparse in real time too, however fast the clock runs and however many nodes there are.
            real = max(0.5, len(self.identity.machines) / 50)
            self._heartbeat = self.now + max(WELL_HEARTBEAT if well else ILL_HEARTBEAT, real * self.clock.speed)

    # -- states ----------------------------------------------------------------------------------------------------

    def _enter(self, name: str, at: float) -> None:
        if name == self.scenario.start and self._config_at_start is not None:
            # Somebody upgraded or edited a cluster that had been well: that is how this trouble began.
            if self.wanted != self._config_at_start:
                self.plan_updated = at
            self.wanted = self.planned = self.delivered = self._config_at_start
            self._config_at_start = None
        self.state = self.scenario.states[name]
        self.entered = self.now = at
        self._armed = {}
        self._pod_deleted = False
        self._deeds = set()
        self._note(at)
        self._arm(at)

    def _arm(self, at: float) -> None:
        for index, transition in enumerate(self.state.transitions):
            if all(self._holds(w) for w in transition.when):
                self._armed.setdefault(index, at if transition.when else self.entered)
            else:
                self._armed.pop(index, None)

    def _holds(self, when: When) -> bool:
        if when.param and not self.scenario.params.get(when.param):
            return False
        if when.unless and self.scenario.params.get(when.unless):
            return False
        if when.supports == "br-netfilter" and not has_br_netfilter(self.rancher_version):
            return False
        if when.ghosts_gone and len(self.forgotten_ghosts) < self.facts.ghosts:
            return False
        if when.pod_deleted and not self._pod_deleted:
            return False
        if when.crds and not self._has_crds(when.crds):
            return False
        if when.done and when.done not in self._deeds:
            return False
        if when.objects and not (self._downstream and has_objects(self._downstream, when.objects)):
            return False
        return not when.spec or tested(when, at_path(self.delivered, when.spec))

    def _has_crds(self, names: tuple[str, ...]) -> bool:
        manifest = str(at_path(self.delivered, "rkeConfig.additionalManifest") or "")
        store = self._downstream
        return all(n in manifest or (store is not None and store.peek(CRD, "", n)) for n in names)

    def _note(self, at: float) -> None:
        """Remembers what changed at this instant: conditions, the provisioning log, nodes and CNI pods."""
        facts, counts = self.facts, self.counts
        if facts.connected and not self.was_connected:
            self.was_connected, self.connected_at = True, at
        s = self.standing
        if s.active and not facts.deleting:
            self.was_active = True
            self.applied = self.delivered
        if self.running_rke_up is False and self.rke1 and facts.provisioned:
            self.applied = self.delivered
        if counts.checked_in and not facts.probes_bad:
            self.probes_passed = self.probes_passed or at
        else:
            self.probes_passed = None
        self.proxies = max(self.proxies, facts.proxies)
        s = self.standing
        management = cond.management_cluster(s)
        self.since.note("management", management, at)
        self.since.note("provisioning", cond.provisioning_cluster(s, management), at)
        self.since.note("control-plane", cond.control_plane(s), at)
        for m in self.identity.machines:
            self._note_machine(s, m, at)
        self._note_log(s, at)

    def _note_machine(self, s: Standing, m: MachineName, at: float) -> None:
        exists, ready = m.place < s.counts.nodes, self.is_ready(m)
        node_ready = ready if exists and self.was_connected else None
        if self.provisioned_v2:
            failed = s.facts.infra_error
            self.since.note(m.name, cond.machine_conditions(s, m, node_ready=node_ready, failed=failed), at)
        else:
            self.since.note(m.name, cond.rke1_machine(s, m), at)
        if exists:
            network = ready or m.place in self.ready_since
            self.since.note(
                "node/" + m.node, cond.node_conditions(s, ready=ready, network=network), at, status_only=True
            )
            if ready:
                self.ready_since.setdefault(m.place, at)
            manner = self.cni_manner(m)
            if self._cni_manner.get(m.place) != manner:
                self._cni_manner[m.place] = manner
                self.cni_since[m.place] = at

    def cni_manner(self, m: MachineName) -> str:
        """How the CNI's pod on this node does: `ready`, or the state and log that the facts give for it."""
        cni = self.facts.cni
        if cni.state == "ready":
            return "ready"
        hit = (
            cni.at == "all" or (cni.at == "first" and m.place == 0) or (cni.at == "not-ready" and not self.is_ready(m))
        )
        return f"{cni.state}/{cni.log}" if hit else "ready"

    def _note_log(self, s: Standing, at: float) -> None:
        text = s.text or ("provisioning done" if self.scenario.management == "provisioned" else "")
        if text and (not self.log or self.log[-1][1] != text):
            self.log.append((at, text, s.facts.error))
            while sum(len(t) + 30 for _, t, _ in self.log) > LOG_LIMIT:
                self.log.pop(0)

    # -- writes ----------------------------------------------------------------------------------------------------

    def write_config(self, config: Json, at: float, *, forced: bool = False) -> None:
        """A client changed the specification (or asked RKE1 to run again)."""
        if config == self.wanted and not forced:
            return
        self.now = max(self.now, at)
        if self.was_active and self.provisioned_v2:
            self.operations.note(self.wanted, config, at)
        self.wanted = config
        self._draining = False
        takes = RKE_UP_TAKES if self.rke1 else APPLIED_AFTER
        self._delivery = Delivery(config, at + ACCEPTED_AFTER, at + PLANNED_AFTER, at + takes)
        if self._may_drain and _in_plans(self.planned, quiet=False) != _in_plans(config, quiet=False):
            # One machine after the other: the last one gets its plan when all others have restarted.
            later = RESTART_TAKES * (len(self.identity.machines) - 1)
            self._delivery.planned += later
            self._delivery.applied += later
        self._note(at)

    def _deliver(self, delivery: Delivery, at: float) -> None:
        if at >= delivery.planned and self.planned is not delivery.config:
            self._draining = self._waits_for_drain(delivery.config)
            if self._draining:
                delivery.planned = at + DRAIN_ASKED_AGAIN
                delivery.applied = delivery.planned + APPLIED_AFTER - PLANNED_AFTER
                return
            if self.rke1 or _in_plans(self.planned) != _in_plans(delivery.config):
                self.plan_updated = at
                self.probes_passed = None
            self.planned = delivery.config
        if at < delivery.applied:
            return
        if self.counts.checked_in == 0 and self.provisioned_v2:
            delivery.applied = at + 30.0  # no node agent is there to take it
            return
        self._delivery = None
        self.delivered = delivery.config
        if self.rke1:
            self.proxies += 1
        self._arm(at)

    @property
    def _may_drain(self) -> bool:
        """Would a drain, where it is on, have no end?"""
        once_nodes = self.provisioned_v2 and self.was_connected and len(self.identity.machines) > 1
        return once_nodes and not self.facts.connected

    def _waits_for_drain(self, config: Json) -> bool:
        if not self._may_drain:
            return False
        if _in_plans(self.planned, quiet=False) == _in_plans(config, quiet=False):
            return False
        strategy = (config.get("rkeConfig") or {}).get("upgradeStrategy") or {}
        servers = any(m.has("etcd") or m.has("controlplane") for m in self.identity.machines)
        workers = not all(m.has("etcd") or m.has("controlplane") for m in self.identity.machines)
        tiers = [("controlPlaneDrainOptions", servers), ("workerDrainOptions", workers)]
        return any(there and (strategy.get(name) or {}).get("enabled") is True for name, there in tiers)

    def did(self, deed: str, at: float | None = None) -> None:
        """A client did something that a scenario may wait for."""
        if deed not in self._deeds:
            self._deeds.add(deed)
            self._arm(max(self.now, at or self.now))

    def look_again(self) -> None:
        """What the nodes applied by themselves may be what a transition waits for."""
        self._arm(self.now)

    def _restore(self, at: float) -> None:
        """etcd is that of the snapshot again, and with it the version of the last complete reconcile."""
        if self.applied is not None:
            earlier = {**self.wanted, "kubernetesVersion": self.applied.get("kubernetesVersion", "")}
            self.wanted = self.planned = self.delivered = earlier
            self.did("restored", at)
            self._arm(at)

    def replace_machine(self, name: str, at: float) -> None:
        """Somebody deleted a machine: its pool makes another. A custom one has nobody who would."""
        old = next((m for m in self.identity.machines if name in {m.name, m.id}), None)
        if old is None or self.scenario.driver in {"", "custom"}:
            return
        self.now = max(self.now, at)
        machines = tuple(successor(m, self.identity.name) if m is old else m for m in self.identity.machines)
        self.identity = replace(self.identity, machines=machines)
        self.ready_since.pop(old.place, None)
        self._note(self.now)
        self.did("machine-replaced", at)
        self.render(self)

    def remove(self, at: float) -> None:
        """Somebody deleted the cluster object."""
        if self._removal is None:
            self._removal = at + REMOVED_AFTER

    def _downstream_written(self, written: Written) -> None:
        at = max(self.now, self.clock.seconds())
        if written.verb == "delete" and written.resource is NODE:
            name = written.key[1]
            if name in {g.node for g in self.identity.ghosts}:
                self.forgotten_ghosts.add(name)
        if written.verb == "delete" and written.resource is POD and self.downstream.entry(POD, written.key) is None:
            self._restarted(written.key[1], at)
        if written.verb in {"patch", "update"} and written.resource is DAEMON_SET and is_rollout(written):
            for name in pods_of(self.downstream, "DaemonSet", written.key):
                self._restarted(name, at)
        if written.verb == "delete" and written.resource is JOB:
            self.rerun_jobs[written.key[1]] = at
            self._deeds.add("job-rerun")
            for name in pods_of(self.downstream, "Job", written.key):
                self._restarted(name, at)
        if written.resource is NODE and written.verb in {"patch", "update"}:
            self._deeds |= node_deeds(self.downstream)
        self.now = at
        self._arm(at)
        self._heartbeat = at

    def _restarted(self, pod: str, at: float) -> None:
        self.ended_pods.setdefault(pod, at)
        self._pod_deleted = self._pod_deleted or "canal" in pod or "flannel" in pod

    def _lingers(self, resource: Resource, obj: Json) -> bool:
        """A deleted pod goes when its kubelet says that it has ended; a kubelet that is gone says nothing."""
        return resource is POD and self.kubelet_is_gone(obj["spec"].get("nodeName", ""))

    def kubelet_is_gone(self, node: str) -> bool:
        return self.facts.not_ready_as == "kubelet-stopped" and any(
            m.node == node and not self.is_ready(m) for m in self.identity.machines
        )


def _in_plans(config: Json, *, quiet: bool = True) -> list[Any]:
    rke = config.get("rkeConfig") or {}
    keys = (*_IN_PLANS, *_QUIET_IN_PLANS) if quiet else _IN_PLANS
    return [config.get("kubernetesVersion"), *(rke.get(key) for key in keys)]


def _names(names: list[str]) -> str:
    """The planner lists three names and counts the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ",".join(names[:3]) + more
