"""What happened to an incident, for people? And the audit record, for those who check on us."""

import hashlib
import json
from collections.abc import Mapping
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
