"""How does a test get nodes and pods in a state of its choice, with kubelets that answer?

KWOK plays the kubelets of every node that carries our annotation. Its stages are ours: an object's annotation names the state,
the stage of that state writes the status that a kubelet would write, in a kubelet's words. Its server answers `pods/log` for
the containers whose text was given, through the API server as in life.

What it does not play: the kubelet's refusals (`waiting to start`), leases, and nodes that stop answering.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from tests.e2e.build import SERVERS
from tests.e2e.cluster import ApiServer, Program, free_ports

Json = dict[str, Any]

STATE = "drover.test/state"
MANAGED = "drover.test/kwok"
SHOWN_WITHIN = 180.0


class NodeState(StrEnum):
    READY = "ready"
    NETWORK_NOT_READY = "network-not-ready"
    SILENT = "silent"


class PodState(StrEnum):
    RUNNING = "running"
    CRASH_LOOP = "crash-loop"
    IMAGE_PULL = "image-pull"


@dataclass(frozen=True)
class ContainerLog:
    """What `pods/log` answers for one container. `previous` None: it never ran before. `stamped`: each line begins with its time."""

    namespace: str
    pod: str
    container: str
    text: str
    previous: str | None = None
    stamped: bool = False


_NO_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
# status, reason and message of a node's condition Ready, as kubelets (and, for the last, the node controller) write them
_READY = {
    NodeState.READY: ("True", "KubeletReady", "kubelet is posting ready status"),
    NodeState.NETWORK_NOT_READY: ("False", "KubeletNotReady", _NO_NETWORK),
    NodeState.SILENT: ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."),
}
_WAITING = {
    PodState.CRASH_LOOP: ("CrashLoopBackOff", "back-off 5m0s restarting failed container"),
    PodState.IMAGE_PULL: ("ImagePullBackOff", "Back-off pulling image"),
}


class KwokNodes:
    """KWOK beside one API server."""

    def __init__(
        self,
        folder: Path,
        server: ApiServer,
        logs: Sequence[ContainerLog] = (),
        *,
        for_all: Sequence[ContainerLog] = (),
    ) -> None:
        """`for_all` are logs of every pod of a namespace: their pod name is not looked at."""
        self._server = server
        home = folder / "kwok"
        home.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        certificate, key = server.authority.issue("kwok")
        documents = [*(_node_stage(state) for state in NodeState), *(_pod_stage(state) for state in PodState)]
        documents += [*_logs(home, logs), *_logs_for_all(home, for_all)]
        self._for_all = {(log.namespace, log.container): home / f"all-{index}" for index, log in enumerate(for_all)}
        config = home / "kwok.yaml"
        config.write_text("\n---\n".join(json.dumps(each, indent=1) for each in documents), encoding="utf-8")
        self._program = Program(
            "kwok",
            home,
            [
                str(SERVERS["kwok"].binary),
                f"--config={config}",
                f"--kubeconfig={server.kubeconfig(home / 'kubeconfig')}",
                f"--manage-nodes-with-annotation-selector={MANAGED}=yes",
                "--node-ip=127.0.0.1",
                f"--node-port={self.port}",
                f"--server-address=127.0.0.1:{self.port}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
            ],
        )

    def add_node(self, name: str, state: NodeState = NodeState.READY, pod_cidr: str = "") -> None:
        metadata = {
            "name": name,
            "annotations": {MANAGED: "yes", STATE: state},
            "labels": {"kubernetes.io/os": "linux"},
        }
        spec = {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]} if pod_cidr else {}
        answer = self._server.call("POST", "/api/v1/nodes", {"metadata": metadata, "spec": spec})
        assert answer.ok, answer.text

    def add_pod(
        self,
        namespace: str,
        name: str,
        node: str,
        state: PodState,
        containers: Sequence[str] = ("main",),
        metadata: Json | None = None,
    ) -> None:
        body = {
            "metadata": {"name": name, "annotations": {STATE: state}, **(metadata or {})},
            "spec": {
                "nodeName": node,
                "containers": [{"name": each, "image": f"registry.example/{each}:1"} for each in containers],
            },
        }
        answer = self._server.call("POST", f"/api/v1/namespaces/{namespace}/pods", body)
        assert answer.ok, answer.text

    def turn(self, path: str, state: NodeState | PodState) -> None:
        """Another state for the node or pod at this path of the API."""
        patch = {"metadata": {"annotations": {STATE: state}}}
        answer = self._server.call("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.ok, answer.text

    def say(self, namespace: str, container: str, text: str) -> None:
        """Another current log for this container of every pod, of those given as `for_all`."""
        _written(self._for_all[namespace, container], text, stamped=False)

    def wait_for(self, path: str, shown: str) -> Json:
        """The object at this path once its status has this text."""
        deadline = time.monotonic() + SHOWN_WITHIN
        while True:
            found: Json = self._server.call("GET", path).json()
            if shown in json.dumps(found.get("status") or {}):
                return found
            assert time.monotonic() < deadline, (
                f"{path} does not show {shown!r}: {found.get('status')}\n{self._program.tail()}"
            )
            time.sleep(0.05)

    def stop(self) -> None:
        self._program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _stage(name: str, kind: str, state: str, sign: str, wanted: str, status: Json) -> Json:
    """Applied to an object that asks for `state` as long as the expression `sign` does not yield `wanted`."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {
                "matchAnnotations": {STATE: state},
                "matchExpressions": [{"key": sign, "operator": "NotIn", "values": [wanted]}],
            },
            "next": {"statusTemplate": _template(status)},
        },
    }


