"""What happens to a stuck cluster, from the first look to the end? The runbook, in the order in which a person would do it.

Everything here is a function of step results and messages, so that a replay after a crash takes the same turns. Steps are in
`steps.py`, one call to the outside each; they are safe to repeat.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from bot.workflows.engine import Failed, Flow
from bot.workflows.outcomes import Word
from bot.workflows.probe_flow import AskedSteps, Turn, ask_nodes

TOPIC = "desk"
# Rancher or GitHub may be away for a night; an incident waits that long before it calls for a person.
PATIENCE = timedelta(hours=12)
# What ends an incident is told for as long as it takes: a row that is over must not leave an open issue behind.
TELL_FOR = timedelta(days=7)
# While something is being proved, it is looked at this often.
LOOK_EVERY = timedelta(seconds=30)
# Health that lasts this long ends an incident.
SETTLE = timedelta(minutes=5)
# A brake is asked again after this, then after twice as long, and so on. When one loosens, a message says so (`waking.py`):
# asking is for what no message tells, such as the end of a freeze. A weekend's pause is some 400 records, not 11,000.
BRAKE_PAUSE = timedelta(minutes=1)
BRAKE_PAUSE_AT_MOST = timedelta(minutes=30)
# The patch point of the above: incidents that an earlier Drover began ask every minute until they come to it.
CALMER = "calmer-brakes"
# Without a message, an incident that waits for people looks after itself this often.
QUIET = timedelta(hours=6)

Json = Mapping[str, Any]


class Steps(Protocol):
    """What the flow asks for. Each takes the incident's id first and returns JSON."""

    def collect(self, incident: str, name: str) -> Json: ...
    def diagnose(self, incident: str, name: str) -> Json: ...
    def plan(self, incident: str) -> Json: ...
    def decide(self, incident: str) -> Json: ...
    def report(self, incident: str) -> Json: ...
    def note_approval(self, incident: str, message: Json) -> Json: ...
    def void_approvals(self, incident: str, message: Json) -> Json: ...
    def reject(self, incident: str, message: Json) -> Json: ...
    def again(self, incident: str, message: Json) -> Json: ...
    def is_well(self, incident: str) -> Json: ...
    def superseded(self, incident: str, why: str) -> Json: ...
    def close(self, incident: str, message: Json) -> Json: ...
    def begin(self, incident: str) -> Json: ...
    def apply(self, incident: str, index: int) -> Json: ...
    def settled(self, incident: str, index: int) -> Json: ...
    def prove(self, incident: str, phase: str) -> Json: ...
    def resolved(self, incident: str, proof: str) -> Json: ...
    def failed_cure(self, incident: str, why: str) -> Json: ...
    def take_back(self, incident: str, index: int) -> Json: ...
    def rolled_back(self, incident: str, why: str) -> Json: ...
    def escalate(self, incident: str, why: str) -> Json: ...


def run_incident(flow: Flow, steps: Steps, incident: str, nodes: AskedSteps | None = None) -> str:
    """The whole life of one incident. Returns how it ended. Without `nodes` nobody is asked on the nodes themselves."""
    wait_for_word = partial(_wait_for_word, flow, steps, incident, nodes)
    attempt = 0
    while True:
        attempt += 1
        failed = _understand(flow, steps, incident, attempt)
        if failed:
            flow.patiently("escalate", steps.escalate, incident, failed, patience=PATIENCE)
        word = wait_for_word(may_mend=not failed)
        held = 0
        while word is Word.MEND:
            word = _mend(flow, steps, incident)
            if word is Word.WAIT and flow.took(CALMER):
                word = wait_for_word(may_mend=True, first=brake_pause(held))
                held += 1
            elif word is Word.WAIT:
                flow.wait(BRAKE_PAUSE)
                word = wait_for_word(may_mend=True)
        if word is Word.STOP:
            word = wait_for_word(may_mend=False)
        if word is Word.HEALED:
            flow.patiently("superseded", steps.superseded, incident, "it came up by itself", patience=TELL_FOR)
            return "superseded"
        if word is Word.GONE:
            flow.patiently(
                "superseded", steps.superseded, incident, "the cluster is gone from Rancher", patience=TELL_FOR
            )
            return "gone"
        if word is Word.DROPPED:
            flow.patiently("superseded", steps.superseded, incident, "it is no longer watched", patience=TELL_FOR)
            return "dropped"
        if word is Word.CLOSED:
            return "closed"
        if word is Word.RESOLVED:
            return "resolved"


