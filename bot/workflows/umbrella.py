"""Who keeps the one issue of a storm? Opened when so much of the fleet is ill that the policy stops acting, and kept up to date.

It is the same question that the policy's brake asks, so that people see one story. Edits are few: GitHub's budget belongs to
the incidents' own issues, and most of all in a storm.
"""

from datetime import datetime, timedelta

from bot.incidents.incident import Incident
from bot.policy.brakes import Check
from bot.policy.brakes import storm as storm_brake
from bot.policy.facts import Elsewhere
from bot.reports.umbrella import Storm, umbrella_draft
from bot.workflows.parts import Parts

TOLD_EVERY = timedelta(minutes=5)
_NOTE = "storm"


def keep_umbrella(parts: Parts) -> int | None:
    """Look once. Returns the number of the storm's issue while there is one."""
    tracker, limits, now = parts.tracker, parts.policy().brakes.storm, parts.clock.now()
    if tracker is None or limits is None:
        return None
    known = parts.store.note(_NOTE)
    brake = _brake(parts, now - limits.within)
    if known is None and not brake.holds:
        return None
    if known is None:
        known = {"began": _first(parts, now - limits.within, now).isoformat(), "until": "", "told": "", "reason": ""}
    if brake.holds:
        known |= {"until": now.isoformat(), "reason": brake.text}
    rows = _rows(parts, known)
    over = not brake.holds and all(row.state.over for row in rows)
    told = datetime.fromisoformat(known["told"]) if known["told"] else None
    if told is not None and now - told < TOLD_EVERY and not over:
        parts.store.set_note(_NOTE, known)
        return int(known["issue"])
    storm = Storm(
        began_at=datetime.fromisoformat(known["began"]),
        now=now,
        rows=rows,
        fleet=parts.fleet.count() or None,
        reason=known["reason"] if brake.holds else "",
        ended_at=now if over else None,
    )
    # Noted before it is told: after a crash in between the same storm finds the same issue by its marker.
    parts.store.set_note(_NOTE, known)
    draft = umbrella_draft(storm)
    issue = tracker.open(draft, storm.marker)
    tracker.edit(issue.number, draft)
    if over:
        tracker.close(issue.number, completed=True)
    parts.store.set_note(_NOTE, None if over else known | {"told": now.isoformat(), "issue": issue.number})
    return None if over else issue.number


def _brake(parts: Parts, since: datetime) -> Check:
    return storm_brake(
        parts.policy(), Elsewhere(stuck_lately=parts.store.opened_since(since), fleet=parts.fleet.count())
    )


def _first(parts: Parts, since: datetime, now: datetime) -> datetime:
    """When the first of them was seen: the storm's name, and the same whoever looks."""
    return min((row.opened_at for row in parts.store.all(limit=10_000) if row.opened_at >= since), default=now)


def _rows(parts: Parts, known: dict[str, str]) -> list[Incident]:
    """Its incidents: those that began before it was over."""
    began, until = datetime.fromisoformat(known["began"]), datetime.fromisoformat(known["until"])
    return [row for row in parts.store.all(limit=10_000) if began <= row.opened_at <= until]
