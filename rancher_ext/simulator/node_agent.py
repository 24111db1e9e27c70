"""What do the nodes of a simulated cluster do with the DaemonSets that they are given?

As with RKE2 and K3s: the control plane nodes get `additionalManifest` with their next plan and apply it themselves, whoever reaches
the cluster, and what leaves the text leaves the cluster. Of a DaemonSet on the host's network every Linux node with a living
kubelet gets one pod; here that is a real process, with a folder for the node's root. Pods that need the pod network stay out: on
such clusters it is what is broken.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.node_files import node_root
from rancher_ext.simulator.triggers import at_path

Json = Mapping[str, Any]
_Key = tuple[str, str, str]  # cluster, DaemonSet, node

# What the image's entrypoint stands for. The process is the real one: nothing of it is imported here.
ENTRYPOINT = (sys.executable, "-m", "rancher_ext.probe")
_TERMINATES_WITHIN = 10.0


class NodeAgent:
    """The kubelets of a fleet. Enter it, or call `step` when something may have changed."""

    def __init__(
        self,
        fleet: Fleet,
        folder: Path,
        *,
        entrypoint: Sequence[str] = ENTRYPOINT,
        every: float = 0.05,
        silent: frozenset[str] = frozenset(),
    ) -> None:
        self._fleet = fleet
        self._folder = folder
        self._entrypoint = tuple(entrypoint)
        self._every = every
        # Nodes whose image does not come: nothing runs there.
        self._silent = silent
        self._running: dict[_Key, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="simulated-kubelets", daemon=True)
        self.started: list[_Key] = []

    @property
    def pods(self) -> list[_Key]:
        """What runs at this moment."""
        return sorted(key for key, process in self._running.items() if process.poll() is None)

    def step(self) -> None:
        """Starts what is wanted and does not run, ends what runs and is wanted no more."""
        with self._fleet.lock:
            clusters = [cluster for cluster in self._fleet.clusters.values() if cluster.provisioned_v2]
            wanted = {key: pod for cluster in clusters for key, pod in self._wanted(cluster).items()}
        for key in [key for key in self._running if key not in wanted]:
            _terminate(self._running.pop(key))
        for key, environment in wanted.items():
            if key not in self._running:
                self._running[key] = subprocess.Popen(  # noqa: S603 - our own entrypoint
                    [*self._entrypoint, *environment.pop("ARGS").split()],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                self.started.append(key)

    def _wanted(self, cluster: SimCluster) -> dict[_Key, dict[str, str]]:
        documents = _documents(at_path(cluster.delivered, "rkeConfig.additionalManifest"))
        secrets = {
            (_name(each), str(name)): str(value)
            for each in documents
            if each.get("kind") == "Secret"
            for name, value in (each.get("stringData") or {}).items()
        }
        found: dict[_Key, dict[str, str]] = {}
        for document in documents:
            pod = at_path(document, "spec.template.spec") if document.get("kind") == "DaemonSet" else None
            if not isinstance(pod, Mapping) or not pod.get("hostNetwork"):
                continue
            for machine in cluster.identity.machines:
                key = (cluster.id, _name(document), machine.node)
                if self._takes(cluster, machine, pod):
                    root = self._folder / cluster.id / machine.node
                    if key not in self._running:
                        node_root(cluster, machine, root)
                    found[key] = _environment(pod, secrets, machine, root)
        return found

    def _takes(self, cluster: SimCluster, machine: MachineName, pod: Json) -> bool:
        """Windows has no host network of this kind; without `Exists` the node's taints keep the pod away."""
        tolerates = any(each.get("operator") == "Exists" and "key" not in each for each in pod.get("tolerations") or ())
        return (
            machine.os == "linux"
            and machine.place < cluster.counts.nodes
            and machine.node not in self._silent
            and not cluster.kubelet_is_gone(machine.node)
            and (tolerates or cluster.is_ready(machine))
        )

    def _work(self) -> None:
        while not self._ended.wait(self._every):
            self.step()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_TERMINATES_WITHIN)
        for process in self._running.values():
            _terminate(process)
        self._running.clear()


def _environment(pod: Json, secrets: Mapping[tuple[str, str], str], machine: MachineName, root: Path) -> dict[str, str]:
    """The container's variables, as the kubelet makes them, and where its mount of `/` lies on this machine."""
    container = pod["containers"][0]
    given = {"PATH": os.environ.get("PATH", ""), "HOME": str(root), "LANG": "C.UTF-8"}
    for source in container.get("envFrom") or ():
        name = (source.get("secretRef") or {}).get("name")
        given |= {key: value for (secret, key), value in secrets.items() if secret == name}
    for variable in container.get("env") or ():
        path = at_path(variable, "valueFrom.fieldRef.fieldPath")
        given[variable["name"]] = machine.node if path == "spec.nodeName" else str(variable.get("value") or "")
    given["PROBE_ROOT"] = str(root)
    given["PROBE_SERVICE_ACCOUNT"] = str(root / "no-service-account")
    given["ARGS"] = " ".join(container.get("args") or ())
    return given


def _documents(text: object) -> list[Json]:
    """A text with one bad document is not applied at all."""
    try:
        documents = list(yaml.safe_load_all(str(text or "")))
    except yaml.YAMLError:
        return []
    return [each for each in documents if isinstance(each, Mapping)]


def _name(document: Json) -> str:
    return str((document.get("metadata") or {}).get("name") or "")


def _terminate(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_TERMINATES_WITHIN)
        return
    process.kill()
    process.wait()
