"""What holds a plan back, beside the rules? Each brake looks at the facts and says what it found, holding or not.

The texts stand in issues, and every change of a text edits an issue. They quote limits and names, therefore, and no numbers that
move with each new cluster: in a storm that would be hundreds of edits a minute.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bot.policy.facts import Elsewhere, Facts
from bot.policy.schema import Policy
from rancher_ext.remediation.action import Risk, UndoKind

OFF = frozenset({"false", "no", "0"})


class Effect(StrEnum):
    """`refuse`: never, as things stand. `ask`: not without a person. `hold`: not now."""

    REFUSE = "refuse"
    ASK = "ask"
    HOLD = "hold"


@dataclass(frozen=True)
class Check:
    """What one brake found. `text` says why it holds, or what it saw when it does not."""

    name: str
    effect: Effect
    holds: bool
    text: str


def refusals(policy: Policy, facts: Facts) -> Iterator[Check]:
    yield Check(
        "dry-run",
        Effect.REFUSE,
        facts.dry_run,
        "Drover runs with DROVER_DRY_RUN: it plans and shows, and changes nothing"
        if facts.dry_run
        else "Drover may change clusters",
    )
    out = facts.labels.get(policy.opt_out, "false").lower() not in OFF
    yield Check(
        "opt-out",
        Effect.REFUSE,
        out,
        f"the cluster carries the label {policy.opt_out}" if out else f"the cluster has no label {policy.opt_out}",
    )
    if policy.opt_in:
        lacking = _lacking(policy.opt_in, facts)
        yield Check(
            "opt-in",
            Effect.REFUSE,
            bool(lacking),
            f"the policy acts only on clusters with the label {lacking}" if lacking else "the cluster has opted in",
        )
    for action in dict.fromkeys(facts.actions):
        needed = policy.labels_needed(action)
        if needed:
            lacking = _lacking(needed, facts)
            yield Check(
                f"label for {action}",
                Effect.REFUSE,
                bool(lacking),
                f"the action {action} needs the label {lacking} on the Rancher cluster"
                if lacking
                else f"the cluster allows {action}",
            )
    if facts.risk is Risk.DESTRUCTIVE:
        unsaved = _etcd_unsaved(policy, facts)
        yield Check(
            "etcd-snapshot",
            Effect.REFUSE,
            unsaved,
            "a destructive change to a control plane that was up needs a fresh etcd snapshot, and this plan takes none"
            if unsaved
            else etcd_note(policy, facts),
        )


def questions(policy: Policy, facts: Facts) -> Iterator[Check]:
    """What keeps a plan from running by itself, even where a rule lets it."""
    irrevocable = facts.undo is UndoKind.NONE
    yield Check(
        "undo",
        Effect.ASK,
        irrevocable,
        "it cannot be taken back, so it never runs by itself" if irrevocable else f"its undo is {facts.undo}",
    )
    yield Check(
        "failed-before",
        Effect.ASK,
        facts.failed_before,
        "a cure failed on this cluster before, so nothing runs by itself"
        if facts.failed_before
        else "no cure has failed on this cluster",
    )
    yield Check(
        "undecided",
        Effect.ASK,
        facts.undecided,
        "the evidence does not tell two causes apart, so nothing runs by itself"
        if facts.undecided
        else "the evidence names one cause",
    )
    if facts.begun:
        return
    yield storm(policy, facts.elsewhere)
    limit, failures = policy.brakes.demote_after, facts.elsewhere.failures
    name = facts.playbook or "this playbook"
    yield Check(
        "demotion",
        Effect.ASK,
        failures >= limit,
        f"{name} failed {limit} times in a row: it runs only with approval until it has healed a cluster, or somebody resumes it"
        if failures >= limit
        else f"{name} failed {failures} times since its last success, and {limit} would stop it",
    )
    if policy.brakes.canary is not None:
        fell = "" if facts.elsewhere.proven else facts.elsewhere.fell_through
        yield Check(
            "canary-failed",
            Effect.ASK,
            bool(fell),
            f"{fell} was the first to get this cure and was not healed by it: no other gets it unasked"
            if fell
            else "no cluster went first with this cure in vain",
        )
    yield from _freezes(policy, facts, "automatic", Effect.ASK, "nothing runs by itself")


def _freezes(
    policy: Policy, facts: Facts, holds: Literal["automatic", "everything"], effect: Effect, meanwhile: str
) -> Iterator[Check]:
    for window in policy.freeze:
        if window.holds != holds:
            continue
        until = window.until(facts.now)
        because = f" ({window.reason})" if window.reason else ""
        text = f"{meanwhile} until {until}{because}" if until else f"outside of this freeze{because}"
        yield Check("freeze", effect, until is not None, text)


def snoozed(facts: Facts) -> Check:
    """Before anybody is asked: who snoozes an incident wants no questions either."""
    until = facts.snoozed_until
    lasts = until is not None and facts.now < until and not facts.begun
    text = f"{facts.snoozed_by or 'somebody'} snoozed it until {until:%Y-%m-%d %H:%M} UTC" if until and lasts else ""
    return Check("snooze", Effect.HOLD, lasts, text or "nobody snoozes it")


def holds(policy: Policy, facts: Facts) -> Iterator[Check]:
    """What keeps a plan waiting, whoever has agreed to it."""
    yield Check(
        "pause",
        Effect.HOLD,
        facts.paused,
        "Drover is paused: `drover resume` on its machine lets it act again"
        if facts.paused
        else "Drover is not paused",
    )
    yield Check("cluster", Effect.HOLD, bool(facts.not_now), facts.not_now or "the cluster is stuck")
    if facts.begun:
        return
    yield from _freezes(policy, facts, "everything", Effect.HOLD, "no change begins")
    brakes, elsewhere = policy.brakes, facts.elsewhere
    at_once = brakes.clusters_at_once
    yield Check(
        "clusters-at-once",
        Effect.HOLD,
        facts.mending_now >= at_once,
        f"{at_once} clusters are being mended, and the policy allows {at_once} at once"
        if facts.mending_now >= at_once
        else f"{facts.mending_now} of {at_once} clusters are being mended",
    )
    for name, begun, limit in (
        ("signature", elsewhere.signature_begun, brakes.per_signature_per_hour),
        ("playbook", elsewhere.playbook_begun, brakes.per_playbook_per_hour),
    ):
        yield Check(
            f"{name}-per-hour",
            Effect.HOLD,
            begun >= limit,
            f"within an hour {limit} cures of the same {name} have begun, and the policy allows no more"
            if begun >= limit
            else f"{begun} of {limit} cures of the same {name} have begun within an hour",
        )
    if brakes.canary is not None:
        waits = bool(elsewhere.goes_first) and not elsewhere.proven
        yield Check(
            "canary",
            Effect.HOLD,
            waits,
            f"{elsewhere.goes_first} goes first with this cure, and the others follow once it is healed"
            if waits
            else "the cure has healed a cluster lately"
            if elsewhere.proven
            else "this cluster would be the first to get the cure",
        )


def storm(policy: Policy, elsewhere: Elsewhere) -> Check:
    """Is so much of the fleet ill that something larger must be wrong? Also what an umbrella issue asks."""
    limits = policy.brakes.storm
    if limits is None:
        return Check("storm", Effect.ASK, holds=False, text="the policy knows no storm")
    stuck, fleet = elsewhere.stuck_lately, elsewhere.fleet
    within = f"within {int(limits.within.total_seconds() // 60)} min"
    why = ""
    if stuck > limits.clusters:
        why = f"more than {limits.clusters} clusters became stuck {within}"
    elif stuck >= limits.at_least and fleet and stuck / fleet > limits.share:
        why = f"more than {limits.share:.0%} of the fleet became stuck {within}"
    if why:
        text = f"{why}: something larger is wrong, and nothing runs by itself"
        return Check("storm", Effect.ASK, holds=True, text=text)
    return Check("storm", Effect.ASK, holds=False, text=f"{stuck} of {fleet} clusters became stuck {within}")


def etcd_note(policy: Policy, facts: Facts) -> str:
    """Why a destructive plan is not held by the want of an etcd snapshot."""
    if policy.need(facts.risk).fresh_etcd_snapshot == "never":
        return "the policy asks for no etcd snapshot"
    if not facts.initialized:
        return "this control plane was never up, so there is no etcd to save"
    return "a fresh etcd snapshot is there, or the plan takes one first"


def _etcd_unsaved(policy: Policy, facts: Facts) -> bool:
    asked = policy.need(facts.risk).fresh_etcd_snapshot != "never"
    return asked and facts.initialized and not facts.etcd_saved


def _lacking(needed: Mapping[str, str], facts: Facts) -> str:
    return ", ".join(f"{name}={value}" for name, value in needed.items() if facts.labels.get(name) != value)
