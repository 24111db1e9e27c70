"""`/drover approve 7f3a9c`: somebody agrees to exactly this plan.

The digest names the plan. Without it an approval would count for whatever the plan has become meanwhile.
"""

import re

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role
from bot.reports.escape import code_span

EXPECTED = "Write `/drover approve` and the first six or more hex digits of the plan's digest, as the issue shows them."
_DIGEST = re.compile(r"[0-9a-f]{6,64}")


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    if not ask.args:
        return Reply(f"Which plan? {EXPECTED}", reaction="confused")
    if len(ask.args) > 1:
        return Reply(f"One plan at a time, and nothing after it. {EXPECTED}", reaction="confused")
    # People copy the digest together with the backticks around it.
    digest = ask.args[0].strip("`").lower()
    if not _DIGEST.fullmatch(digest):
        return Reply(f"{code_span(ask.args[0][:80])} is no digest of a plan. {EXPECTED}", reaction="confused")
    return desk.approve(
        ask.incident,
        digest,
        by=ask.author,
        role=ask.role,
        comment_id=ask.comment_id,
        comment_updated_at=ask.comment_updated_at,
    ).as_reply()


COMMAND = Command(
    "approve",
    run,
    who=Role.WRITE,
    usage="/drover approve <digest>",
    help="Agree to the plan with this digest; the policy says how many must.",
)
