"""Which troubles can a cluster have that somebody can mend through Rancher, and how does each go away?

`library/troubles.yaml` says of each trouble what it shows, which configuration led to it, and by which deed of a client it is
gone. Here it becomes a whole scenario for one distribution and network, `<trouble>@<distribution>-<cni>`, in the words of the
files in `scenarios/`. Two courses are common to all:

- RKE2 and K3s: one server is up and Rancher reaches it; the machines that join get no network. (What never connected shows
  nothing to anybody; those scenarios stand in files of their own.)
- RKE1: no node ever had a network. Rancher reaches the API through the nodes all the same.

A trouble with `broken: one` is that of one machine of a cluster that worked, `server` of its first; `never` that of one whose agent
never connected, of which nothing but the specification can be read. Parameters say how the cure turns out:
`no_effect` it changes nothing, `worse` all nodes fall out, `relapse` it holds for four minutes, `late` the agent connects after
a quarter of an hour. `shape` is the machines' form: `ec2`, `vsphere`, `mixed` with Windows nodes, or `many` with 120 nodes.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

_FILE = Path(__file__).parent / "library" / "troubles.yaml"
_VERSIONS = {"rke1": "v1.32.2-rancher1-1", "rke2": "v1.32.5+rke2r1", "k3s": "v1.32.5+k3s1"}
_PARAMETERS = ("no_effect", "worse", "relapse", "late")
SHAPES = ("ec2", "vsphere", "mixed", "many")


@lru_cache
def known_troubles() -> Mapping[str, Json]:
    with _FILE.open(encoding="utf-8") as f:
        loaded: Mapping[str, Json] = yaml.safe_load(f)
    return loaded


def trouble_ids() -> list[str]:
    """Every trouble on every distribution and network that it has."""
    return [f"{name}@{where}" for name, trouble in known_troubles().items() for where in trouble["clusters"]]


def written_out(scenario_id: str) -> Json | None:
    """The scenario as its file would say it; None where there is no such trouble. `@rke2-canal-mixed` names another shape."""
    name, _, rest = scenario_id.partition("@")
    where, shape = rest, "ec2"
    for each in SHAPES:
        if rest.endswith(f"-{each}"):
            where, shape = rest.removesuffix(f"-{each}"), each
    trouble = known_troubles().get(name)
    if trouble is None or where not in trouble["clusters"]:
        return None
    distribution, cni = where.split("-")
    own: Json = {**trouble, **(trouble["clusters"][where] or {})}
    once_well = own.get("broken") in {"one", "server"} or (distribution != "rke1" and own.get("broken") != "never")
    raw: Json = {
        "title": f"{distribution.upper()} with {cni.capitalize()}: {own['title']}",
        "distribution": distribution,
        "cni": cni,
        "kubernetes": own.get("kubernetes", _VERSIONS[distribution]),
        "was": own.get("was", ""),
        "driver": "vmwarevsphere" if shape == "vsphere" else "amazonec2",
        "names": "drill",
        "pools": _pools(shape, all_servers=own.get("broken") in {"one", "server"}),
        "labels": {"env": "staging", **(own.get("labels") or {})},
        "config": own.get("config") or {},
        "config_before": own.get("config_before") or {},
        "params": dict.fromkeys(_PARAMETERS, False),
        "begin": "before" if once_well else "fresh",
        "start": "broken",
        "truth": {"verdict": "stuck", "cause": own["cause"], "signature": own.get("signature", name)},
        "logs": own.get("logs") or {},
        "states": _states(own, distribution, once_well=once_well),
    }
    if once_well:
        raw["settled"] = "10d"
    return raw


def _pools(shape: str, *, all_servers: bool) -> list[Json]:
    if all_servers:
        return [{"name": "all", "roles": ["controlplane", "etcd", "worker"], "quantity": 3}]
    workers = 119 if shape == "many" else 2
    pools: list[Json] = [
        {"name": "cp", "roles": ["controlplane", "etcd"], "quantity": 1},
        {"name": "worker", "roles": ["worker"], "quantity": workers},
    ]
    if shape == "mixed":
        # Last, so that the machine that must be well first is the server.
        pools.append({"name": "win", "roles": ["worker"], "quantity": 1, "os": "windows"})
    return pools


def _states(own: Json, distribution: str, *, once_well: bool) -> Json:
    rke1 = distribution == "rke1"
    shows: Json = _shown(own, rke1=rke1) | {"cni": own.get("cni") or {}} | (own.get("shows") or {})
    if events := own.get("events"):
        shows["events"] = events
    gone = own["gone"] if isinstance(own["gone"], list) else [own["gone"]]
    # What a mended cluster shows while its nodes come up: the same, without what was wrong.
    quiet = {key: shows[key] for key in _shown(own, rke1=rke1) if key != "error"} | {"cni": {"state": "starting"}}
    waiting = {"text": "waiting for cluster agent to connect", "connected": False, "agent": "pending"}
    states: Json = {
        "broken": {
            "shows": shows,
            "next": [
                {"when": [*gone, {"param": "worse"}], "after": "15s", "to": "worse"},
                {"when": [*gone, {"unless": "no_effect"}, {"unless": "worse"}], "after": "15s", "to": "mending"},
            ],
        },
        "mending": {
            "truth": "progressing",
            "shows": quiet,
            "next": [
                {"when": {"param": "late"}, "after": "20s", "to": "late"},
                {"when": {"unless": "late"}, "after": "20s", "to": "healthy"},
            ],
        },
        "late": {
            "truth": "progressing",
            "shows": waiting | ({"condition": "Waiting"} if rke1 else {}),
            "next": [{"after": "15m", "to": "healthy"}],
        },
        "healthy": {
            "truth": "healthy",
            "shows": {},
            "next": [{"when": {"param": "relapse"}, "after": "4m", "to": "again"}],
        },
        "again": {"shows": shows},
        # No node has a network any more; what is read of it is read through Rancher all the same.
        "worse": {"shows": shows | {"ready": "none", "not_ready": [], "cni": _CRASHED[distribution]}},
    }
    if once_well:
        well: Json = {} if own.get("broken") or own.get("was") else _JOINED
        if own.get("was"):
            well = {"upgraded": "none"}
        states["before"] = {"truth": "healthy", "shows": well, "next": [{"after": "10d", "to": "$start"}]}
    return states


_JOINED: Json = {"machines": 1, "checked_in": 1, "nodes": 1, "ready": 1}
_CRASHED: Mapping[str, Json] = {
    "rke1": {"state": "crash-loop", "container": "kube-flannel", "log": "flannel-no-interface"},
    "rke2": {"state": "crash-loop", "container": "kube-flannel", "log": "flannel-no-interface"},
    "k3s": {},
}


def _shown(own: Json, *, rke1: bool) -> Json:
    """How far the cluster is, whatever the trouble."""
    if own.get("broken") == "one":
        # The last machine of the last pool.
        found: Json = {"not_ready": [2], "text": "non-ready worker machine(s) {unready}"}
        return found | ({"condition": "Updated", "error": True} if rke1 else {})
    if own.get("broken") == "never":
        text = "configuring bootstrap node(s) {first}: waiting for cluster agent to connect"
        return {"text": text, "connected": False, "checked_in": 1, "nodes": 1, "ready": "none", "agent": "pending"}
    if rke1:
        return {
            "condition": "Waiting",
            "text": "Waiting for API to be available",
            "connected": False,
            "ready": "none",
            "agent": "pending",
        }
    found = {"text": "configuring worker node(s) {unready}", "ready": 1}
    return found | ({"upgraded": 1} if own.get("was") else {})
