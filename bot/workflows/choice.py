"""Which playbook shall it be, where a person wants another one than the catalogue's?

Somebody looks at the plan of another playbook (`/drover plan <playbook>`, `drover remediate --playbook`) and agrees to it by its
digest. The incident then plans anew with that playbook, as long as it mends something that was found; what was agreed to
counts if the new plan has the same digest. Any fresh start without a choice returns to the catalogue's.
"""

from collections.abc import Mapping
from typing import Any

from bot.policy.approvals import names_plan
from bot.ports import IncidentBook
from rancher_ext.remediation.plan import Plan
from rancher_ext.remediation.playbook import Playbook

# Plans of other playbooks that are remembered for an approval.
_OFFERED = 5

Json = Mapping[str, Any]


def mended_by(playbook: Playbook, diagnosis: Json | None) -> Json | None:
    """The best finding that this playbook mends; None when nothing was found that it does."""
    found = diagnosis or {}
    findings = found.get("findings") or [] if found.get("verdict") == "cni-failure" else []
    return next((finding for finding in findings if finding["signature"] in playbook.signatures), None)


def choose(book: IncidentBook, incident: str, playbook: str) -> None:
    """From now on this playbook; empty for the catalogue's own."""
    book.set_note(_chosen(incident), playbook or None)


def chosen(book: IncidentBook, incident: str, known: Mapping[str, Playbook]) -> Playbook | None:
    """The playbook somebody chose, if it is still in the catalogue."""
    name = book.note(_chosen(incident))
    return next((playbook for playbook in known.values() if playbook.id == name), None) if name else None


def offer(book: IncidentBook, incident: str, plan: Plan) -> None:
    """Remember a plan that was shown, so that its digest can be approved."""
    kept = [raw for raw in book.note(_offered(incident)) or [] if raw["digest"] != plan.digest]
    book.set_note(_offered(incident), [*kept, plan.to_json()][-_OFFERED:])


def offered(book: IncidentBook, incident: str, digest_prefix: str) -> Plan | None:
    """The plan that was shown under this digest, newest first."""
    plans = [Plan.from_json(raw) for raw in reversed(book.note(_offered(incident)) or [])]
    return next((plan for plan in plans if names_plan(digest_prefix, plan.digest)), None)


def _chosen(incident: str) -> str:
    return f"chosen:{incident}"[:100]


def _offered(incident: str) -> str:
    return f"offered:{incident}"[:100]