def _understand(flow: Flow, steps: Steps, incident: str, attempt: int) -> str | None:
    """Collect, diagnose, plan, decide, tell. Returns why it could not be done, or None."""
    for name, function, arguments in (
        ("collect", steps.collect, (f"{attempt}",)),
        ("diagnose", steps.diagnose, (f"{attempt}",)),
        ("plan", steps.plan, ()),
        ("decide", steps.decide, ()),
        ("report", steps.report, ()),
    ):
        outcome = flow.patiently(name, function, incident, *arguments, patience=PATIENCE)
        if isinstance(outcome, Failed):
            if outcome.kind == "NotFound" and name in {"collect", "plan"}:
                # Deleted half-way: the watch will say so in a moment, and that ends the incident.
                return None
            if name == "report":
                # GitHub is away. The next step that tells something tells this, too.
                return None
            return f"{name}: {outcome.message}"
    return None


def brake_pause(asked: int) -> timedelta:
    """How long a brake that was asked so often is left alone, unless somebody says that it has loosened."""
    return min(BRAKE_PAUSE * (1 << min(asked, 10)), BRAKE_PAUSE_AT_MOST)


def _wait_for_word(
    flow: Flow,
    steps: Steps,
    incident: str,
    nodes: AskedSteps | None,
    *,
    may_mend: bool,
    first: timedelta | None = None,
) -> Word:
    """Until people, policy or the cluster itself say how it goes on. `first` is waited before the policy is asked."""
    rejected = not may_mend
    held = 0
    # How often a brake was asked that holds the asking of the nodes; None when nobody has agreed to that.
    nodes_held: int | None = None
    while True:
        pause, asks = first or QUIET, first is None
        first = None
        if asks and not rejected:
            calmer = flow.patched(CALMER)
            decision = flow.patiently("decide", steps.decide, incident, patience=PATIENCE)
            if not isinstance(decision, Failed):
                if decision.get("decision") == "allow":
                    return Word.MEND
                if decision.get("decision") == "wait":
                    pause = brake_pause(held) if calmer else BRAKE_PAUSE
                    held += 1
                if decision.get("changed"):
                    flow.patiently("report", steps.report, incident, patience=PATIENCE)
        if nodes_held is not None:
            pause = min(pause, brake_pause(nodes_held))
        message = flow.receive(TOPIC, pause)
        kind = message.get("kind") if message else None
        if nodes and (kind == "approve-nodes" or (nodes_held is not None and kind in {None, "wake"})):
            turn = ask_nodes(flow, nodes, incident, message if kind == "approve-nodes" else None)
            if turn is Turn.ASKED:
                # What they said may change cause and plan: as if a person had asked for a fresh look.
                flow.patiently("again", steps.again, incident, {"keep": True, "once": "nodes"}, patience=PATIENCE)
                return Word.AGAIN
            nodes_held = (nodes_held or 0) + 1 if turn is Turn.HELD else None
            continue
        match kind:
            case None:
                looked = flow.patiently("is_well", steps.is_well, incident, patience=PATIENCE)
                if isinstance(looked, Failed) and looked.kind == "NotFound":
                    return Word.GONE
                if not isinstance(looked, Failed) and looked.get("well") and pause == QUIET:
                    return Word.HEALED
            case "wake":
                # A brake has loosened.
                continue
            case "dropped":
                return Word.DROPPED
            case "approve":
                flow.step("note_approval", steps.note_approval, incident, message)
            case "void":
                voided = flow.step("void_approvals", steps.void_approvals, incident, message)
                if not isinstance(voided, Failed) and voided.get("nodes"):
                    flow.patiently("report", steps.report, incident, patience=PATIENCE)
            case "reject":
                rejected = True
                flow.patiently("reject", steps.reject, incident, message, patience=PATIENCE)
            case "again":
                flow.patiently("again", steps.again, incident, message, patience=PATIENCE)
                return Word.AGAIN
            case "close":
                flow.patiently("close", steps.close, incident, message, patience=TELL_FOR)
                return Word.CLOSED
            case "rollback":
                _take_back(flow, steps, incident, "a person asked for it")
                rejected = True
            case "healed":
                # The message may be old: only what is true now ends an incident.
                well = flow.patiently("is_well", steps.is_well, incident, patience=PATIENCE)
                if not isinstance(well, Failed) and well.get("well"):
                    return Word.HEALED
            case "gone":
                if not _still_there(flow, steps, incident):
                    return Word.GONE
            case _:
                continue


