"""How do people ask, in an issue, for what only the nodes know? They read the plan of the probe, and agree to its digest.

The same word as for a cure: the digest tells which plan is meant. Nothing is begun here; the incident hears of it by a message.
"""

from datetime import datetime
from typing import Any

from bot.commands.command import Outcome
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval, names_plan
from bot.policy.roles import at_least
from bot.ports import Role
from bot.reports.escape import code_span, escape_markdown
from bot.reports.prose import prose
from bot.workflows.parts import Parts
from bot.workflows.probe_offer import Offering
from rancher_ext.errors import DroverError
from rancher_ext.remediation.action import Risk

_ACTING = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})


class NodesDesk:
    """The part of the desk that is about the nodes' own words. `_send` is the desk's."""

    _parts: Parts

    def _send(self, row: Incident, message: dict[str, Any], name: str, by: str) -> Outcome:
        raise NotImplementedError

    def nodes_plan(self, incident: str) -> Outcome:
        """What asking the nodes would do here, and what the policy says to it."""
        row = self._parts.store.get(incident)
        offering = Offering(self._parts)
        if refused := _not_now(row, offering):
            return Outcome(False, refused)
        try:
            there, text = offering.text(row.id)
        except DroverError as error:
            return Outcome(False, f"The plan cannot be made now: {escape_markdown(error.message)}.")
        return Outcome(True, text) if there else Outcome(False, f"The nodes cannot be asked: {prose(text, 400)}.")

    def _approve_nodes(
        self, row: Incident, digest_prefix: str, *, by: str, role: Role, comment_id: int, comment_updated_at: datetime
    ) -> Outcome | None:
        """None when these digits do not name a plan of the probe, neither the one in force nor the last one."""
        offering = Offering(self._parts)
        run = offering.inbox.last(row.id)
        offered = offering.inbox.offered(run) if run is not None else None
        named = offered is not None and names_plan(digest_prefix, str(offered["digest"]))
        if run is None or not named:
            if row.plan is None and offered is not None and run is not None and run.phase == "prepared":
                return _another(digest_prefix, str(offered["digest"]))
            return None
        if run.phase == "closed":
            return Outcome(
                False, "The nodes were asked with that plan already; `/drover diagnose nodes` shows a new one."
            )
        if refused := _not_now(row, offering):
            return Outcome(False, refused)
        try:
            prepared = offering.prepare(row.id)
        except DroverError as error:
            return Outcome(
                False, f"Not now, nothing was noted: {escape_markdown(error.message)}. Say it again, please."
            )
        if prepared["plan"] is None:
            return Outcome(False, f"The nodes cannot be asked: {prose(prepared['why'], 400)}.")
        digest, decision = str(prepared["plan"]), prepared["decision"]
        if not names_plan(digest_prefix, digest):
            return _another(digest_prefix, digest)
        if decision["decision"] == "refuse":
            return Outcome(
                False, f"The policy does not let the nodes be asked: {prose('; '.join(decision['reasons']), 400)}."
            )
        need = self._parts.policy().need(Risk.DISRUPTIVE)
        if not at_least(role.name.lower(), need.by):
            return Outcome(False, f"A disruptive change needs the role {need.by}; you have {role.name.lower()}.")
        approval = Approval(
            by, role.name.lower(), digest, self._parts.clock.now(), comment_id, comment_updated_at.isoformat()
        )
        # As for a cure: a change of the comment has to be known even before the incident has read this.
        self._parts.store.set_note(f"approval:{comment_id}", row.id)
        once = f"nodes-{comment_id}-{comment_updated_at.isoformat()}"
        return self._send(row, {"kind": "approve-nodes", "approval": approval.to_json()}, once, by)


def _another(said: str, digest: str) -> Outcome:
    text = f"The plan for asking the nodes is now `{digest[:6]}`, not {code_span(said[:12])}: `/drover diagnose nodes` shows it."
    return Outcome(False, text)


def _not_now(row: Incident, offering: Offering) -> str:
    if row.state.over:
        return f"This incident is over ({row.state})."
    run = offering.inbox.current(row.id)
    if run is not None and run.phase == "open":
        there = len(offering.inbox.nodes_of(run))
        return f"The nodes are being asked already: {there} of {len(run.nodes)} have reported. This issue says how it ends."
    if row.state in _ACTING:
        return f"Not now: this incident is {row.state}."
    if row.state is State.REJECTED:
        return "The plan was rejected; `/drover retry` begins afresh."
    return ""
