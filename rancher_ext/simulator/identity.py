"""What are a simulated cluster, its machines and its nodes called?

Rancher's naming rules decide what a client may conclude from an id: `c-xxxxx` for RKE1, imported and hosted clusters,
`c-m-xxxxxxxx` for Rancher-made RKE2 and K3s, `local` for its own. Node-driver machines of RKE2/K3s are
`<cluster>-<pool>-<5>-<5>` and their node has the same name; custom machines are `custom-<12 hex>` with the host's own
node name; RKE1 nodes are `m-xxxxx` with a host name of the template's prefix. All names follow from the seed.
"""

import random
from dataclasses import dataclass, replace

from rancher_ext.simulator.scenario import Scenario

# The letters of Kubernetes' name generator: no vowels, nothing that looks like another.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class MachineName:
    """One machine by all its names. `place` is its position in pool order; 0 is the bootstrap (init) node."""

    place: int
    pool: str
    roles: tuple[str, ...]
    os: str
    name: str  # Machine (RKE2, K3s) or requested host name (RKE1)
    id: str  # RKE1: `m-xxxxx`, the object's name; else the machine-id label
    node: str
    ip: str
    bootstrap: str  # RKEBootstrap

    def has(self, role: str) -> bool:
        return role in self.roles


@dataclass(frozen=True)
class Identity:
    name: str
    id: str
    namespace: str
    machines: tuple[MachineName, ...]
    ghosts: tuple[MachineName, ...]
    api_server: str

    @property
    def first(self) -> MachineName:
        return self.machines[0]


def letters(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(_LETTERS, k=n))


def identify(scenario: Scenario, name: str, seed: object, *, taken: set[str]) -> Identity:
    rng = random.Random(f"{seed}/{name}")
    cluster_id = _cluster_id(scenario, rng)
    while cluster_id in taken:
        cluster_id = _cluster_id(scenario, rng)
    second, third = rng.randint(16, 31), rng.randint(0, 199)
    machines: list[MachineName] = []
    for pool in scenario.pools:
        generation = letters(rng, 5)
        for n in range(pool.quantity):
            machines.append(
                _machine(
                    scenario,
                    rng,
                    name,
                    len(machines),
                    (pool.name, pool.roles, pool.os),
                    generation,
                    n + 1,
                    second,
                    third,
                )
            )
    ghosts = tuple(
        _machine(scenario, rng, name, -1 - g, ("worker", ("worker",), "linux"), letters(rng, 5), 90 + g, second, third)
        for g in range(4)
    )
    first_ip = machines[0].ip if machines else f"172.{second}.{third}.10"
    namespace = "fleet-local" if scenario.management == "local" else "fleet-default"
    return Identity(name, cluster_id, namespace, tuple(machines), ghosts, f"https://{first_ip}:6443")


def successor(machine: MachineName, cluster: str) -> MachineName:
    """The machine that a pool makes in place of a deleted one; RKE1 gives the host name to the next one again."""
    rng = random.Random(f"{cluster}/{machine.name}/{machine.id}/successor")
    if machine.id.startswith("m-"):
        return replace(machine, id="m-" + letters(rng, 5))
    name = f"{machine.name.rpartition('-')[0]}-{letters(rng, 5)}"
    bootstrap = f"{cluster}-bootstrap-template-{letters(rng, 5)}"
    return replace(machine, name=name, node=name, bootstrap=bootstrap, id=f"{rng.getrandbits(64):016x}")


def _cluster_id(scenario: Scenario, rng: random.Random) -> str:
    if scenario.management == "local":
        return "local"
    if scenario.management == "provisioned" and scenario.distribution in {"rke2", "k3s"}:
        return "c-m-" + letters(rng, 8)
    return "c-" + letters(rng, 5)


def _machine(
    scenario: Scenario,
    rng: random.Random,
    cluster: str,
    place: int,
    pool: tuple[str, tuple[str, ...], str],
    generation: str,
    n: int,
    second: int,
    third: int,
) -> MachineName:
    pool_name, roles, os = pool
    host = (place if place >= 0 else 240 + n) + 11
    ip = f"172.{second}.{(third + host // 250) % 256}.{host % 250 + 1}"
    if scenario.distribution == "rke1":
        name = f"{cluster}-{pool_name}{n}"
        return MachineName(place, pool_name, roles, os, name, "m-" + letters(rng, 5), name, ip, "")
    if scenario.driver == "custom":
        name = f"custom-{rng.getrandbits(48):012x}"
        node = f"{cluster}-{pool_name}-{n:02d}"
    else:
        name = node = f"{cluster}-{pool_name}-{generation}-{letters(rng, 5)}"
    bootstrap = f"{cluster}-bootstrap-template-{letters(rng, 5)}" if scenario.driver != "custom" else name
    return MachineName(place, pool_name, roles, os, name, f"{rng.getrandbits(64):016x}", node, ip, bootstrap)
