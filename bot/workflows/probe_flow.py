"""In which order are a cluster's nodes asked, and what makes sure that the probe comes out again?

Everything here is a function of step results, so that a replay after a crash takes the same turns. The durable incident walks
this road when people agreed in its issue; the terminal walks it in its own process.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

from bot.workflows.engine import Failed

LOOK_EVERY = timedelta(seconds=10)
# Rancher may be away for a night; the document is taken out when it is back.
PATIENCE = timedelta(hours=12)
OUT_WITHIN = timedelta(days=7)
# Who walks a run that people asked for in the issue: then no other workflow of the service takes it up after a crash.
INCIDENT = "incident"

Json = Mapping[str, Any]


class Walk(Protocol):
    """What a walk through the steps needs: the durable engine's `Flow`, or the terminal's own."""

    def step(self, name: str, function: Callable[..., Json | None], *arguments: Any) -> Json | Failed: ...

    def patiently(
        self, name: str, function: Callable[..., Json | None], *arguments: Any, patience: timedelta
    ) -> Json | Failed: ...

    def wait(self, duration: timedelta) -> None: ...


class ProbeSteps(Protocol):
    """What the walk asks for. Each takes the incident's id first and returns JSON."""

    def begin(self, incident: str, walker: str = "") -> Json: ...
    def deliver(self, incident: str) -> Json: ...
    def look(self, incident: str) -> Json: ...
    def take_out(self, incident: str) -> Json: ...
    def finish(self, incident: str, why: str) -> Json: ...


class AskedSteps(ProbeSteps, Protocol):
    """The same, where people agree by a message."""

    def agreed(self, incident: str, message: Json | None) -> Json: ...
    def tell(self, incident: str, ended: Json) -> Json: ...


class Turn(Enum):
    """What became of an agreement."""

    ASKED = "asked"  # nodes have reported: there is something to diagnose anew
    HELD = "held"  # allowed, but not at this moment
    WAITS = "waits"  # nothing more to do until somebody says something


def run_probe(
    walk: Walk, steps: ProbeSteps, incident: str, stop: Callable[[], bool] = lambda: False, walker: str = ""
) -> Json:
    """The whole run. Returns how it ended, for people. `stop` ends the waiting for reports, never the taking out."""
    begun = walk.patiently("begin_probe", steps.begin, incident, walker, patience=PATIENCE)
    if isinstance(begun, Failed):
        return {"done": False, "why": begun.message}
    if not begun.get("begun"):
        return {"done": False, "why": begun["why"], "wait": bool(begun.get("wait"))}
    why = ""
    delivered = walk.patiently("deliver_probe", steps.deliver, incident, patience=PATIENCE)
    if isinstance(delivered, Failed):
        # It may have been written all the same; taking it out finds that.
        why = delivered.message
    else:
        waited = timedelta()
        while waited < timedelta(seconds=begun["within"]) and not stop():
            seen = walk.step("look_for_reports", steps.look, incident)
            if (not seen.retry) if isinstance(seen, Failed) else (seen["holds"] or seen["over"]):
                break
            walk.wait(LOOK_EVERY)
            waited += LOOK_EVERY
    out = walk.patiently("take_out_probe", steps.take_out, incident, patience=OUT_WITHIN)
    if isinstance(out, Failed):
        why = f"the probe could not be taken out again: {out.message}"
    finished = walk.patiently("finish_probe", steps.finish, incident, why, patience=PATIENCE)
    if isinstance(finished, Failed):
        return {"done": False, "out": not isinstance(out, Failed), "why": why or finished.message}
    return {"done": not why, "out": not isinstance(out, Failed), "why": why, **finished}


def run_in_service(flow: Walk, steps: ProbeSteps, incident: str) -> str:
    """The same as a durable workflow, whose result is a word."""
    ended = run_probe(flow, steps, incident)
    return "done" if ended["done"] else str(ended["why"])


def ask_nodes(flow: Walk, steps: AskedSteps, incident: str, message: Json | None) -> Turn:
    """Somebody agreed in the issue, or a brake is asked again (`message` is None): ask the nodes where that is enough."""
    standing = flow.patiently("nodes_agreed", steps.agreed, incident, message, patience=PATIENCE)
    if isinstance(standing, Failed):
        return _told(flow, steps, incident, {"done": False, "why": standing.message})
    if standing["decision"] == "wait":
        return Turn.HELD
    if standing["decision"] == "refuse":
        return _told(flow, steps, incident, {"done": False, "why": standing["why"]})
    if standing["decision"] != "allow":
        return Turn.WAITS
    ended = run_probe(flow, steps, incident, walker=INCIDENT)
    if ended.get("wait"):
        return Turn.HELD
    return _told(flow, steps, incident, ended)


def _told(flow: Walk, steps: AskedSteps, incident: str, ended: Json) -> Turn:
    flow.patiently("nodes_asked", steps.tell, incident, ended, patience=OUT_WITHIN)
    return Turn.ASKED if ended.get("reported") else Turn.WAITS
