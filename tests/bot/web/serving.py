"""The web on a real socket, over facts that a test sets."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import requests
import uvicorn

from bot.incidents.incident import Incident, State
from bot.incidents.timeline import AuditRecord
from bot.ports import SeenCluster
from bot.reports.story import Story
from bot.web.parts import Coverage, HealthReport, PartHealth, WebLimits, WebParts
from bot.web.server import create_app
from rancher_ext.fleet.cluster import ClusterKey
from tests.bot.reports import stories
from tests.bot.reports.stories import NOW

GITHUB_SECRET = "the-github-secret"
OLD_GITHUB_SECRET = "the-old-github-secret"
HOOK_TOKEN = "the-hook-token"


def a_seen_cluster(name: str, verdict: str = "healthy", **facts: Any) -> SeenCluster:
    known = {
        "distribution": "rke2",
        "management": "provisioned",
        "driver": "amazonec2",
        "cni": "canal",
        "cniSource": "spec",
        "kubernetes": "v1.32.4+rke2r1",
        "rancher": "v2.11.0",
        "nodes": 3,
        "nodesReady": 3,
        "connected": True,
        "stage": "",
        "reason": "",
        "since": (NOW - timedelta(days=4)).isoformat(),
        "recheckAt": None,
        **facts,
    }
    return SeenCluster(ClusterKey("default", f"c-{name}"), name, verdict, known, NOW - timedelta(seconds=40))


@dataclass
class Facts:
    """What the parts answer with, and what they were given."""

    clusters: list[SeenCluster] = field(default_factory=list)
    stories: dict[str, Story] = field(default_factory=dict)
    records: list[AuditRecord] = field(default_factory=list)
    report: HealthReport = field(default_factory=lambda: HealthReport(True, True, (PartHealth("database", ok=True),)))
    covered: Coverage = field(default_factory=lambda: Coverage(148, 148, NOW - timedelta(seconds=40), True))
    deliveries: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    hinted: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    failure: Exception | None = None
    stopped: bool = False

    def become(self, other: "Facts") -> None:
        """Take over all that another one knows."""
        self.__dict__.update(other.__dict__)

    def add(self, *told: Story) -> None:
        for story in told:
            self.stories[story.incident.id] = story

    def incidents(self) -> Sequence[Incident]:
        self._fail()
        return [story.incident for story in self.stories.values()]

    def fleet(self) -> Sequence[SeenCluster]:
        self._fail()
        return self.clusters

    def story(self, identifier: str) -> Story | None:
        return self.stories.get(identifier)

    def accept(self, guid: str, event: str, payload: Mapping[str, Any]) -> bool:
        self._fail()
        if guid in self.deliveries:
            return False
        self.deliveries[guid] = (event, payload)
        return True

    def hint(self, names: Sequence[str], source: str) -> int:
        self._fail()
        self.hinted.append((tuple(names), source))
        known = {cluster.name for cluster in self.clusters} | {cluster.key.id for cluster in self.clusters}
        return sum(name in known for name in names)

    def _fail(self) -> None:
        if self.failure:
            raise self.failure

    def parts(self, **changes: Any) -> WebParts:
        parts = WebParts(
            fleet=self.fleet,
            incidents=self.incidents,
            incident=self.story,
            accept_delivery=self.accept,
            accept_hint_names=self.hint,
            health=lambda: self.report,
            coverage=lambda: self.covered,
            audit=lambda incident: [record for record in self.records if record.incident == incident],
            now=lambda: NOW,
            stopping=lambda: self.stopped,
            github_secrets=(GITHUB_SECRET, OLD_GITHUB_SECRET),
            hook_tokens=(HOOK_TOKEN,),
            limits=WebLimits(
                github_body=200_000, hook_body=50_000, body_seconds=5, event_clients=2, event_seconds=0.05
            ),
        )
        return replace(parts, **changes)


@dataclass
class Web:
    """A running server and a client for it."""

    url: str
    port: int

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, allow_redirects=False, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=10, allow_redirects=False, **more)


@contextmanager
def running(parts: WebParts, facts: Facts | None = None) -> Iterator[Web]:
    # Without WebSockets: uvicorn's implementation of them warns about itself.
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(parts), host="127.0.0.1", port=0, log_level="critical", ws="none", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Web(f"http://127.0.0.1:{port}", port)
    finally:
        if facts:
            facts.stopped = True
        server.should_exit = True
        thread.join(timeout=10)


def a_fleet(size: int = 1_000) -> Facts:
    """A fleet with a few ill clusters and the incidents that go with them."""
    facts = Facts()
    told = [stories.a_story(), stories.put_back(), stories.healed(), stories.unknown_cause(), stories.explain_only()]
    names = ["edge-07", "edge-09", "lab-3", "prod-eu3", "edge-11"]
    for number, (story, name) in enumerate(zip(told, names, strict=True)):
        incident = replace(
            story.incident,
            id=f"incident:default:uid-{number}:1",
            cluster=ClusterKey("default", f"c-{name}"),
            cluster_name=name,
            issue=12 + number,
            diagnosis=story.diagnosis,
            plan=story.plan.to_json() if story.plan else None,
        )
        facts.add(replace(story, incident=incident))
        if incident.state is State.RESOLVED:
            facts.clusters.append(a_seen_cluster(name))
        else:
            facts.clusters.append(
                a_seen_cluster(
                    name,
                    "stuck",
                    distribution=incident.distribution,
                    kubernetes=incident.kubernetes,
                    reason=incident.reason,
                    stage=incident.stage,
                    nodesReady=0,
                    connected=False,
                    since=incident.stuck_since.isoformat(),
                )
            )
    facts.clusters.append(
        a_seen_cluster(
            "old-1",
            "unknown",
            management="imported",
            reason="Rancher cannot reach it since 3 days: nothing is known",
            nodes=0,
            nodesReady=None,
            kubernetes="",
            distribution="unknown",
            cni="unknown",
            since=None,
        )
    )
    facts.clusters.append(
        a_seen_cluster(
            "lab-2",
            "progressing",
            reason="waiting for cluster agent to connect",
            nodesReady=1,
            since=(NOW - timedelta(minutes=6)).isoformat(),
            recheckAt=(NOW + timedelta(minutes=4)).isoformat(),
        )
    )
    facts.clusters.append(
        a_seen_cluster(
            "local",
            "out-of-scope",
            reason="it runs Rancher itself",
            since=None,
            cni="flannel",
            distribution="k3s",
            kubernetes="v1.31.5+k3s1",
        )
    )
    for number in range(size - len(facts.clusters)):
        facts.clusters.append(a_seen_cluster(f"shop-{number:04}"))
    first = next(iter(facts.stories))
    facts.records = [
        AuditRecord(
            1,
            NOW,
            first,
            "drover",
            "approved by maria",
            "intend",
            "clusters.management.cattle.io c-edge-07 spec.x",
            None,
            True,
            "about to write",
            "",
            "ab" * 32,
        ),
        AuditRecord(
            2,
            NOW,
            first,
            "drover",
            "approved by maria",
            "write",
            "clusters.management.cattle.io c-edge-07 spec.x",
            None,
            True,
            "written",
            "ab" * 32,
            "cd" * 32,
        ),
    ]
    return facts
