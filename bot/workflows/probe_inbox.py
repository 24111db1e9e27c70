"""What have a cluster's nodes sent, and may they? Runs, their keys and their reports, in the database that all workers share.

A run is open from its begin to the end of its time. Each node of it may send one report. What is kept is as it came, bounded and
masked by the sender; it is masked once more when it becomes evidence, since a sender is a stranger.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.policy.approvals import Approval
from bot.ports import Clock, IncidentBook
from rancher_ext.bundle.bundle import Bundle, BundleFile, Manifest
from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.bundle.redact import RedactionRules, Redactor
from rancher_ext.errors import DroverError
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.probe.report import BadReport, Report, is_token, read_token, unpacked

PROBE_COLLECTOR = "probe"
# What a node said yesterday is no evidence any more.
KEPT = timedelta(hours=24)
# A cluster may get nodes while it is asked; beyond this somebody invents names.
_SPARE = 16
_MOST = 2000


class Refusal(StrEnum):
    """Why a report is not taken. An unknown run, a wrong key and a foreign name look the same from outside."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"
    FULL = "full"


class ReportRefused(Exception):
    """Expected: a report that is not taken."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True)
class ProbeRun:
    """One asking of one cluster's nodes. `key` is empty once the run is closed."""

    id: str
    incident: str
    uid: str
    key: bytes = field(repr=False)
    url: str
    image: str
    ca: str = ""
    phase: str = "prepared"
    expires: datetime | None = None
    within: float = 0.0
    nodes: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    plan: Mapping[str, Any] | None = field(repr=False, default=None)
    actor: str = ""
    rule: str = ""
    # `incident` where that workflow walks it; nothing where a terminal does.
    walker: str = ""
    outcome: Mapping[str, Any] | None = None

    @property
    def places(self) -> int:
        """How many reports are taken at most."""
        return min(_MOST, 2 * len(self.nodes) + _SPARE)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "incident": self.incident,
            "uid": self.uid,
            "key": self.key.hex(),
            "url": self.url,
            "image": self.image,
            "ca": self.ca,
            "phase": self.phase,
            "expires": self.expires.isoformat() if self.expires else None,
            "within": self.within,
            "nodes": list(self.nodes),
            "approvals": [each.to_json() for each in self.approvals],
            "plan": self.plan,
            "actor": self.actor,
            "rule": self.rule,
            "walker": self.walker,
            "outcome": self.outcome,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "ProbeRun":
        return cls(
            id=raw["id"],
            incident=raw["incident"],
            uid=raw["uid"],
            key=bytes.fromhex(raw["key"]),
            url=raw["url"],
            image=raw["image"],
            ca=raw["ca"],
            phase=raw["phase"],
            expires=datetime.fromisoformat(raw["expires"]) if raw["expires"] else None,
            within=raw["within"],
            nodes=tuple(raw["nodes"]),
            approvals=tuple(Approval.from_json(each) for each in raw["approvals"]),
            plan=raw["plan"],
            actor=raw["actor"],
            rule=raw["rule"],
            walker=raw.get("walker", ""),
            outcome=raw["outcome"],
        )


