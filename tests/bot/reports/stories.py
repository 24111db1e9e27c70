"""Whole stories for tests of reports and pages: the founding case and what can become of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.incidents.incident import Incident, State
from bot.incidents.timeline import TimelineEntry
from bot.reports.story import EvidenceSummary, Sibling, Story
from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.remediation.action import PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change
from rancher_ext.remediation.plan import Plan

SINCE = datetime(2025, 3, 4, 9, 12, tzinfo=UTC)
OPENED = datetime(2025, 3, 4, 9, 42, 8, tzinfo=UTC)
NOW = datetime(2025, 3, 4, 9, 53, 20, tzinfo=UTC)
UID = "0f9a7f5e-6f3b-4a55-9d7b-0c6f4b0a7e11"

BR_NETFILTER: dict[str, Any] = {
    "signature": "flannel-br-netfilter-missing",
    "cause": "kernel-module-missing",
    "confidence": 0.98,
    "title": "Flannel stops because the kernel module br_netfilter is not loaded",
    "severity": "critical",
    "because": "Flannel 0.26 and newer look for /proc/sys/net/bridge/bridge-nf-call-iptables before anything else and exit when it is "
    "not there. RKE1 1.32 is the first line with such a Flannel, and Docker 27.3 and newer no longer load br_netfilter.",
    "advice": "Load br_netfilter on the nodes; on RKE1 set network.enableBrNetfilter.",
    "evidence": [
        {
            "source": f"logs/kube-system/canal-{pod}/kube-flannel.log",
            "line": 14,
            "text": f"E0304 09:1{digit}:31.40{digit}117       1 main.go:268] Failed to check br_netfilter: stat "
            "/proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory",
        }
        for digit, pod in enumerate(("7hx2p", "k9w4d", "zz81m"))
    ]
    + [{"source": "conditions.txt", "line": 6, "text": "Waiting  Unknown  Waiting for API to be available"}],
    "explainedBy": None,
    "missing": ["kernel modules of the nodes (lsmod)", "the Docker version of the nodes"],
    "playbook": "enable-br-netfilter",
    "risk": "safe",
    "references": [
        "https://github.com/rancher/rancher/issues/49246",
        "https://github.com/flannel-io/flannel/pull/2082",
    ],
}
NO_CNI_CONF: dict[str, Any] = {
    "signature": "cni-conf-uninitialized",
    "cause": "cni-conf-missing",
    "confidence": 0.9,
    "title": "The container runtime of a node has no CNI configuration",
    "because": "The kubelet says so until the CNI's init container has written its file.",
    "advice": "",
    "evidence": [{"source": "nodes.txt", "line": 31, "text": "cni plugin not initialized"}],
    "explainedBy": "flannel-br-netfilter-missing",
    "missing": [],
    "playbook": None,
    "risk": None,
    "references": [],
}
COLLECTORS = [
    *(
        {"name": name, "status": "ok", "reason": None}
        for name in ("conditions", "nodes", "cni_workloads", "cni_logs", "events")
    ),
    {"name": "helm", "status": "skipped", "reason": "RKE1 installs its network without Helm"},
    {"name": "system_logs", "status": "forbidden", "reason": "403 Forbidden: needs pods/log in cattle-system"},
]


def a_diagnosis(*findings: dict[str, Any], verdict: str = "cni-failure", **more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "verdict": verdict,
        "cluster": {"id": "c-8xk2p", "distribution": "rke1", "cni": "canal", "kubernetes": "v1.32.2-rancher1-1"},
        "summary": findings[0]["title"] if findings else "",
        "findings": list(findings),
        "missing": [],
        "collectors": COLLECTORS,
        **more,
    }


def a_change(**changes: Any) -> Change:
    change = Change(
        place=Place(
            MANAGEMENT_CLUSTERS,
            "",
            "c-8xk2p",
            ("spec", "rancherKubernetesEngineConfig", "network", "enableBrNetfilter"),
        ),
        uid=UID,
        before=Value(present=False),
        after=Value(present=True, value=True),
    )
    return replace(change, **changes)


def a_step(**changes: Any) -> PlannedStep:
    step = PlannedStep(
        action="set-rke1-network-option",
        title="Set `network.enableBrNetfilter` on the Rancher cluster",
        writes=(a_change(),),
        diff=" rancherKubernetesEngineConfig:\n   network:\n     plugin: canal\n+    enableBrNetfilter: true",
        effect="Rancher re-creates the kube-proxy container on 3 nodes; it loads br_netfilter. No workload restarts.",
        arguments={"enableBrNetfilter": True},
    )
    return replace(step, **changes)


def a_plan(*steps: PlannedStep, **changes: Any) -> Plan:
    plan = Plan(
        cluster_uid=UID,
        playbook="enable-br-netfilter",
        playbook_version="f00dfeed0001",
        title="Let kube-proxy load br_netfilter",
        signature="flannel-br-netfilter-missing",
        steps=steps or (a_step(),),
        risk=Risk.SAFE,
        undo=UndoKind.EXACT,
        proof=("cni-ready-everywhere", "nodes-ready", "fresh-pod-has-address", "agent-connected", "cluster-active"),
        within=timedelta(minutes=20),
        soak=timedelta(minutes=5),
        undo_on_failure=True,
        expected=timedelta(minutes=6),
    )
    return replace(plan, **changes)


def an_incident(**changes: Any) -> Incident:
    incident = Incident(
        id=f"incident:default:{UID}:1",
        cluster=ClusterKey("default", "c-8xk2p"),
        cluster_uid=UID,
        cluster_name="edge-07",
        episode=1,
        story=1,
        state=State.AWAITING_APPROVAL,
        opened_at=OPENED,
        updated_at=NOW,
        stuck_since=SINCE,
        stage="api",
        reason="Waiting for API to be available",
        distribution="rke1",
        cni="canal",
        kubernetes="v1.32.2-rancher1-1",
        driver="amazonec2",
        node_count=3,
        labels={"environment": "edge"},
        source="sweep",
        issue=12,
        issue_url="https://github.com/acme/fleet/issues/12",
    )
    return replace(incident, **changes)


def a_story(incident: Incident | None = None, **changes: Any) -> Story:
    """The founding case, waiting for its approval."""
    story = Story(
        incident=incident or an_incident(),
        now=NOW,
        timeline=(
            TimelineEntry(OPENED, "state", "Seen stuck by sweep: Waiting for API to be available"),
            TimelineEntry(OPENED + timedelta(seconds=4), "found", "5 of 7 collectors brought all they look for"),
            TimelineEntry(OPENED + timedelta(seconds=5), "found", "flannel-br-netfilter-missing, 98% sure"),
            TimelineEntry(OPENED + timedelta(seconds=6), "plan", "Plan made: enable-br-netfilter, safe"),
        ),
        diagnosis=a_diagnosis(BR_NETFILTER, NO_CNI_CONF),
        plan=a_plan(),
        decision={
            "decision": "needs-approval",
            "count": 1,
            "given": 0,
            "role": "write",
            "reasons": ["a safe change needs the approval of one person with the role write or higher"],
        },
        approval_expires=NOW + timedelta(hours=24),
        siblings=(Sibling("edge-09", 13, "awaiting-approval"), Sibling("edge-11", 14, "awaiting-approval")),
        evidence=EvidenceSummary(
            files=14,
            size=212_431,
            masked=9,
            collectors=COLLECTORS,
            excerpts=(
                (
                    "nodes.txt",
                    "NAME       STATUS     ROLES    AGE   VERSION\nedge-07-a  NotReady   worker   41m   v1.32.2",
                ),
                (
                    "events.txt",
                    "41m  Warning  BackOff  pod/canal-7hx2p  Back-off restarting failed container kube-flannel",
                ),
            ),
        ),
        coverage="sweep coverage 148/148 clusters, 40 s ago",
        public_url="https://drover.example",
        rancher_url="https://rancher.example",
    )
    return replace(story, **changes)


def explain_only() -> Story:
    """v2.11.0-alpha7, where the founding case was met first: Rancher has no such option there."""
    return a_story(
        an_incident(state=State.REPORTED),
        plan=None,
        decision={"decision": "nothing-to-do"},
        approval_expires=None,
        explanation={
            "playbook": "enable-br-netfilter",
            "title": "Let kube-proxy load br_netfilter",
            "why": "no variant of enable-br-netfilter fits rke1 v1.32.2-rancher1-1 under Rancher v2.11.0-alpha7",
            "steps": [
                "On every node of the cluster run as root: `modprobe br_netfilter`.",
                "Keep it across reboots: `echo br_netfilter > /etc/modules-load.d/br_netfilter.conf`.",
                (
                    "Flannel starts at its next retry, within five minutes. To see it: `kubectl -n kube-system logs <pod> -c kube-flannel` "
                    "says `Wrote subnet file to /run/flannel/subnet.env`."
                ),
            ],
        },
        siblings=(),
    )


def unknown_cause() -> Story:
    return a_story(
        an_incident(
            state=State.REPORTED,
            distribution="rke2",
            kubernetes="v1.32.4+rke2r1",
            stage="agent",
            reason="configuring bootstrap node(s) edge-07-a: waiting for cluster agent to connect",
        ),
        diagnosis=a_diagnosis(
            {**NO_CNI_CONF, "confidence": 0.22, "explainedBy": None},
            verdict="unknown",
            summary="No known failure was found, and the evidence does not show that all is well",
            missing=["the logs of the Flannel or Canal pods, all containers", "the events (kubectl get events -A)"],
        ),
        plan=None,
        decision={"decision": "nothing-to-do"},
        approval_expires=None,
        siblings=(),
        evidence=EvidenceSummary(
            files=3,
            size=18_200,
            masked=2,
            collectors=[
                {"name": "conditions", "status": "ok", "reason": None},
                {"name": "cni_logs", "status": "skipped", "reason": "Rancher has no connection to the cluster"},
            ],
        ),
    )


def other_failure() -> Story:
    return a_story(
        an_incident(
            state=State.REPORTED,
            distribution="rke2",
            kubernetes="v1.32.4+rke2r1",
            stage="agent",
            reason="waiting for cluster agent to connect",
        ),
        diagnosis=a_diagnosis(
            {
                "signature": "cluster-agent-dns",
                "cause": "dns-or-agent-not-connected",
                "confidence": 0.88,
                "title": "cattle-cluster-agent cannot resolve Rancher's host name",
                "because": "The pods of Canal run on every node; only the agent fails, and it fails at looking up a name.",
                "advice": "Let the nodes' resolver answer for the host in server-url, or add it to the agent's hostAliases.",
                "evidence": [
                    {
                        "source": "logs/cattle-system/cattle-cluster-agent-5d9/cluster-register.log",
                        "line": 3,
                        "text": "ERROR: https://rancher.example/ping is not accessible (Could not resolve host: rancher.example)",
                    }
                ],
                "explainedBy": None,
                "missing": ["resolv.conf of the nodes"],
                "playbook": None,
                "risk": None,
                "references": [],
            },
            verdict="other-failure",
        ),
        plan=None,
        decision={"decision": "nothing-to-do"},
        approval_expires=None,
        siblings=(),
    )


def healed() -> Story:
    """Approved by maria, mended, proved."""
    return a_story(
        an_incident(
            state=State.RESOLVED,
            outcome="canal 3/3, nodes 3/3, new pod 10.42.1.7, agent connected, cluster Active",
            changed_at=NOW,
            closed_at=NOW + timedelta(minutes=6),
        ),
        decision={"decision": "allow", "by": "maria", "reasons": ["approved by maria"]},
    )


def put_back() -> Story:
    """The proof failed, the change was taken back, and what was seen afterwards points elsewhere."""
    return a_story(
        an_incident(
            state=State.ROLLED_BACK,
            changed_at=NOW,
            outcome="the proof did not come within 20 min: canal 0/3, nodes 0/3, agent not connected",
        ),
        now=NOW + timedelta(minutes=22),
        decision={"decision": "allow", "by": "maria", "reasons": ["approved by maria"]},
        diagnosis=a_diagnosis(
            {
                **BR_NETFILTER,
                "signature": "vxlan-module-missing",
                "title": "The kernel has no VXLAN module, Flannel cannot create its device",
                "confidence": 0.71,
                "evidence": [
                    {
                        "source": "logs/kube-system/canal-7hx2p/kube-flannel.log",
                        "line": 22,
                        "text": "Error registering network: operation not supported",
                    }
                ],
                "missing": ["the nodes' OS image", "lsmod"],
                "because": "Flannel asks the kernel for a device of type vxlan and is told that this is not supported.",
                "references": [],
            },
            {
                **NO_CNI_CONF,
                "signature": "flannel-selinux-denied",
                "title": "SELinux denies Flannel its device",
                "confidence": 0.22,
                "explainedBy": None,
            },
        ),
    )