def _node_stage(state: NodeState) -> Json:
    ready, reason, message = _READY[state]
    now = "{{ Now }}"
    conditions = [
        {
            "type": kind,
            "status": "False",
            "reason": f"KubeletHas{what}",
            "message": "",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, what in (
            ("MemoryPressure", "SufficientMemory"),
            ("DiskPressure", "NoDiskPressure"),
            ("PIDPressure", "SufficientPID"),
        )
    ]
    conditions.append(
        {
            "type": "Ready",
            "status": ready,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
    )
    versions = {
        "kubeletVersion": "v1.32.13",
        "kubeProxyVersion": "v1.32.13",
        "containerRuntimeVersion": "containerd://2.0.5",
    }
    system = {"operatingSystem": "linux", "architecture": "amd64", "osImage": "kwok", "kernelVersion": "6.1.0"}
    status = {
        "addresses": [
            {"type": "InternalIP", "address": "{{ NodeIP }}"},
            {"type": "Hostname", "address": "{{ NodeName }}"},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": "{{ NodePort }}"}},
        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
        "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
        "nodeInfo": {**versions, **system, "machineID": "", "systemUUID": "", "bootID": ""},
        "conditions": conditions,
    }
    sign = '.status.conditions.[] | select( .type == "Ready" ) | .reason'
    return _stage(f"node-{state}", "Node", state, sign, reason, status)


def _pod_stage(state: PodState) -> Json:
    waiting = _WAITING.get(state)
    container: Json = {"ready": waiting is None, "restartCount": 0, "imageID": ""}
    if waiting is None:
        container |= {"started": True, "state": {"running": {"startedAt": "{{ Now }}"}}}
    else:
        container |= {"started": False, "state": {"waiting": {"reason": waiting[0], "message": waiting[1]}}}
    if state is PodState.CRASH_LOOP:
        ended = {"exitCode": 1, "reason": "Error", "startedAt": "{{ Now }}", "finishedAt": "{{ Now }}"}
        container |= {"restartCount": 7, "lastState": {"terminated": ended}}
    lines = [f"phase: {'Pending' if state is PodState.IMAGE_PULL else 'Running'}", "hostIP: {{ NodeIP | Quote }}"]
    ready = "True" if waiting is None else "False"
    lines += ["conditions:"]
    for kind, status in (
        ("Initialized", "True"),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", "True"),
    ):
        lines += [f'- {{type: {kind}, status: "{status}", lastTransitionTime: {{{{ Now | Quote }}}}}}']
    lines += [
        "containerStatuses:",
        "{{ range .spec.containers }}",
        "- name: {{ .name | Quote }}",
        "  image: {{ .image | Quote }}",
    ]
    lines += [f"  {key}: {_flow(value)}" for key, value in container.items()]
    lines += ["{{ end }}"]
    stage = _stage(
        f"pod-{state}", "Pod", state, ".status.containerStatuses.[].state | to_entries | .[].key", "running", {}
    )
    if waiting is not None:
        expression = {
            "key": ".status.containerStatuses.[].state.waiting.reason",
            "operator": "NotIn",
            "values": [waiting[0]],
        }
        stage["spec"]["selector"]["matchExpressions"] = [expression]
    stage["spec"]["next"]["statusTemplate"] = "\n".join(lines)
    return stage


def _template(status: Json) -> str:
    """YAML of flow style, one key a line, in which template functions stand where values go."""
    return "\n".join(f"{key}: {_flow(value)}" for key, value in status.items())


def _flow(value: Any) -> str:
    text = json.dumps(value)
    # A port is a number; texts stay quoted.
    return text.replace('"{{ NodePort }}"', "{{ NodePort }}")


def _logs_for_all(home: Path, logs: Sequence[ContainerLog]) -> list[Json]:
    return [
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterLogs",
            "metadata": {"name": f"{namespace}-logs"},
            "spec": {
                "selector": {"matchNamespaces": [namespace]},
                "logs": [
                    {
                        "containers": [log.container],
                        "logsFile": str(_written(home / f"all-{index}", log.text, stamped=log.stamped)),
                        "previousLogsFile": str(
                            _written(home / f"all-{index}-previous", log.previous or "", stamped=log.stamped)
                        ),
                    }
                    for index, log in enumerate(logs)
                    if log.namespace == namespace
                ],
            },
        }
        for namespace in sorted({log.namespace for log in logs})
    ]


def _logs(home: Path, logs: Sequence[ContainerLog]) -> list[Json]:
    """One document per pod: of several about one pod KWOK takes the first and looks no further."""
    pods: dict[tuple[str, str], list[Json]] = {}
    for index, log in enumerate(logs):
        entry = {
            "containers": [log.container],
            "logsFile": str(_written(home / f"log-{index}", log.text, stamped=log.stamped)),
        }
        if log.previous is not None:
            entry["previousLogsFile"] = str(_written(home / f"log-{index}-previous", log.previous, stamped=log.stamped))
        pods.setdefault((log.namespace, log.pod), []).append(entry)
    return [
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": pod, "namespace": namespace},
            "spec": {"logs": entries},
        }
        for (namespace, pod), entries in pods.items()
    ]


def _written(file: Path, text: str, *, stamped: bool) -> Path:
    """In the format of the container runtimes: time, stream, whole line."""
    lines = []
    for second, line in enumerate(text.splitlines()):
        time_, said = line.split(" ", 1) if stamped else (f"2026-03-03T12:00:{second % 60:02d}.000000000Z", line)
        lines.append(f"{time_} stderr F {said}")
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return file