class ProbeInbox:
    """Runs and reports. Any worker may take a report, any other one may read it."""

    def __init__(self, store: IncidentBook, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def begin(self, run: ProbeRun) -> None:
        self.save(run)
        self._store.set_note(_of_incident(run.incident), run.id)

    def save(self, run: ProbeRun) -> None:
        self._store.set_note(_of_run(run.id), run.to_json())

    def offer(self, run: ProbeRun, offered: Mapping[str, Any] | None) -> None:
        """What issues and pages show of a plan. Beside the run, which has one writer: whoever walks it."""
        if self.offered(run) != offered:
            self._store.set_note(_offered(run), dict(offered) if offered is not None else None)

    def offered(self, run: ProbeRun) -> Mapping[str, Any] | None:
        found = self._store.note(_offered(run))
        return found if isinstance(found, Mapping) else None

    def last(self, incident: str) -> ProbeRun | None:
        """The newest run of an incident, whether it is over or not."""
        name = self._store.note(_of_incident(incident))
        return self._find(name) if isinstance(name, str) else None

    def current(self, incident: str) -> ProbeRun | None:
        """The run of an incident that is not over."""
        run = self.last(incident)
        return None if run is None or run.phase == "closed" else run

    def asked(self, incident: str) -> Mapping[str, Any] | None:
        """What a report says of asking the nodes: the offer, or that it is under way. None when there is nothing to say."""
        run = self.current(incident)
        if run is None:
            return None
        if run.phase == "open":
            return {"phase": "open", "nodes": list(run.nodes), "by": run.actor}
        offered = self.offered(run)
        return None if offered is None else {"phase": run.phase, **offered}

    def check(self, token: str) -> ProbeRun:
        """The run that this token belongs to, while it may be used. Raises ReportRefused; nothing is taken yet."""
        claimed = read_token(token)
        run = self._find(claimed[0]) if claimed else None
        if claimed is None or run is None or not run.key or not is_token(token, run.key):
            raise ReportRefused(Refusal.UNKNOWN)
        if run.phase != "open" or run.expires is None or self._clock.now() >= run.expires:
            raise ReportRefused(Refusal.EXPIRED)
        if self._store.claimed(_sent(run, claimed[1])):
            raise ReportRefused(Refusal.USED)
        return run

    def accept(self, token: str, body: bytes) -> Report:
        """Keep one report. Raises ReportRefused or BadReport; then the token is as good as before."""
        run = self.check(token)
        _, _, node = token.split(".", 2)
        report = unpacked(body)
        if report.node != node:
            raise BadReport("the report is of another node than its token")
        now = self._clock.now()
        for place in range(run.places):
            if self._store.claim(f"{_place(run, place)}", now):
                break
        else:
            raise ReportRefused(Refusal.FULL)
        # First kept, then used up: whoever gets no answer may send again.
        self._store.set_note(_place(run, place), {"node": node, "body": base64.b64encode(body).decode()})
        if not self._store.claim(_sent(run, node), now):
            self._store.set_note(_place(run, place), None)
            raise ReportRefused(Refusal.USED)
        return report

    def nodes_of(self, run: ProbeRun) -> set[str]:
        return {entry["node"] for entry in self._entries(run) if self._store.claimed(_sent(run, entry["node"]))}

    def reports_of(self, run: ProbeRun) -> list[Report]:
        """What has come, by node. One that cannot be read any more is left out."""
        found: dict[str, Report] = {}
        for entry in self._entries(run):
            try:
                report = unpacked(base64.b64decode(entry["body"], validate=True))
            except (BadReport, binascii.Error):
                continue
            found.setdefault(report.node, report)
        return [found[node] for node in sorted(found)]

    def close(self, run: ProbeRun, outcome: Mapping[str, Any]) -> None:
        """No token opens anything any more, and what was sent is kept in the evidence alone."""
        for place in range(run.places):
            if not self._store.claimed(_place(run, place)):
                break
            self._store.set_note(_place(run, place), None)
        self.save(replace(run, phase="closed", key=b"", plan=None, outcome=dict(outcome)))

    def _find(self, run: str) -> ProbeRun | None:
        raw = self._store.note(_of_run(run))
        return ProbeRun.from_json(raw) if isinstance(raw, Mapping) else None

    def _entries(self, run: ProbeRun) -> list[Mapping[str, Any]]:
        entries = []
        for place in range(run.places):
            if not self._store.claimed(_place(run, place)):
                break
            entry = self._store.note(_place(run, place))
            if isinstance(entry, Mapping):
                entries.append(entry)
        return entries


def with_reports(
    bundle: Bundle, reports: Sequence[Report], rules: RedactionRules, missing: Sequence[str] = ()
) -> Bundle:
    """The evidence of a collection with what the nodes sent. What Rancher gave itself is kept where both have it."""
    redactor = Redactor(rules, secrets.token_bytes(32))
    files = {path: bundle[path] for path in bundle if path != "manifest.json"}
    taken = []
    for report in reports:
        for path, content in report.files.items():
            if path not in files:
                files[path] = BundleFile.of(path, redactor.file(path, content.encode("utf-8", "replace")))
                taken.append(path)
    notes = [f"{report.node}: {note}" for report in reports for note in report.notes]
    if missing:
        notes.insert(0, f"no report from {', '.join(missing)}")
    said = redactor.file("collectors.txt", "; ".join(notes).encode("utf-8", "replace")).decode("utf-8", "replace")
    told = CollectorReport(
        name=PROBE_COLLECTOR,
        status=CollectorStatus.PARTIAL if missing else CollectorStatus.OK,
        reason=said[:600] or None,
        files=tuple(sorted(taken)),
    )
    manifest = bundle.manifest or Manifest()
    others = tuple(each for each in manifest.collectors if each.name != PROBE_COLLECTOR)
    return Bundle(files, None, bundle.name, bundle.notes).with_manifest(
        replace(manifest, collectors=(*others, told), redactions=(*manifest.redactions, *redactor.report))
    )


def with_last_run(bundle: Bundle, run: ProbeRun | None, now: datetime) -> Bundle:
    """A later collection keeps what the nodes said, for a day: `/drover retry` would lose it otherwise."""
    outcome = (run.outcome or {}) if run is not None and run.phase == "closed" else {}
    path, at = outcome.get("evidence"), outcome.get("at")
    if not path or not at or now - datetime.fromisoformat(at) > KEPT:
        return bundle
    try:
        earlier = open_bundle(path)
    except DroverError:
        # Old evidence is deleted after its time.
        return bundle
    told = next((each for each in earlier.collectors if each.name == PROBE_COLLECTOR), None)
    if told is None:
        return bundle
    files = {path: bundle[path] for path in bundle if path != "manifest.json"}
    added = {path: earlier[path] for path in told.files if path in earlier and path not in files}
    reason = f"said at {at}" + (f"; {told.reason}" if told.reason else "")
    manifest = bundle.manifest or Manifest()
    others = tuple(each for each in manifest.collectors if each.name != PROBE_COLLECTOR)
    return Bundle({**files, **added}, None, bundle.name, bundle.notes).with_manifest(
        replace(manifest, collectors=(*others, replace(told, reason=reason, files=tuple(sorted(added)))))
    )


def _of_run(run: str) -> str:
    return f"probe-run:{run}"


def _of_incident(incident: str) -> str:
    return f"probe-of:{_short(incident)}"


def _offered(run: ProbeRun) -> str:
    return f"probe-offer:{run.id}"


def _place(run: ProbeRun, place: int) -> str:
    return f"probe:{run.id}:place:{place}"


def _sent(run: ProbeRun, node: str) -> str:
    return f"probe:{run.id}:node:{_short(node)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
