"""How are incidents kept, told and audited? In our own tables, safe to write twice."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.adapters.database import Database, audit, clean, handled, incidents, leases, notes, preimages, timeline
from bot.errors import NoSuchIncidentError
from bot.incidents.incident import RELAPSE, Incident, State, check_move, first_signature, incident_id
from bot.incidents.timeline import AuditRecord, TimelineEntry, audit_digest
from rancher_ext.detection import Stuck
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.fleet.snapshot import ClusterSnapshot

_COLUMNS = frozenset(field.name for field in fields(Incident)) - {"cluster"}
_OVER = tuple(state.value for state in State if state.over)


class IncidentStore:
    """Incidents, their timelines, pre-images, the audit chain, leases and small notes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, snapshot: ClusterSnapshot, verdict: Stuck, source: str) -> tuple[Incident, bool]:
        """The open incident of this cluster, created when there is none. The flag says whether it is new."""
        now, identity = snapshot.taken_at, snapshot.identity
        latest = self.latest(identity.key.rancher, identity.uid)
        if latest and not latest.state.over:
            return latest, False
        episode = latest.episode + 1 if latest else 1
        relapse = latest is not None and latest.closed_at is not None and now - latest.closed_at <= RELAPSE
        row = {
            "id": incident_id(identity.key.rancher, identity.uid, episode),
            "rancher": identity.key.rancher,
            "cluster_id": identity.id,
            "cluster_uid": identity.uid,
            "cluster_name": identity.name,
            "episode": episode,
            "story": latest.story if latest and relapse else episode,
            "state": State.DETECTED.value,
            "opened_at": now,
            "updated_at": now,
            "stuck_since": verdict.since,
            "stage": verdict.stage.value,
            "reason": verdict.reason,
            "distribution": snapshot.distribution.value,
            "cni": snapshot.cni.value,
            "kubernetes": snapshot.kubernetes.text if snapshot.kubernetes else "",
            "driver": identity.driver,
            "node_count": snapshot.node_count or len(snapshot.nodes) or len(snapshot.machines) or None,
            "labels": dict(snapshot.labels),
            "source": source,
        }
        try:
            with self._database.transaction() as connection:
                connection.execute(insert(incidents).values(row))
        except IntegrityError:
            # Another worker saw the same cluster a moment earlier; its row is the incident.
            return self.get(str(row["id"])), False
        return self.get(str(row["id"])), True

    def get(self, identifier: str) -> Incident:
        with self._database.reading() as connection:
            row = connection.execute(select(incidents).where(incidents.c.id == identifier)).one_or_none()
        if row is None:
            raise NoSuchIncidentError(
                f"there is no incident {identifier!r}", cure="`drover incidents list` shows those there are."
            )
        return _incident(row)

    def latest(self, rancher: str, uid: str) -> Incident | None:
        query = select(incidents).where(incidents.c.rancher == rancher, incidents.c.cluster_uid == uid)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(incidents.c.episode.desc()).limit(1)).one_or_none()
        return _incident(row) if row else None

    def open_of(self, key: ClusterKey) -> Incident | None:
        """The newest incident of this cluster that is not over."""
        query = select(incidents).where(
            incidents.c.rancher == key.rancher, incidents.c.cluster_id == key.id, incidents.c.state.not_in(_OVER)
        )
        with self._database.reading() as connection:
            # Newest first: a cluster made anew under the same id may follow one whose incident has not ended yet.
            newest = query.order_by(incidents.c.opened_at.desc(), incidents.c.episode.desc()).limit(1)
            row = connection.execute(newest).one_or_none()
        return _incident(row) if row else None

    def by_issue(self, issue: int) -> Incident | None:
        """The latest incident told in this issue."""
        query = select(incidents).where(incidents.c.issue == issue).order_by(incidents.c.opened_at.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return _incident(row) if row else None

    def all(self, *, only_open: bool = False, limit: int = 200) -> list[Incident]:
        """Newest first."""
        query = select(incidents).order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)
        if only_open:
            query = query.where(incidents.c.state.not_in(_OVER))
        with self._database.reading() as connection:
            return [_incident(row) for row in connection.execute(query)]

    def with_signature(self, signature: str, besides: str) -> list[Incident]:
        """Other open incidents whose first finding is this signature."""
        return [
            incident
            for incident in self.all(only_open=True)
            if incident.id != besides and first_signature(incident.diagnosis) == signature
        ]

    def update(self, identifier: str, now: datetime, **changes: Any) -> Incident:
        """Change columns; a state only by a legal move. Writing the same again changes nothing."""
        unknown = set(changes) - _COLUMNS
        if unknown:
            raise TypeError(f"an incident has no {', '.join(sorted(unknown))}")
        with self._database.transaction() as connection:
            row = connection.execute(
                select(incidents).where(incidents.c.id == identifier).with_for_update()
            ).one_or_none()
            if row is None:
                raise NoSuchIncidentError(
                    f"there is no incident {identifier!r}", cure="`drover incidents list` shows those there are."
                )
            if "state" in changes:
                state = State(changes["state"])
                check_move(State(row.state), state)
                changes["state"] = state.value
                if state.over and row.closed_at is None:
                    changes["closed_at"] = now
            connection.execute(update(incidents).where(incidents.c.id == identifier).values(**changes, updated_at=now))
        return self.get(identifier)

    def mending_now(self, besides: str = "") -> int:
        """How many clusters are being changed or proved at this moment."""
        states = (State.REMEDIATING.value, State.VERIFYING.value, State.ROLLING_BACK.value)
        query = (
            select(func.count()).select_from(incidents).where(incidents.c.state.in_(states), incidents.c.id != besides)
        )
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def opened_since(self, when: datetime) -> int:
        """How many clusters got an incident since then."""
        which = select(incidents.c.rancher, incidents.c.cluster_uid).where(incidents.c.opened_at > when).distinct()
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(which.subquery())) or 0)

    def tell(self, incident: str, at: datetime, kind: str, text: str, *, once: str) -> None:
        """A line of the timeline. `once` names the event: told again, it stays one line."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    insert(timeline).values(incident=incident, at=at, kind=kind, text=text, once=_named(incident, once))
                )
        except IntegrityError:
            return

    def timeline(self, incident: str) -> Sequence[TimelineEntry]:
        query = select(timeline).where(timeline.c.incident == incident).order_by(timeline.c.at, timeline.c.number)
        with self._database.reading() as connection:
            return [TimelineEntry(row.at, row.kind, row.text) for row in connection.execute(query)]

    def record(self, incident: str, at: datetime, *, once: str, **what: Any) -> None:
        """An audit record, chained to the one before. `once` as in `tell`."""
        key = _named(incident, once)
        # The hash is over what the database gives back: times in UTC, texts as it can hold them.
        when = at.astimezone(UTC)
        told = {"incident": incident, "at": when, "actor": "", "rule": "", "before": None, "after": None}
        row = {name: clean(value) if isinstance(value, str) else value for name, value in (told | what).items()}
        with self._database.transaction() as connection:
            # One at a time, so that each record follows the one before it.
            self._database.one_writer(connection, "audit")
            if connection.scalar(select(audit.c.number).where(audit.c.once == key)) is not None:
                return
            previous = connection.scalar(select(audit.c.digest).order_by(audit.c.number.desc()).limit(1)) or ""
            digest = audit_digest(previous, {**row, "at": when.isoformat()})
            connection.execute(insert(audit).values(**row, once=key, previous=previous, digest=digest))

    def recorded(self, incident: str, once: str) -> bool:
        """Does this record stand in the audit trail already?"""
        query = select(audit.c.number).where(audit.c.once == _named(incident, once))
        with self._database.reading() as connection:
            return connection.scalar(query) is not None

    def audit(self, incident: str | None = None) -> list[AuditRecord]:
        query = select(audit).order_by(audit.c.number)
        if incident:
            query = query.where(audit.c.incident == incident)
        with self._database.reading() as connection:
            return [
                AuditRecord(**{field.name: getattr(row, field.name) for field in fields(AuditRecord)})
                for row in connection.execute(query)
            ]

    def save_preimage(self, incident: str, digest: str, steps: Sequence[Mapping[str, Any]], at: datetime) -> None:
        """Before the first write. A second saving keeps the first: it is the state before us."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    insert(preimages).values(incident=incident, digest=digest, steps=list(steps), saved_at=at)
                )
        except IntegrityError:
            return

    def preimage(self, incident: str, digest: str) -> Sequence[Mapping[str, Any]] | None:
        query = select(preimages.c.steps).where(preimages.c.incident == incident, preimages.c.digest == digest)
        with self._database.reading() as connection:
            found: Sequence[Mapping[str, Any]] | None = connection.scalar(query)
        return found

    def claim(self, key: str, at: datetime) -> bool:
        """True for the first who asks: a comment or delivery is handled once, whichever way it came."""
        try:
            with self._database.transaction() as connection:
                connection.execute(insert(handled).values(key=_fitting(key, 200), at=at))
        except IntegrityError:
            return False
        return True

    def forget_claims(self, before: datetime) -> None:
        """Old versions of comments that nobody will bring again."""
        with self._database.transaction() as connection:
            connection.execute(delete(handled).where(handled.c.at < before))

    def claimed(self, key: str) -> bool:
        """Did anybody claim it before?"""
        with self._database.reading() as connection:
            return connection.scalar(select(handled.c.at).where(handled.c.key == _fitting(key, 200))) is not None

    def lease(self, cluster: ClusterKey, holder: str, now: datetime, lasts: timedelta) -> int | None:
        """The number of a new lease, or None while another one holds it. Numbers only grow, also for the same holder: they fence."""
        name = str(cluster)
        with self._database.transaction() as connection:
            # A row that is not there cannot be locked: the first lease of a cluster needs this.
            self._database.one_writer(connection, f"lease {name}")
            row = connection.execute(select(leases).where(leases.c.cluster == name)).one_or_none()
            if row and row.holder != holder and row.until > now:
                return None
            number = row.number + 1 if row else 1
            values = {"holder": holder, "number": number, "until": now + lasts}
            if row:
                connection.execute(update(leases).where(leases.c.cluster == name).values(**values))
            else:
                connection.execute(insert(leases).values(cluster=name, **values))
        return int(number)

    def renew(self, cluster: ClusterKey, number: int, now: datetime, lasts: timedelta) -> bool:
        """Is this still the newest number? Then it lasts longer; also when its time was over and nobody had taken it."""
        mine = (leases.c.cluster == str(cluster), leases.c.number == number)
        with self._database.transaction() as connection:
            return connection.execute(update(leases).where(*mine).values(until=now + lasts)).rowcount == 1

    def lease_holder(self, cluster: ClusterKey) -> str | None:
        """Who had the cluster last, also when that is over."""
        with self._database.reading() as connection:
            holder: str | None = connection.scalar(select(leases.c.holder).where(leases.c.cluster == str(cluster)))
        return holder

    def release(self, cluster: ClusterKey, holder: str, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                update(leases).where(leases.c.cluster == str(cluster), leases.c.holder == holder).values(until=now)
            )

    def note(self, key: str, default: Any = None) -> Any:
        """A small value that outlives a restart: the pause, the last comment seen."""
        with self._database.reading() as connection:
            row = connection.execute(select(notes.c.value).where(notes.c.key == key)).one_or_none()
        return default if row is None else row.value

    def set_note(self, key: str, value: Any) -> None:
        try:
            with self._database.transaction() as connection:
                if connection.execute(update(notes).where(notes.c.key == key).values(value=value)).rowcount == 0:
                    connection.execute(insert(notes).values(key=key, value=value))
        except IntegrityError:
            with self._database.transaction() as connection:
                connection.execute(update(notes).where(notes.c.key == key).values(value=value))


def _named(incident: str, once: str) -> str:
    return _fitting(f"{incident}/{once}", 300)


def _fitting(key: str, length: int) -> str:
    """Keys that differ only far behind stay different."""
    return key if len(key) <= length else f"{key[: length - 65]}/{sha256(key.encode('utf-8', 'replace')).hexdigest()}"


def _incident(row: Row[Any]) -> Incident:
    values = {name: getattr(row, name) for name in _COLUMNS}
    values["state"] = State(row.state)
    return Incident(cluster=ClusterKey(row.rancher, row.cluster_id), **values)
