"""What do pods and their containers look like, running or not?

Builders for pod objects with container statuses as the kubelet reports them: CrashLoopBackOff with the back-off in the
message, the last termination with exit code and times, restart counts that grow with time. Containers ask for no resources
here, so that every pod is BestEffort: the API server refuses a pod's status that claims another class.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.simulator.clock import rfc3339

Json = dict[str, Any]

RUN_LASTS = 0.6  # seconds between start and exit of a container that gives up at once


@dataclass(frozen=True, slots=True)
class Box:
    """One container: what it is and how it does."""

    name: str
    image: str
    state: str = "running"  # running, not-ready, crash-loop, creating, completed, killed
    restarts: int = 0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    reason: str = ""
    log: str = ""
    init: bool = False
    back_off: float = 300.0

    @property
    def ready(self) -> bool:
        return self.state in {"running", "completed"}


@dataclass(frozen=True, slots=True)
class PodShape:
    name: str
    namespace: str
    node: str
    boxes: tuple[Box, ...]
    created: float
    labels: dict[str, str]
    owner: tuple[str, str] = ("", "")  # kind, name
    host_network: bool = False
    ip: str = ""
    host_ip: str = ""
    pending: str = ""  # the scheduler's message while there is no node
    tolerations: tuple[Json, ...] = field(default=())
    node_lost: bool = False


def restarts_by(age: float, settled: float) -> tuple[int, float]:
    """How often a container that exits at once was restarted after `age`, and when (in that age) it last started.

    The kubelet waits 10, 20, 40, 80, 160 and then always 300 seconds; a smaller `settled` is a container that lives
    that long before it dies.
    """
    if settled < 300:
        n = int(age // settled)
        return n, n * settled
    at, wait, n = 0.0, 10.0, 0
    while at + wait <= age:
        if wait >= settled:
            more = int((age - at) // settled)
            return n + more, at + more * settled
        at, wait, n = at + wait, min(wait * 2, settled), n + 1
    return n, at


def short_hash(text: str, n: int = 5) -> str:
    """Letters as in generated pod names."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[b % len(alphabet)] for b in digest[:n])


def _container_id(pod: PodShape, box: Box, run: int) -> str:
    return "containerd://" + hashlib.sha256(f"{pod.name}/{box.name}/{run}".encode()).hexdigest()


def _terminated(pod: PodShape, box: Box, run: int) -> Json:
    return {
        "terminated": {
            "containerID": _container_id(pod, box, run),
            "exitCode": box.exit_code,
            "reason": box.reason or ("Completed" if box.exit_code == 0 else "Error"),
            "startedAt": rfc3339(box.started),
            "finishedAt": rfc3339(box.finished or box.started + RUN_LASTS),
        }
    }


def _status(pod: PodShape, box: Box) -> Json:
    status: Json = {
        "name": box.name,
        "image": box.image,
        "imageID": ""
        if box.state == "creating"
        else f"{box.image}@sha256:{hashlib.sha256(box.image.encode()).hexdigest()}",
        "ready": box.ready,
        "restartCount": box.restarts,
        "started": box.state in {"running", "not-ready"},
        "lastState": {},
    }
    if box.state in {"running", "not-ready"}:
        status["state"] = {"running": {"startedAt": rfc3339(box.started)}}
        status["containerID"] = _container_id(pod, box, box.restarts)
        if box.restarts and box.reason:
            last = Box(**{**_fields(box), "started": box.started - box.back_off, "finished": box.started - 10})
            status["lastState"] = _terminated(pod, last, box.restarts - 1)
    elif box.state == "crash-loop":
        wait = f"{int(box.back_off // 60)}m{int(box.back_off % 60)}s" if box.back_off >= 60 else f"{int(box.back_off)}s"
        status["state"] = {
            "waiting": {
                "reason": "CrashLoopBackOff",
                "message": f"back-off {wait} restarting failed container={box.name} pod={pod.name}_{pod.namespace}",
            }
        }
        status["lastState"] = _terminated(pod, box, box.restarts)
        status["containerID"] = _container_id(pod, box, box.restarts)
    elif box.state == "completed":
        status["state"] = _terminated(pod, box, 0)
        status["containerID"] = _container_id(pod, box, 0)
    else:
        status["state"] = {"waiting": {"reason": "PodInitializing" if box.reason == "init" else "ContainerCreating"}}
        status["containerID"] = ""
    return status


def _fields(box: Box) -> dict[str, Any]:
    return {name: getattr(box, name) for name in Box.__slots__}


def pod_content(pod: PodShape) -> Json:
    """`spec` and `status` of the pod."""
    main = [b for b in pod.boxes if not b.init]
    init = [b for b in pod.boxes if b.init]
    spec: Json = {
        "containers": [{"name": b.name, "image": b.image} for b in main],
        "restartPolicy": "Never" if pod.owner[0] == "Job" else "Always",
        "tolerations": list(pod.tolerations),
        "serviceAccountName": "default",
    }
    if init:
        spec["initContainers"] = [{"name": b.name, "image": b.image} for b in init]
    if pod.host_network:
        spec["hostNetwork"] = True
    if pod.pending:
        return {
            "spec": spec,
            "status": {
                "phase": "Pending",
                "qosClass": "BestEffort",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": pod.pending,
                        "lastTransitionTime": rfc3339(pod.created),
                    }
                ],
            },
        }
    spec["nodeName"] = pod.node
    done = bool(main) and all(b.state == "completed" for b in main)
    ready = all(b.ready for b in main) and not done and not pod.node_lost
    creating = any(b.state == "creating" for b in main)
    stamp = rfc3339(max((b.started for b in main), default=pod.created) or pod.created)
    reason = (
        {}
        if ready
        else {"reason": "PodCompleted"}
        if done
        else {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(b.name for b in main if not b.ready)}]",
        }
    )
    conditions = [
        {
            "type": "PodReadyToStartContainers",
            "status": "False" if creating else "True",
            "lastTransitionTime": rfc3339(pod.created),
        },
        {"type": "Initialized", "status": "True", "lastTransitionTime": rfc3339(pod.created)},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp, **reason},
        {"type": "ContainersReady", "status": str(ready), "lastTransitionTime": stamp, **reason},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(pod.created)},
    ]
    status: Json = {
        "phase": "Succeeded" if done else "Pending" if creating else "Running",
        "qosClass": "BestEffort",
        "hostIP": pod.host_ip,
        "startTime": rfc3339(pod.created),
        "conditions": conditions,
        "containerStatuses": [_status(pod, b) for b in main],
    }
    if init:
        status["initContainerStatuses"] = [_status(pod, b) for b in init]
    if not creating or pod.host_network:
        status["podIP"] = pod.host_ip if pod.host_network else pod.ip
        status["podIPs"] = [{"ip": status["podIP"]}]
    return {"spec": spec, "status": status}
