"""Where do the parts meet? The composition root: concrete classes are named here and nowhere else."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog

from bot.adapters.clock import PolicyClock
from bot.adapters.database import Database
from bot.adapters.delivery_store import DeliveryStore
from bot.adapters.fleet_store import FleetStore
from bot.adapters.github_client import AppAuth, TokenAuth
from bot.adapters.github_events import CommentEvent, MalformedDelivery, parse_delivery
from bot.adapters.github_issues import GitHubIssues
from bot.adapters.incident_store import IncidentStore
from bot.adapters.pace_store import PaceStore
from bot.adapters.worker_store import WorkerStore
from bot.adapters.write_pace import WritePace
from bot.collecting import collect_evidence
from bot.errors import BotError, NoSuchIncidentError
from bot.knowledge import load_knowledge, load_policy
from bot.reports.story import Story
from bot.settings import GitHubSettings, RancherSettings, Settings
from bot.web.parts import Coverage, HealthReport, PartHealth, WebParts
from bot.workflows.crew import BEAT_EVERY, Crew, beats
from bot.workflows.desk import Desk, Heard
from bot.workflows.engine import Engine, Flow
from bot.workflows.incident_flow import PATIENCE, run_incident
from bot.workflows.parts import Knowledge, Parts, RancherServer
from bot.workflows.probe_flow import run_in_service
from bot.workflows.probe_inbox import with_last_run
from bot.workflows.probe_offer import ProbeOffer, own_image
from bot.workflows.probing import PROBE, Probing
from bot.workflows.shell_record import witness_of
from bot.workflows.steps import IncidentSteps
from bot.workflows.story import story_of
from bot.workflows.umbrella import keep_umbrella
from bot.workflows.waking import Waker
from bot.workflows.watchman import INCIDENT, Watchman
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.errors import (
    CertificateRefused,
    ClusterUnavailable,
    DroverError,
    NotRancher,
    RancherUnreachable,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
)
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.listeners.queue import HintQueue
from rancher_ext.listeners.watch import FleetWatch

DELIVERY = "delivery"
# How many hints are looked at side by side.
LOOKERS = 4
# Comments that no webhook brought are read this often, in the world's time: GitHub counts requests by its own clock.
COMMENTS_EVERY = 60.0
CLEAN_EVERY = 3600.0
UMBRELLA_EVERY = 60.0
# Whether a brake has loosened is looked at this often: two small queries.
WAKE_EVERY = 5.0
KEEP_WORKFLOWS = timedelta(days=7)
# Comments are read back a day at the most; a month is far beyond any redelivery.
KEEP_CLAIMS = timedelta(days=30)
# Alertmanager repeats itself: a name that no Rancher knows is looked up again after this many seconds.
UNKNOWN_FOR = 300.0
UNKNOWN_AT_MOST = 10_000

# GitHub's limits for requests that make content.
WRITES_PER_MINUTE = 80
WRITES_PER_HOUR = 500

_log = structlog.get_logger("app")


def build_tracker(github: GitHubSettings, speed: float = 1.0, database: Database | None = None) -> GitHubIssues:
    """GitHub, by token or as an App. Where clocks run faster (the demo), so does the budget of writes: its GitHub's clock does.

    With a database the budget is that of all processes which share it.
    """
    auth = TokenAuth(github.token) if github.token else AppAuth(int(github.app_id), github.app_private_key)
    pace = WritePace(
        WRITES_PER_MINUTE,
        WRITES_PER_HOUR,
        lambda: time.time() * speed if database else time.monotonic() * speed,
        lambda seconds: time.sleep(seconds / speed),
        writes=PaceStore(database) if database else None,
    )
    return GitHubIssues(github.repository, auth, api_url=github.api_url, pace=pace)


class App:
    """One running service: its threads, its engine, its database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.make_home()
        settings.evidence_dir.mkdir(parents=True, exist_ok=True)
        self.clock = PolicyClock(settings.clock_speed, settings.clock_origin)
        knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
        policy = load_policy(settings.policy_file, knowledge)
        self.database = Database(settings.database_url)
        self.database.create()
        self.deliveries = DeliveryStore(self.database)
        self.fleet_store = FleetStore(self.database)
        self.queue = HintQueue(self.clock.now, real_seconds=self.clock.real_seconds)
        self.stop_event = threading.Event()
        self.tracker = build_tracker(settings.github, settings.clock_speed, self.database) if settings.github else None
        servers = {rancher.name: self._server(rancher) for rancher in settings.ranchers}
        self.parts = Parts(
            ranchers=servers,
            store=IncidentStore(self.database),
            fleet=self.fleet_store,
            tracker=self.tracker,
            knowledge=Knowledge(
                knowledge.diagnose, knowledge.remedy_json, knowledge.playbooks, knowledge.actions, knowledge.since
            ),
            collect=self._collect,
            policy=lambda: policy,
            limits=settings.limits,
            clock=self.clock,
            evidence_dir=settings.evidence_dir,
            holder=settings.executor_id,
            dry_run=settings.dry_run,
            public_url=settings.public_url,
            coverage=self.coverage_text,
        )
        self.engine = Engine(
            database_url=settings.database_url,
            executor_id=settings.executor_id,
            clock=self.clock,
            # What an ordinary day brings: a restart, a token that is being replaced, a proxy's page instead of an answer.
            transient=(
                RancherUnreachable,
                ServerFailed,
                TooManyRequests,
                NotRancher,
                ClusterUnavailable,
                Unauthorized,
                CertificateRefused,
                BotError,
            ),
        )
        self.steps = IncidentSteps(self.parts)
        self.engine.register(INCIDENT, lambda flow, incident: run_incident(flow, self.steps, incident, self.probing))
        self.engine.register(DELIVERY, self._run_delivery)
        self.probing = Probing(self.parts, ProbeOffer(settings.public_url, own_image()), load_redaction())
        self.engine.register(PROBE, lambda flow, incident: run_in_service(flow, self.probing, incident))
        self.watchman = Watchman(self.parts, self.engine, self.queue, time.monotonic)
        self.desk = Desk(self.parts, self.engine, hint=lambda key: self.queue.put(ClusterHint(key, "comment")))
        self.waker = Waker(self.parts, self.engine)
        self.crew = Crew(settings.executor_id, WorkerStore(self.database), self.parts.store, self.engine.recover)
        # A watch begins again by itself; a retry inside would only hide that it was lost.
        self.watches = [
            FleetWatch(self._transport(rancher, RetryPolicy(attempts=1)), self.queue.put, stop=self.stop_event)
            for rancher in settings.ranchers
        ]
        self._threads: list[threading.Thread] = []
        self._unknown_names: dict[str, float] = {}

    def start(self) -> None:
        """Take up what was left, then work. Of several workers one listens, sweeps and reads comments; all mend and take hooks."""
        self.crew.begin()
        self.engine.launch()
        self.crew.finish_take_overs()
        self.watchman.take_up()
        for row in self.probing.orphaned():
            self.engine.start(PROBE, self.probing.workflow_id(row.id), row.id)
        for guid in self.deliveries.waiting():
            self.engine.start(DELIVERY, f"{DELIVERY}:{guid}", guid)
        beats(self.crew)
        self._run("crew", self._beat)
        self._run("watch", self._watch)
        for number in range(LOOKERS):
            self._run(f"look-{number}", lambda: self.watchman.run(self.stop_event))
        self._run("comments", lambda: self._every(COMMENTS_EVERY, "comments", self.desk.catch_up))
        self._run("umbrella", lambda: self._every(UMBRELLA_EVERY, "umbrella", self._umbrella))
        self._run("wake", lambda: self._every(WAKE_EVERY, "wake", self.waker.look))
        self._run("clean", lambda: self._every(CLEAN_EVERY, "clean", self._clean))

    def stop(self) -> None:
        """End the threads; workflows stay as they are in the database and go on at the next start."""
        self.stop_event.set()
        self.queue.close()
        for thread in self._threads:
            thread.join(timeout=10)
        self.crew.stop()
        self.engine.close()
        if self.tracker:
            self.tracker.close_connections()
        self.database.close()

    def accept_delivery(self, guid: str, event: str, payload: Mapping[str, Any]) -> bool:
        """Durable before it is acknowledged. False when this delivery was accepted before, or is none that we act on."""
        if event != "issue_comment":
            return False
        if not self.deliveries.accept(guid, event, payload, self.clock.now()):
            return False
        self.engine.start(DELIVERY, f"{DELIVERY}:{guid}", guid)
        return True

    def accept_hint_names(self, names: Sequence[str], source: str) -> int:
        """Hints by id or display name, on every server that has it. Returns how many are known; unknown ones cost one list."""
        known: dict[str, list[ClusterKey]] = {}
        for cluster in self.fleet_store.seen():
            for name in {cluster.key.id, cluster.name}:
                known.setdefault(name, []).append(cluster.key)
        missing = [name for name in names if name not in known]
        if missing:
            for name, keys in self._ask_for(missing).items():
                known.setdefault(name, []).extend(keys)
        return sum(self.queue.put(ClusterHint(key, source)) for name in names for key in known.get(name, ()))

    def coverage_text(self) -> str:
        """For the foot of an issue: how much of the fleet was seen, and when."""
        covered = [coverage for coverage in self.watchman.coverage.values() if coverage.at]
        if not covered:
            return ""
        oldest = min(coverage.at for coverage in covered if coverage.at)
        seconds = int((self.clock.now() - oldest).total_seconds())
        return f"sweep coverage {sum(coverage.clusters for coverage in covered)} clusters, {seconds} s ago"

    def web_parts(self) -> WebParts:
        """What pages and hooks may ask of us."""
        settings = self.settings
        return WebParts(
            fleet=self.fleet_store.seen,
            incidents=lambda: self.parts.store.all(limit=1000),
            incident=self._story,
            accept_delivery=self.accept_delivery,
            accept_hint_names=self.accept_hint_names,
            health=self.health,
            coverage=self._coverage,
            audit=self.parts.store.audit,
            probes=self.probing.inbox,
            now=self.clock.now,
            stopping=self.stop_event.is_set,
            github_secrets=settings.github_webhook_secrets,
            hook_tokens=settings.hook_tokens,
            page_tokens=settings.page_tokens,
            trusted_proxy_header=settings.trusted_proxy_header,
            listens_beyond_loopback=not _is_loopback(settings.listen_host),
            public_url=settings.public_url,
            hook_labels=settings.alertmanager_labels,
        )

    def health(self) -> HealthReport:
        """Alive as long as the threads run; ready once the database answers and every fleet was seen."""
        if self.crew.dead:
            why = "it was silent for too long, and another worker took its incidents over: start it again"
            return HealthReport(alive=False, ready=False, parts=[PartHealth("worker", ok=False, reason=why)])
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        parts = [PartHealth("threads", not dead, f"ended: {', '.join(dead)}" if dead else f"{len(self._threads)} run")]
        try:
            self.parts.store.note("paused")
            parts.append(PartHealth("database", True))
        except DroverError as error:
            parts.append(PartHealth("database", False, error.message))
        for name, coverage in self.watchman.coverage.items():
            seen = coverage.at is not None and not coverage.error
            waits = "no sweep has ended yet" if self.crew.leads else "another worker sweeps"
            parts.append(
                PartHealth(f"rancher {name}", seen or not self.crew.leads, coverage.error or ("" if seen else waits))
            )
        # A Rancher that is away is told, but hooks and pages must stay reachable just then.
        ready = all(part.ok for part in parts if not part.name.startswith("rancher")) and bool(self._threads)
        return HealthReport(alive=not dead, ready=ready, parts=parts)

    def _story(self, identifier: str) -> Story | None:
        try:
            row = self.parts.store.get(identifier)
        except NoSuchIncidentError:
            return None
        return story_of(self.parts, row, self.clock.now())

    def _coverage(self) -> Coverage:
        covered = [coverage for coverage in self.watchman.coverage.values() if coverage.at]
        seen = sum(coverage.clusters for coverage in covered)
        return Coverage(
            seen=seen,
            total=seen if len(covered) == len(self.watchman.coverage) else None,
            swept_at=min((coverage.at for coverage in covered if coverage.at), default=None),
            watch_connected=all(watch.connected for watch in self.watches)
            if self.watches and self.crew.leads
            else None,
        )

    def _ask_for(self, names: Sequence[str]) -> dict[str, list[ClusterKey]]:
        """Clusters that no sweep has seen yet. A name that nobody knows is not asked for again for a while."""
        now = time.monotonic()
        fresh = [name for name in names if now - self._unknown_names.get(name, -UNKNOWN_FOR) >= UNKNOWN_FOR]
        found: dict[str, list[ClusterKey]] = {}
        everybody = True
        for server in self.parts.ranchers.values() if fresh else ():
            try:
                keys = server.reader.keys()
            except DroverError as error:
                _log.warning("hint_unresolved", rancher=server.name, error=error.message)
                everybody = False
                continue
            for name in fresh:
                found.setdefault(name, []).extend(keys.get(name, ()))
        if len(self._unknown_names) > UNKNOWN_AT_MOST:
            self._unknown_names.clear()
        if everybody:
            self._unknown_names.update(dict.fromkeys((name for name in fresh if not found.get(name)), now))
        return found

    def _run_delivery(self, flow: Flow, guid: str) -> str:
        flow.patiently("handle", self._handle_delivery, guid, patience=PATIENCE)
        return guid

    def _handle_delivery(self, guid: str) -> Mapping[str, Any]:
        event, payload = self.deliveries.get(guid)
        try:
            told = parse_delivery(event, payload)
        except MalformedDelivery as error:
            # It was accepted with a good signature and cannot become better: noted, and done with.
            _log.warning("delivery_malformed", guid=guid, error=error.message)
            told = None
        mine = self.settings.github.repository.lower() if self.settings.github else ""
        # A webhook of an organisation or an App brings comments of other repositories, where #5 is another issue.
        if isinstance(told, CommentEvent) and told.repository.lower() == mine:
            self.desk.hear(
                Heard(
                    told.action,
                    told.issue,
                    told.comment_id,
                    told.author,
                    told.author_is_bot,
                    told.body,
                    told.updated_at,
                    edited=told.action == "edited" or told.sender != told.author or told.updated_at != told.created_at,
                )
            )
        self.deliveries.done(guid, self.clock.now())
        return {"event": event}

    def _collect(self, server: RancherServer, snapshot: ClusterSnapshot) -> Bundle:
        """What Rancher gives, and what the nodes said of late where they were asked."""
        row = self.parts.store.open_of(snapshot.key)
        bundle = collect_evidence(
            server, snapshot, self.clock.now(), witness=witness_of(self.parts, snapshot.labels, row) if row else None
        )
        return with_last_run(bundle, self.probing.inbox.last(row.id) if row else None, self.clock.now())

    def _server(self, rancher: RancherSettings) -> RancherServer:
        transport = self._transport(rancher, None)
        return RancherServer(rancher.name, transport, FleetReader(transport, self.clock.now))

    def _transport(self, rancher: RancherSettings, retry: RetryPolicy | None) -> Transport:
        token = TokenSource(rancher.token, rancher.token_file)
        return Transport(rancher.url, token, name=rancher.name, ca_file=rancher.ca_file, retry=retry)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _beat(self) -> None:
        """Until stopped, or until this worker finds itself declared dead: then nothing runs here any more, and health says so."""
        while beats(self.crew):
            if self.stop_event.wait(BEAT_EVERY.total_seconds()):
                return
        self.stop_event.set()
        self.engine.stand_still()

    def _watch(self) -> None:
        """Sweep, and listen to Rancher, once this worker is the one that does. A second listener would only cost Rancher."""
        while not self.crew.leads:
            if self.stop_event.wait(1.0):
                return
        for watch in self.watches:
            watch.start()
        self.watchman.run_sweeps(self.settings.sweep_every, self.stop_event, lambda: self.crew.leads)

    def _every(self, seconds: float, name: str, work: Callable[[], Any]) -> None:
        """In the worker that leads: GitHub and the database are asked once, not once per worker."""
        while not self.stop_event.is_set():
            if not self.crew.leads:
                self.stop_event.wait(1.0)
                continue
            try:
                work()
            except DroverError as error:
                _log.warning(f"{name}_failed", error=error.message, cure=error.cure)
            self.stop_event.wait(seconds)

    def _umbrella(self) -> None:
        """One issue over all in a storm, kept by the worker that sweeps."""
        if self.crew.leads:
            keep_umbrella(self.parts)

    def _clean(self) -> None:
        """Old evidence, and the records of finished workflows, deliveries and comments. Incidents and audit stay."""
        self.engine.forget_finished(KEEP_WORKFLOWS)
        self.deliveries.forget(self.clock.now() - KEEP_WORKFLOWS)
        self.parts.store.forget_claims(self.clock.now() - KEEP_CLAIMS)
        before = time.time() - self.clock.real_seconds(self.settings.keep_evidence)
        for archive in self.settings.evidence_dir.glob("*.tar.gz"):
            _remove_if_older(archive, before)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _remove_if_older(path: Path, before: float) -> None:
    try:
        if path.stat().st_mtime < before:
            path.unlink()
    except OSError as error:
        _log.warning("evidence_not_removed", path=str(path), error=error.strerror)
