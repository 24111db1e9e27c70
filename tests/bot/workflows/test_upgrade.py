"""Incidents that waited while Drover was upgraded go on: what an older one recorded is replayed with today's code."""

import json
from pathlib import Path

import pytest

from tests.bot.workflows.recorded import PLACES, put_back
from tests.bot.workflows.scripted import NOT_YET, PROVED, Run, Runs, ScriptedSteps

RECORDS = sorted(Path(__file__).with_name("records").glob("*.json"))
ALLOW = {"decision": "allow"}


class Upgraded(Runs):
    """Today's code over an older record. Steps that were recorded are not called any more; those that follow are scripted here."""

    def __init__(self, folder, record, scripts):
        url = f"sqlite:///{folder}/drover.sqlite"
        super().__init__(url)
        self.engine.close()
        put_back(json.loads(record.read_text(encoding="utf-8")), f"{folder}/drover-engine.sqlite")
        self.scripts = scripts
        super().__init__(url)

    def _run(self, flow, incident):
        if incident not in self._steps:
            self._steps[incident] = ScriptedSteps(**self.scripts.get(incident.removeprefix("incident:"), {}))
        return super()._run(flow, incident)

    def old(self, place):
        incident = f"incident:{place}"
        for _ in range(1000):
            if incident in self._steps:
                return Run(self, incident, self._steps[incident])
            threading_pause()
        raise AssertionError(f"{incident} was not taken up")


def threading_pause():
    import time

    time.sleep(0.02)


WELL = {"is_well": {"well": True}}
# What happens at each place after the upgrade: what its steps answer, what is said to it, how it ends, which steps never run again.
AFTER = {
    "retrying": ({"decide": ALLOW}, [], "resolved", ()),
    "awaiting-approval": ({"decide": ALLOW}, ["approve"], "resolved", ("collect", "report")),
    "held-by-a-brake": ({"decide": ALLOW}, [], "resolved", ("collect", "report")),
    "held-at-its-beginning": ({"decide": ALLOW}, [], "resolved", ("collect", "report")),
    "settling": ({"settled": PROVED}, [], "resolved", ("collect", "decide", "begin")),
    "proving": ({}, [], "resolved", ("collect", "decide", "begin", "apply")),
    "soaking": ({"prove": NOT_YET}, [], None, ("collect", "decide", "begin", "apply", "resolved")),
    "undoing": ({"take_back": {"done": True}} | WELL, ["healed"], "superseded", ("begin", "apply", "prove")),
    "rolled-back": (WELL, ["healed"], "superseded", ("collect", "begin", "apply", "take_back", "rolled_back")),
    "escalated": (WELL, ["healed"], "superseded", ("collect", "begin", "apply", "take_back", "escalate")),
    "second-attempt": ({"decide": ALLOW}, ["approve"], "resolved", ("collect", "report")),
}


@pytest.fixture(params=RECORDS, ids=lambda record: record.stem)
def upgraded(request, tmp_path):
    runs = Upgraded(tmp_path, request.param, {place: script for place, (script, *_) in AFTER.items()})
    yield runs
    runs.engine.close()


def test_every_place_goes_on_where_it_was(upgraded):
    assert set(AFTER) == set(PLACES)
    for place, (_, words, end, never) in AFTER.items():
        run = upgraded.old(place)
        for word in words:
            run.say(word, by="maria", approval={})
        if end is None:
            run.steps.wait_for("rolled_back")
        else:
            assert run.end() == end, place
        assert not set(never) & set(run.steps.names), (place, run.steps.names)