def _still_there(flow: Flow, steps: Steps, incident: str) -> bool:
    outcome = flow.patiently("is_well", steps.is_well, incident, patience=PATIENCE)
    return not (isinstance(outcome, Failed) and outcome.kind == "NotFound")


def _mend(flow: Flow, steps: Steps, incident: str) -> Word:
    """Pre-image, apply, prove, soak; or put everything back."""
    begun = flow.patiently("begin", steps.begin, incident, patience=PATIENCE)
    if isinstance(begun, Failed) and begun.kind == "NotFound":
        return Word.GONE
    if isinstance(begun, Failed):
        flow.patiently("escalate", steps.escalate, incident, begun.message, patience=PATIENCE)
        return Word.STOP
    if begun.get("well"):
        # It came up a moment before us. Whether that lasts is worth a few minutes; then it is either healed or looked at afresh.
        flow.wait(SETTLE)
        well = flow.patiently("is_well", steps.is_well, incident, patience=PATIENCE)
        return Word.HEALED if not isinstance(well, Failed) and well.get("well") else Word.AGAIN
    if begun.get("wait"):
        return Word.WAIT
    if not begun.get("begun"):
        # What the plan rests on has changed: the approval is void, and a new plan is made from fresh evidence.
        return Word.AGAIN
    for index in range(begun["steps"]):
        outcome = flow.patiently("apply", steps.apply, incident, index, patience=PATIENCE)
        if isinstance(outcome, Failed):
            return _put_back(flow, steps, incident, f"step {index + 1} could not be applied: {outcome.message}")
        if outcome.get("settle"):
            # The next step builds on this one: a CRD that is not Established yet, a snapshot that is not complete.
            look = partial(steps.settled, incident, index)
            seen = _until(flow, "settled", look, timedelta(seconds=float(outcome["settle"])))
            if seen.get("rollback"):
                return _asked_back(flow, steps, incident)
            if seen.get("unseen"):
                return _blind(flow, steps, incident, str(seen["text"]))
            if not seen.get("holds"):
                return _put_back(flow, steps, incident, f"step {index + 1} had no effect in time: {seen.get('text')}")
    proof = _until(flow, "prove", partial(steps.prove, incident, "cure"), timedelta(seconds=begun["within"]))
    if proof.get("rollback"):
        return _asked_back(flow, steps, incident)
    if proof.get("unseen"):
        return _blind(flow, steps, incident, str(proof["text"]))
    if not proof.get("holds"):
        return _put_back(
            flow,
            steps,
            incident,
            f"the proof did not come within {int(begun['within'] // 60)} min: {proof.get('text', '')}",
        )
    soaked = _soak(flow, steps, incident, timedelta(seconds=begun["soak"]))
    if soaked.get("rollback"):
        return _asked_back(flow, steps, incident)
    if soaked.get("unseen"):
        return _blind(flow, steps, incident, str(soaked["text"]))
    if not soaked.get("holds"):
        return _put_back(flow, steps, incident, f"it came up and fell ill again: {soaked.get('text', '')}")
    flow.patiently("resolved", steps.resolved, incident, str(soaked.get("text", "")), patience=TELL_FOR)
    return Word.RESOLVED


