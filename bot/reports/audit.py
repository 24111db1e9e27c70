"""How does the audit record leave the database, so that somebody else can check it later, without us?

As JSON lines: a head that says how many records there are and how the chain ends, then one record a line. Each record carries
the hash of the one before, and its own over all its fields; the head shows when lines at the end are missing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from bot.incidents.timeline import AuditRecord, audit_digest, broken_link
from rancher_ext.errors import BadInput

SCHEMA = 1


@dataclass(frozen=True)
class Checked:
    """What a check found. `broken` is the number of the first record that does not fit, None when all do."""

    records: int
    head: str
    broken: int | None = None
    why: str = ""
    whole: bool = True

    @property
    def text(self) -> str:
        if self.broken is not None:
            return f"broken at record {self.broken}"
        if self.why:
            return f"broken: {self.why}"
        if not self.whole:
            return f"the {self.records} records of this part are unchanged; only the whole record shows that none is missing"
        return f"the chain is whole: {self.records} records, it ends in {self.head[:16] or 'nothing'}"

    @property
    def holds(self) -> bool:
        return self.broken is None and not self.why


def export_lines(records: Sequence[AuditRecord], at: datetime, *, incident: str = "") -> Iterator[str]:
    """The head, then the records. With `incident` it is a part of the record, which cannot show what is missing."""
    head = {
        "drover-audit": SCHEMA,
        "exportedAt": at.isoformat(),
        "records": len(records),
        "head": records[-1].digest if records else "",
        "incident": incident or None,
    }
    yield json.dumps(head, sort_keys=True)
    for record in records:
        yield json.dumps(asdict(record) | {"at": record.at.isoformat()}, sort_keys=True, ensure_ascii=False)


def check(records: Sequence[AuditRecord], *, part: bool = False) -> Checked:
    """Does every record follow from the one before it? Of a part only each record by itself can be checked."""
    head = records[-1].digest if records else ""
    if not part:
        return Checked(len(records), head, broken_link(records))
    wrong = next((record.number for record in records if record.digest != _digest(record)), None)
    return Checked(len(records), head, wrong, whole=False)


def check_export(lines: Iterable[str], source: str) -> Checked:
    """Check an export by nothing but itself. Raises BadInput where it is none."""
    numbered = enumerate(lines, start=1)
    first = next(numbered, None)
    head = _parsed(first[1], f"{source}:1") if first else {}
    if head.get("drover-audit") != SCHEMA:
        raise BadInput(
            f"{source} is no export of Drover's audit record",
            cure="`drover incidents audit --export FILE` writes one; its first line says what it is.",
        )
    records = [
        _record(_parsed(line, f"{source}:{number}"), f"{source}:{number}") for number, line in numbered if line.strip()
    ]
    found = check(records, part=bool(head.get("incident")))
    if found.holds and (len(records) != head.get("records") or found.head != head.get("head")):
        return Checked(
            len(records),
            found.head,
            why=f"its head tells of {head.get('records')} records, and {len(records)} are there"
            if len(records) != head.get("records")
            else "its head names another last record",
            whole=found.whole,
        )
    return found


def _digest(record: AuditRecord) -> str:
    told = {field.name: getattr(record, field.name) for field in fields(record)}
    for name in ("number", "previous", "digest"):
        del told[name]
    return audit_digest(record.previous, told | {"at": record.at.isoformat()})


def _parsed(line: str, source: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{source} is not a JSON object", cure="Export it again, or look for the whole file.")
    return found


def _record(raw: Mapping[str, Any], source: str) -> AuditRecord:
    try:
        values = {field.name: raw[field.name] for field in fields(AuditRecord)}
        return AuditRecord(**{**values, "at": datetime.fromisoformat(str(values["at"]))})
    except (KeyError, ValueError) as error:
        raise BadInput(
            f"{source} is no audit record: {error}", cure="Export it again, or look for the whole file."
        ) from error
