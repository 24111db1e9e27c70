"""Which clusters does the simulated Rancher manage, and how do they move?

`Fleet` holds the `local` store, the clusters with their downstream stores, tokens, settings and the journal of writes.
`tick()` moves every cluster to the present; `add` and `generate` fill it. All of it is under one lock, since requests,
the ticker and a test's own thread meet here.
"""

import heapq
import random
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.simulator import metadata
from rancher_ext.simulator.clock import SimClock, rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.config import wanted_config
from rancher_ext.simulator.faults import Faults
from rancher_ext.simulator.identity import identify
from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.records import Written
from rancher_ext.simulator.render.capi import LOCAL_NODE, LOCAL_NODE_IP
from rancher_ext.simulator.render.downstream import render_downstream
from rancher_ext.simulator.render.management import FORCE_UPDATE, render_management
from rancher_ext.simulator.resources import LOCAL_RESOURCES, Resource, resource_of
from rancher_ext.simulator.scenario import ScenarioError, load_scenario, scenario_ids, seconds
from rancher_ext.simulator.store import Store

Json = dict[str, Any]

ADMIN_TOKEN = "token-admin:simulated-administrator-secret"  # noqa: S105 - opens nothing but the simulator
READER_TOKEN = "token-reader:simulated-reader-secret"  # noqa: S105
JOURNAL = 10_000

_PROVISIONING = resource_of("provisioning.cattle.io/v1", "Cluster")
_MANAGEMENT = resource_of("management.cattle.io/v3", "Cluster")
_SETTING = resource_of("management.cattle.io/v3", "Setting")
_BACKUP = resource_of("management.cattle.io/v3", "EtcdBackup")
_MACHINES = (resource_of("cluster.x-k8s.io/v1beta1", "Machine"), resource_of("management.cattle.io/v3", "Node"))

# About 85% of a generated fleet is well; the rest is dealt from all other scenarios in turn.
WELL = ("rke2-canal-healthy", "rke2-flannel-healthy", "k3s-flannel-healthy", "rke1-canal-healthy")
NOT_DEALT = {"local", *WELL}


@dataclass(frozen=True)
class Token:
    """An API key. `deny` lists what it may not do anything with, such as `secrets`, `pods/log` or `clusters.management.cattle.io`,
    or one verb of it: `delete nodes.management.cattle.io`.
    """

    name: str
    secret: str
    user: str = "user-admin"
    read_only: bool = False
    deny: frozenset[str] = frozenset()
    expires_at: float | None = None
    created: float = 0.0

    def refuses(self, verb: str, resource: str, group: str) -> bool:
        """`resource` with its subresource, if any."""
        if self.read_only and verb not in {"get", "list", "watch"}:
            return True
        names = (resource, f"{resource}.{group}") if group else (resource,)
        return any(name in self.deny or f"{verb} {name}" in self.deny for name in names)

    @property
    def bearer(self) -> str:
        return f"{self.name}:{self.secret}"


@dataclass
class _Owned:
    """What the renderings of one cluster put where."""

    local: set[tuple[Resource, Key]] = field(default_factory=set)
    downstream: set[tuple[Resource, Key]] = field(default_factory=set)


