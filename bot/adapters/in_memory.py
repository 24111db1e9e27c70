"""How does the service run without anything outside? Every port, in memory: for tests and for a first look.

What is kept here is gone with the process. `tests/contract` holds these to the same promises as the real adapters.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.adapters.github_errors import GitHubNotFound
from bot.adapters.github_text import check_marker, fitting_title, same, with_label
from bot.errors import StoreError
from bot.incidents.incident import RELAPSE, Incident, State, check_move, first_signature, incident_id
from bot.incidents.timeline import AuditRecord, TimelineEntry, audit_digest
from bot.ports import Assessed, CommentView, IssueDraft, IssueView, Membership, Role, SeenCluster
from rancher_ext.detection import Progress, Stuck
from rancher_ext.detection.progress import merge
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.fleet.snapshot import ClusterSnapshot

REACTIONS = frozenset({"eyes", "rocket", "confused", "+1", "-1"})
_MENDING = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})
_COLUMNS = frozenset(field.name for field in fields(Incident)) - {"cluster"}


class StandingClock:
    """A clock that moves only when told. Waiting takes no time at all."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def real_seconds(self, duration: timedelta) -> float:
        return 0.0

    def advance(self, by: timedelta) -> None:
        self.at += by


class InMemoryIssues:
    """An `IssueTracker`. `say` is what a person does; `did` lists our writes as readable lines.

    `teams` are those that can be seen, with their active members.
    """

    def __init__(self, people: Mapping[str, Role] | None = None, now: Callable[[], datetime] | None = None) -> None:
        self.people = dict(people or {})
        self.teams: dict[str, set[str]] = {}
        self.did: list[str] = []
        self.reactions: dict[int, list[str]] = {}
        self._now = now or (lambda: datetime.now(UTC))
        self._issues: dict[int, IssueView] = {}
        self._markers: dict[int, str] = {}
        self._comments: dict[int, CommentView] = {}
        self._ours: dict[tuple[int, str], int] = {}
        self._ids = itertools.count(9001)
        self._lock = threading.RLock()

    # --- what people do ---

    def say(self, login: str, issue: int, body: str) -> CommentView:
        with self._lock:
            return self._comment(issue, login, body, bot=False)

    def change(self, comment_id: int, body: str) -> CommentView:
        with self._lock:
            changed = replace(self._comments[comment_id], body=body, updated_at=self._now())
            self._comments[comment_id] = changed
            return changed

    def withdraw(self, comment_id: int) -> None:
        with self._lock:
            del self._comments[comment_id]

    def comments(self, issue: int) -> list[CommentView]:
        with self._lock:
            return [comment for comment in self._comments.values() if comment.issue == issue]

    # --- IssueTracker ---

    def find(self, marker: str) -> IssueView | None:
        check_marker(marker)
        with self._lock:
            numbers = [number for number, own in self._markers.items() if own == marker]
            return self._issues[max(numbers)] if numbers else None

    def get(self, number: int) -> IssueView:
        with self._lock:
            if number not in self._issues:
                raise GitHubNotFound(
                    f"read issue #{number}: there is none.", cure="Look at the repository's list of issues."
                )
            return self._issues[number]

    def open(self, draft: IssueDraft, marker: str) -> IssueView:
        check_marker(marker)
        with self._lock:
            found = self.find(marker)
            if found is not None:
                return found
            number = len(self._issues) + 1
            labels = with_label(draft.labels)
            url = f"https://github.invalid/issues/{number}"
            view = IssueView(
                number, url, fitting_title(draft.title), draft.body, labels, open=True, updated_at=self._now()
            )
            self._issues[number], self._markers[number] = view, marker
            self.did.append(f"open #{number}: {view.title}")
            return view

    def edit(self, number: int, draft: IssueDraft) -> IssueView:
        with self._lock:
            old = self.get(number)
            theirs = [label for label in old.labels if not label.startswith(("cluster/", "cause/", "state/"))]
            labels = tuple(dict.fromkeys((*with_label(draft.labels), *theirs)))
            title = fitting_title(draft.title)
            if old.title == title and same(old.body, draft.body) and set(old.labels) == set(labels):
                return old
            self._issues[number] = replace(old, title=title, body=draft.body, labels=labels, updated_at=self._now())
            self.did.append(f"edit #{number}")
            return self._issues[number]

    def close(self, number: int, *, completed: bool) -> None:
        self._set_open(number, wanted=False, did=f"close #{number}" + ("" if completed else " as not planned"))

    def reopen(self, number: int) -> None:
        self._set_open(number, wanted=True, did=f"reopen #{number}")

    def upsert_comment(self, number: int, marker: str, body: str) -> CommentView:
        check_marker(marker)
        with self._lock:
            known = self._comments.get(self._ours.get((number, marker), 0))
            if known is None:
                comment = self._comment(number, "drover", body, bot=True)
                self._ours[number, marker] = comment.id
                self.did.append(f"comment on #{number}: {marker}")
                return comment
            if same(known.body, body):
                return known
            self.did.append(f"edit comment on #{number}: {marker}")
            return self.change(known.id, body)

    def react(self, comment_id: int, reaction: str) -> None:
        if reaction not in REACTIONS:
            raise ValueError(f"{reaction!r} is none of our reactions: {', '.join(sorted(REACTIONS))}")
        with self._lock:
            given = self.reactions.setdefault(comment_id, [])
            if reaction not in given and comment_id in self._comments:
                given.append(reaction)

    def comments_since(self, when: datetime) -> Sequence[CommentView]:
        since = when.astimezone(UTC).replace(microsecond=0)
        with self._lock:
            fresh = [comment for comment in self._comments.values() if comment.updated_at >= since]
        return sorted(fresh, key=lambda comment: (comment.updated_at, comment.id))

    def comment(self, comment_id: int) -> CommentView | None:
        with self._lock:
            return self._comments.get(comment_id)

    def role_of(self, login: str) -> Role:
        return self.people.get(login, Role.NONE)

    def membership(self, team: str, login: str) -> Membership:
        members = {name.lower() for name in self.teams.get(team, ())}
        return Membership(login.lower() in members, self.unseen_team(team))

    def unseen_team(self, team: str) -> str:
        return "" if team in self.teams else f"there is no team {team} that can be seen"

    def check(self) -> str:
        return "nobody: issues are kept in memory"

    def _comment(self, issue: int, author: str, body: str, *, bot: bool) -> CommentView:
        now, number = self._now(), next(self._ids)
        url = f"{self.get(issue).url}#issuecomment-{number}"
        comment = CommentView(number, issue, author, bot, body, now, now, url)
        self._comments[number] = comment
        return comment

    def _set_open(self, number: int, *, wanted: bool, did: str) -> None:
        with self._lock:
            old = self.get(number)
            if old.open != wanted:
                self._issues[number] = replace(old, open=wanted, updated_at=self._now())
                self.did.append(did)