def _until(flow: Flow, name: str, look: Callable[[], Json], within: timedelta) -> Json:
    """Look until it holds. A look that failed says nothing about the cluster: it counts neither as time nor as a bad sign, up to PATIENCE."""
    waited, silent, proof = timedelta(), timedelta(), {"holds": False, "text": "nothing could be seen"}
    while True:
        outcome = flow.step(name, look)
        if not isinstance(outcome, Failed):
            proof = dict(outcome)
            if proof.get("holds"):
                return proof
        elif not outcome.retry or silent >= PATIENCE:
            return {"holds": False, "unseen": True, "text": outcome.message}
        if waited >= within:
            return proof
        message = flow.receive(TOPIC, LOOK_EVERY)
        if _asks_back(message):
            return {"holds": False, "rollback": True}
        if message is None:
            waited += timedelta() if isinstance(outcome, Failed) else LOOK_EVERY
            silent = silent + LOOK_EVERY if isinstance(outcome, Failed) else timedelta()


def _soak(flow: Flow, steps: Steps, incident: str, soak: timedelta) -> Json:
    """Stay well for so long. One bad look may be a node that reports late; two in a row are a relapse."""
    waited, silent, bad = timedelta(), timedelta(), 0
    proof: Json = {"holds": True, "text": ""}
    while waited < soak:
        message = flow.receive(TOPIC, LOOK_EVERY)
        if _asks_back(message):
            return {"holds": False, "rollback": True}
        if message:
            continue
        waited += LOOK_EVERY
        outcome = flow.step("prove", steps.prove, incident, "soak")
        if isinstance(outcome, Failed):
            # Rancher did not answer: that says nothing about the cluster, so this look does not count.
            waited -= LOOK_EVERY
            silent += LOOK_EVERY
            if not outcome.retry or silent >= PATIENCE:
                return {"holds": False, "unseen": True, "text": outcome.message}
        else:
            silent = timedelta()
            bad = 0 if outcome.get("holds") else bad + 1
            proof = outcome
        if bad >= 2:
            return {"holds": False, "text": str(proof.get("text", ""))}
    return {"holds": True, "text": str(proof.get("text", ""))}


def _blind(flow: Flow, steps: Steps, incident: str, why: str) -> Word:
    """Nobody can see whether the cure worked. Taking it back unseen could break what it mended: a person decides."""
    told = f"the change is in place, and whether it works cannot be seen: {why}"
    flow.patiently("escalate", steps.escalate, incident, told, patience=TELL_FOR)
    return Word.STOP


def _asks_back(message: Json | None) -> bool:
    """While a change is proved, a person can only take it back; every other word comes too late or too early."""
    return message is not None and message.get("kind") == "rollback"


def _asked_back(flow: Flow, steps: Steps, incident: str) -> Word:
    _take_back(flow, steps, incident, "a person asked for it")
    return Word.STOP


def _put_back(flow: Flow, steps: Steps, incident: str, why: str) -> Word:
    learned = flow.patiently("failed_cure", steps.failed_cure, incident, why, patience=PATIENCE)
    # That nothing could be learnt any more is no reason to leave a failed cure in the cluster.
    if not isinstance(learned, Failed) and learned.get("keep"):
        flow.patiently("escalate", steps.escalate, incident, why, patience=PATIENCE)
        return Word.STOP
    _take_back(flow, steps, incident, why)
    return Word.STOP


def _take_back(flow: Flow, steps: Steps, incident: str, why: str) -> bool:
    """Restore the pre-image, last step first, and prove it. Returns whether everything is back."""
    index = 0
    while True:
        outcome = flow.patiently("take_back", steps.take_back, incident, index, patience=PATIENCE)
        if isinstance(outcome, Failed):
            flow.patiently(
                "escalate",
                steps.escalate,
                incident,
                f"{why}; and it could not be put back: {outcome.message}",
                patience=PATIENCE,
            )
            return False
        if outcome.get("done"):
            break
        index += 1
    flow.patiently("rolled_back", steps.rolled_back, incident, why, patience=PATIENCE)
    return True