class Fleet:
    """The whole simulated Rancher, without HTTP."""

    def __init__(
        self, clock: SimClock | None = None, rancher_version: str = "v2.11.3", *, seed: int = 0, with_local: bool = True
    ) -> None:
        self.clock = clock or SimClock()
        self.rancher_version = rancher_version
        self.seed = seed
        self.lock = threading.RLock()
        self.local = Store("local", self.clock, LOCAL_RESOURCES, lock=self.lock)
        self.local.on_write = self._local_written
        self.clusters: dict[str, SimCluster] = {}
        self.faults = Faults(self.clock)
        self.tokens: dict[str, Token] = {}
        self.journal: deque[Json] = deque(maxlen=JOURNAL)
        self.requests: Counter[str] = Counter()
        self.url = "https://rancher.example"
        self._owned: dict[str, _Owned] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._due: list[tuple[float, str]] = []
        self._counters: Counter[str] = Counter()
        self._backups: list[tuple[float, str, str]] = []
        now = self.clock.seconds()
        self.add_token(ADMIN_TOKEN, expires_in=90 * 86400.0)
        self.add_token(READER_TOKEN, user="user-reader", read_only=True, expires_in=90 * 86400.0)
        self._seed_local(now)
        metadata.seed(self.local, rancher_version, now)
        if with_local:
            self.add("local", name="local")

    @property
    def token(self) -> str:
        return ADMIN_TOKEN

    def add_token(
        self,
        bearer: str,
        *,
        user: str = "user-admin",
        read_only: bool = False,
        deny: frozenset[str] | set[str] = frozenset(),
        expires_in: float | None = None,
    ) -> Token:
        """`bearer` is `name:secret`; a negative `expires_in` is a token that has expired."""
        name, _, secret = bearer.partition(":")
        now = self.clock.seconds()
        expires = None if expires_in is None else now + expires_in
        token = Token(name, secret, user, read_only, frozenset(deny), expires, now)
        self.tokens[name] = token
        return token

    # -- filling ---------------------------------------------------------------------------------------------------

    def add(self, scenario_id: str, name: str | None = None, **params: Any) -> SimCluster:
        """A cluster of one scenario. `age=0` starts it fresh; `nodes=N` and the scenario's own parameters work too."""
        scenario = load_scenario(scenario_id, params)
        if scenario.distribution == "rke1" and not _has_rke1(self.rancher_version):
            raise ScenarioError(
                f"Rancher {self.rancher_version} has no RKE1 any more; {scenario_id} needs 2.11 or older"
            )
        with self.lock:
            name = name or self._next_name(scenario.names)
            namespace = "fleet-local" if scenario.management == "local" else "fleet-default"
            if (namespace, name) in self._names:
                raise ScenarioError(f"there is a cluster named {name!r} already")
            identity = identify(scenario, name, self.seed, taken=set(self.clusters))
            config, before = wanted_config(scenario, identity)
            now = self.clock.seconds()
            cluster = SimCluster(
                scenario,
                identity,
                self.clock,
                rancher_version=self.rancher_version,
                config=config,
                config_before=before,
                born=now - scenario.age - scenario.settled,
                lock=self.lock,
            )
            self._owned[cluster.id] = _Owned()
            self._names[namespace, name] = cluster.id
            self.clusters[cluster.id] = cluster
            cluster.on_render(self._render, self._fill_downstream)
            cluster.advance(now)
            cluster.now = max(cluster.now, now)
            self._render(cluster)
            self._push(cluster)
            return cluster

    def _next_name(self, prefix: str) -> str:
        while True:
            self._counters[prefix] += 1
            name = f"{prefix}-{self._counters[prefix]:02d}"
            if ("fleet-default", name) not in self._names:
                return name

    @classmethod
    def generate(
        cls,
        clusters: int = 100,
        nodes: int = 3,
        seed: int = 1,
        *,
        clock: SimClock | None = None,
        rancher_version: str = "v2.11.3",
        well: float = 0.85,
    ) -> "Fleet":
        """A mixture as a large installation has it; the same arguments give the same fleet."""
        fleet = cls(clock, rancher_version, seed=seed)
        rng = random.Random(seed)
        ill = [s for s in scenario_ids() if s not in NOT_DEALT and fleet._offers(s)]
        fine = [s for s in WELL if fleet._offers(s)]
        sick = round(clusters * (1 - well)) if clusters > 1 else 0
        deal = [ill[i % len(ill)] for i in range(sick)] + [rng.choice(fine) for _ in range(clusters - sick)]
        rng.shuffle(deal)
        for scenario_id in deal:
            # The scenario about a full pod range needs its eight nodes.
            if scenario_id == "rke2-canal-cidr-exhausted":
                fleet.add(scenario_id)
            else:
                fleet.add(scenario_id, nodes=nodes)
        return fleet

    def _offers(self, scenario_id: str) -> bool:
        return _has_rke1(self.rancher_version) or not scenario_id.startswith("rke1-")

    # -- asking ----------------------------------------------------------------------------------------------------

    def named(self, namespace: str, name: str) -> SimCluster | None:
        cluster_id = self._names.get((namespace, name))
        return self.clusters.get(cluster_id) if cluster_id else None

    def truth(self) -> Json:
        """What is really the matter with every cluster, for measuring a diagnosis."""
        with self.lock:
            self.tick()
            return {
                "clusters": {
                    c.id: {
                        "name": c.name,
                        "scenario": c.scenario.id,
                        "verdict": c.truth.verdict,
                        "cause": c.truth.cause or None,
                        "signature": c.truth.signature or None,
                        "detail": c.truth.detail or None,
                        "state": c.state.name,
                        "since": rfc3339(c.entered),
                    }
                    for c in self.clusters.values()
                }
            }

    # -- moving ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Moves every cluster that has something due to the present."""
        with self.lock:
            now = self.clock.seconds()
            while self._due and self._due[0][0] <= now:
                _, cluster_id = heapq.heappop(self._due)
                cluster = self.clusters.get(cluster_id)
                if cluster is None:
                    continue
                cluster.advance(now)
                if cluster.removed:
                    self.remove(cluster_id)
                else:
                    self._push(cluster)
            self._finish_backups(now)

    def _push(self, cluster: SimCluster) -> None:
        heapq.heappush(self._due, (cluster.due(), cluster.id))

    def remove(self, cluster_id: str) -> None:
        """The cluster is gone, with everything Rancher kept about it."""
        with self.lock:
            cluster = self.clusters.pop(cluster_id)
            self._names.pop((cluster.identity.namespace, cluster.name), None)
            for resource, (namespace, name) in self._owned.pop(cluster_id).local:
                self.local.drop(resource, namespace, name)

    def _render(self, cluster: SimCluster) -> None:
        owned = self._owned.get(cluster.id)
        if owned is None or cluster.removed:
            return
        owned.local = render_management(cluster, self.local).sweep(owned.local)
        store = cluster.downstream_if_made
        if store is not None:
            owned.downstream = render_downstream(cluster, store, owned.downstream)

    def _fill_downstream(self, cluster: SimCluster, store: Store) -> None:
        owned = self._owned[cluster.id]
        owned.downstream = render_downstream(cluster, store, owned.downstream)
        heapq.heappush(self._due, (self.clock.seconds(), cluster.id))

    # -- writes that mean something --------------------------------------------------------------------------------

    def _local_written(self, written: Written) -> None:
        cluster = self._cluster_of(written)
        if cluster is None:
            return
        now = self.clock.seconds()
        if written.resource in _MACHINES:
            if written.verb == "delete":
                cluster.replace_machine(written.key[1], now)
        elif written.verb == "delete":
            cluster.remove(now)
        elif written.resource is _PROVISIONING and cluster.provisioned_v2:
            cluster.write_config(written.obj.get("spec") or {}, now)
        elif written.resource is _MANAGEMENT and cluster.rke1:
            config = (written.obj.get("spec") or {}).get("rancherKubernetesEngineConfig") or {}
            forced = (written.obj["metadata"].get("annotations") or {}).get(FORCE_UPDATE) == "true"
            cluster.write_config(config, now, forced=forced)
        self._push(cluster)

    def _cluster_of(self, written: Written) -> SimCluster | None:
        namespace, name = written.key
        if written.resource is _PROVISIONING:
            return self.named(namespace, name)
        if written.resource is _MANAGEMENT:
            return self.clusters.get(name)
        if written.resource is _MACHINES[1]:
            return self.clusters.get(namespace)
        if written.resource is _MACHINES[0]:
            return self.named(namespace, written.obj.get("spec", {}).get("clusterName", ""))
        return None

    def cluster_changed(self, cluster: SimCluster) -> None:
        """After a client's write to a downstream store: look at the cluster again soon."""
        with self.lock:
            self._push(cluster)

    def back_up(self, cluster: SimCluster) -> Json:
        """Norman's backupEtcd: the object is there at once, `Completed` follows."""
        with self.lock:
            now = self.clock.seconds()
            self._counters["backup"] += 1
            name = f"{cluster.id}-ml-{self._counters['backup']:05d}"
            obj = {
                "apiVersion": _BACKUP.api_version,
                "kind": _BACKUP.kind,
                "metadata": {"name": name, "namespace": cluster.id},
                "spec": {"clusterId": cluster.id, "manual": True, "filename": f"{name}_{rfc3339(now)}.zip"},
                "status": {
                    "kubernetesVersion": cluster.wanted.get("kubernetesVersion", ""),
                    "conditions": [{"type": "Created", "status": "True"}, {"type": "Completed", "status": "Unknown"}],
                },
            }
            self.local.put(_BACKUP, obj)
            self._backups.append((now + 15.0, cluster.id, name))
            return self.local.get(_BACKUP, (cluster.id, name)).obj

    def _finish_backups(self, now: float) -> None:
        for due in [b for b in self._backups if b[0] <= now]:
            self._backups.remove(due)
            found = self.local.peek(_BACKUP, due[1], due[2])
            if found:
                done = [{"type": t, "status": "True"} for t in ("Created", "Completed")]
                self.local.put(_BACKUP, {**found, "status": {**found["status"], "conditions": done}})

    def refresh_metadata(self) -> None:
        """The kontainer drivers' action `refresh`."""
        with self.lock:
            metadata.refresh(self.local)
            for cluster in self.clusters.values():
                cluster.did("metadata-refreshed", self.clock.seconds())
                self._push(cluster)

    def _seed_local(self, now: float) -> None:
        born = now - 200 * 86400.0
        namespace = resource_of("v1", "Namespace")
        for name in (
            *("cattle-global-data", "cattle-system", "fleet-default", "fleet-local"),
            *("default", "kube-node-lease", "kube-public", "kube-system"),
        ):
            obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}}
            self.local.put(namespace, obj, created=born)
        # The node of Rancher's own cluster on which its pods run, those of machine jobs among them.
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": LOCAL_NODE},
            "spec": {},
            "status": {"addresses": [{"type": "InternalIP", "address": LOCAL_NODE_IP}]},
        }
        self.local.put(resource_of("v1", "Node"), node, created=born)
        for name, value in {
            "server-version": self.rancher_version,
            "server-url": self.url,
            "cacerts": "",
            "auth-token-max-ttl-minutes": "129600",
            "agent-tls-mode": "strict",
            "install-uuid": f"5d1e0f00-0000-4000-8000-{self.seed:012d}",
            "rke-metadata-config": '{"refresh-interval-minutes":"1440","url":"https://releases.rancher.com/kontainer-driver-metadata/release-v2.11/data.json"}',
        }.items():
            self.set_setting(name, value, created=born)

    def set_setting(self, name: str, value: str, *, created: float | None = None) -> None:
        obj = {
            "apiVersion": _SETTING.api_version,
            "kind": _SETTING.kind,
            "metadata": {"name": name},
            "customized": False,
            "default": value,
            "source": "",
            "value": value,
        }
        self.local.put(_SETTING, obj, created=created)

    def record(self, entry: Mapping[str, Any]) -> None:
        with self.lock:
            self.journal.append(dict(entry))


def _has_rke1(rancher_version: str) -> bool:
    major, minor = rancher_version.removeprefix("v").split("-")[0].split(".")[:2]
    return (int(major), int(minor)) <= (2, 11)


__all__ = ["ADMIN_TOKEN", "READER_TOKEN", "Fleet", "Token", "seconds"]