class InMemoryFleet:
    """A `FleetMemory`."""

    def __init__(self) -> None:
        self._progress: dict[ClusterKey, tuple[str, Progress]] = {}
        self._seen: dict[ClusterKey, SeenCluster] = {}
        self._lock = threading.RLock()

    def memory(self, rancher: str) -> dict[str, tuple[str, Progress]]:
        with self._lock:
            return {key.id: entry for key, entry in self._progress.items() if key.rancher == rancher}

    def memory_of(self, key: ClusterKey, uid: str) -> Progress | None:
        with self._lock:
            known, progress = self._progress.get(key, ("", None))
            return progress if known == uid else None

    def save(self, looks: Iterable[Assessed]) -> None:
        with self._lock:
            for look in looks:
                self._progress[look.key] = (look.uid, merge(look.progress, self.memory_of(look.key, look.uid)))
                self._seen[look.key] = look.seen

    def forget_others(self, rancher: str, ids: Iterable[str]) -> None:
        kept = set(ids)
        with self._lock:
            for known in (self._progress, self._seen):
                for key in [key for key in known if key.rancher == rancher and key.id not in kept]:
                    del known[key]

    def seen(self) -> list[SeenCluster]:
        with self._lock:
            return sorted(self._seen.values(), key=lambda cluster: cluster.name)

    def count(self) -> int:
        with self._lock:
            return len(self._seen)


