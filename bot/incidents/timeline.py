"""What happened to an incident, for people? And the audit record, for those who check on us."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class TimelineEntry:
    """One line of the story. `kind` is a constant (`state`, `found`, `plan`, `approval`, `change`, `proof`, `command`)."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True)
class AuditRecord:
    """One write, or one intention to write. `previous` chains it to the record before, so that a missing one shows."""

    number: int
    at: datetime
    incident: str
    actor: str
    rule: str
    what: str
    place: str
    before: Any
    after: Any
    result: str
    previous: str
    digest: str


def audit_digest(previous: str, fields: Mapping[str, Any]) -> str:
    """The hash of a record: of its own fields and of the record before it."""
    return hashlib.sha256((previous + json.dumps(fields, sort_keys=True, default=str)).encode()).hexdigest()


def broken_link(records: Sequence[AuditRecord]) -> int | None:
    """The number of the first record whose hash does not follow from its fields and the one before it; None when all do."""
    previous = ""
    for record in records:
        fields = {
            "incident": record.incident,
            "at": record.at.isoformat(),
            "actor": record.actor,
            "rule": record.rule,
            "before": record.before,
            "after": record.after,
            "what": record.what,
            "place": record.place,
            "result": record.result,
        }
        if record.previous != previous or record.digest != audit_digest(previous, fields):
            return record.number
        previous = record.digest
    return None