class InMemoryIncidents:
    """An `IncidentBook`."""

    def __init__(self) -> None:
        self._rows: dict[str, Incident] = {}
        self._timelines: dict[str, list[TimelineEntry]] = {}
        self._told: set[tuple[str, str]] = set()
        self._audit: list[AuditRecord] = []
        self._recorded: set[tuple[str, str]] = set()
        self._preimages: dict[tuple[str, str], Sequence[Mapping[str, Any]]] = {}
        self._claimed: set[str] = set()
        self._leases: dict[ClusterKey, tuple[str, int, datetime]] = {}
        self._notes: dict[str, Any] = {}
        self._lock = threading.RLock()

    def open(self, snapshot: ClusterSnapshot, verdict: Stuck, source: str) -> tuple[Incident, bool]:
        now, identity = snapshot.taken_at, snapshot.identity
        with self._lock:
            earlier = [row for row in self._rows.values() if row.cluster_uid == identity.uid]
            earlier = [row for row in earlier if row.cluster.rancher == identity.key.rancher]
            latest = max(earlier, key=lambda row: row.episode, default=None)
            if latest and not latest.state.over:
                return latest, False
            episode = latest.episode + 1 if latest else 1
            relapse = latest is not None and latest.closed_at is not None and now - latest.closed_at <= RELAPSE
            row = Incident(
                id=incident_id(identity.key.rancher, identity.uid, episode),
                cluster=identity.key,
                cluster_uid=identity.uid,
                cluster_name=identity.name,
                episode=episode,
                story=latest.story if latest and relapse else episode,
                state=State.DETECTED,
                opened_at=now,
                updated_at=now,
                stuck_since=verdict.since,
                stage=verdict.stage.value,
                reason=verdict.reason,
                distribution=snapshot.distribution.value,
                cni=snapshot.cni.value,
                kubernetes=snapshot.kubernetes.text if snapshot.kubernetes else "",
                driver=identity.driver,
                node_count=snapshot.node_count or len(snapshot.nodes) or len(snapshot.machines) or None,
                labels=dict(snapshot.labels),
                source=source,
            )
            self._rows[row.id] = row
            return row, True

    def get(self, identifier: str) -> Incident:
        with self._lock:
            if identifier not in self._rows:
                raise StoreError(
                    f"there is no incident {identifier!r}", cure="`drover incidents list` shows those there are."
                )
            return self._rows[identifier]

    def open_of(self, key: ClusterKey) -> Incident | None:
        with self._lock:
            rows = [row for row in self._rows.values() if row.cluster == key and not row.state.over]
        return max(rows, key=lambda row: (row.opened_at, row.episode), default=None)

    def by_issue(self, issue: int) -> Incident | None:
        return next((row for row in self.all(limit=10_000) if row.issue == issue), None)

    def all(self, *, only_open: bool = False, limit: int = 200) -> list[Incident]:
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: row.id)
        rows.sort(key=lambda row: row.opened_at, reverse=True)
        return [row for row in rows if not (only_open and row.state.over)][:limit]

    def with_signature(self, signature: str, besides: str) -> list[Incident]:
        rows = self.all(only_open=True)
        return [row for row in rows if row.id != besides and first_signature(row.diagnosis) == signature]

    def update(self, identifier: str, now: datetime, **changes: Any) -> Incident:
        unknown = set(changes) - _COLUMNS
        if unknown:
            raise TypeError(f"an incident has no {', '.join(sorted(unknown))}")
        with self._lock:
            row = self.get(identifier)
            if "state" in changes:
                changes["state"] = State(changes["state"])
                check_move(row.state, changes["state"])
                if changes["state"].over and row.closed_at is None:
                    changes["closed_at"] = now
            changes = {name: _kept(value) for name, value in (changes | {"updated_at": now}).items()}
            self._rows[identifier] = replace(row, **changes)
            return self._rows[identifier]

    def mending_now(self, besides: str = "") -> int:
        with self._lock:
            return sum(row.state in _MENDING and row.id != besides for row in self._rows.values())

    def opened_since(self, when: datetime) -> int:
        with self._lock:
            return len({(row.cluster.rancher, row.cluster_uid) for row in self._rows.values() if row.opened_at > when})

    def tell(self, incident: str, at: datetime, kind: str, text: str, *, once: str) -> None:
        with self._lock:
            if (incident, once) not in self._told:
                self._told.add((incident, once))
                self._timelines.setdefault(incident, []).append(TimelineEntry(at, kind, text))

    def timeline(self, incident: str) -> Sequence[TimelineEntry]:
        with self._lock:
            return sorted(self._timelines.get(incident, ()), key=lambda entry: entry.at)

    def record(self, incident: str, at: datetime, *, once: str, **what: Any) -> None:
        with self._lock:
            if (incident, once) in self._recorded:
                return
            self._recorded.add((incident, once))
            previous = self._audit[-1].digest if self._audit else ""
            when = at.astimezone(UTC)
            told = {"incident": incident, "actor": "", "rule": "", "before": None, "after": None, **deepcopy(what)}
            digest = audit_digest(previous, told | {"at": when.isoformat()})
            number = len(self._audit) + 1
            self._audit.append(AuditRecord(number=number, at=when, previous=previous, digest=digest, **told))

    def recorded(self, incident: str, once: str) -> bool:
        with self._lock:
            return (incident, once) in self._recorded

    def audit(self, incident: str | None = None) -> list[AuditRecord]:
        with self._lock:
            return [record for record in self._audit if incident is None or record.incident == incident]

    def save_preimage(self, incident: str, digest: str, steps: Sequence[Mapping[str, Any]], at: datetime) -> None:
        with self._lock:
            self._preimages.setdefault((incident, digest), deepcopy(list(steps)))

    def preimage(self, incident: str, digest: str) -> Sequence[Mapping[str, Any]] | None:
        with self._lock:
            return self._preimages.get((incident, digest))

    def claim(self, key: str, at: datetime) -> bool:
        with self._lock:
            if key in self._claimed:
                return False
            self._claimed.add(key)
            return True

    def claimed(self, key: str) -> bool:
        with self._lock:
            return key in self._claimed

    def lease(self, cluster: ClusterKey, holder: str, now: datetime, lasts: timedelta) -> int | None:
        with self._lock:
            owner, number, until = self._leases.get(cluster, ("", 0, now))
            if until > now and owner != holder:
                return None
            self._leases[cluster] = (holder, number + 1, now + lasts)
            return number + 1

    def renew(self, cluster: ClusterKey, number: int, now: datetime, lasts: timedelta) -> bool:
        with self._lock:
            owner, newest, _ = self._leases.get(cluster, ("", 0, now))
            if not newest or newest != number:
                return False
            self._leases[cluster] = (owner, number, now + lasts)
            return True

    def lease_holder(self, cluster: ClusterKey) -> str | None:
        with self._lock:
            return self._leases[cluster][0] if cluster in self._leases else None

    def release(self, cluster: ClusterKey, holder: str, now: datetime) -> None:
        with self._lock:
            owner, number, _ = self._leases.get(cluster, ("", 0, now))
            if owner == holder:
                self._leases[cluster] = (owner, number, now)

    def note(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return deepcopy(self._notes.get(key, default))

    def set_note(self, key: str, value: Any) -> None:
        with self._lock:
            self._notes[key] = deepcopy(value)


def _kept(value: Any) -> Any:
    """As a database gives it back: a copy, and times in UTC."""
    return value.astimezone(UTC) if isinstance(value, datetime) else deepcopy(value)
