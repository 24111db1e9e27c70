"""A shell on somebody's node is an act: allowed per cluster, held by brakes and leases, and in the audit record before and after."""

import json
import re
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from bot.cli.diagnose import command as diagnose
from bot.cli.incidents import command as incidents
from bot.cli.shared import who
from bot.incidents.timeline import broken_link
from bot.policy.schema import Policy
from bot.workflows.shell_record import RULE, witness_of
from rancher_ext.errors import ShellRefused
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.evidence.collectors.machine_shell import COMMANDS, LABEL
from rancher_ext.evidence.witness import ShellAct
from tests.bot.workflows.world import SPEED, knowledge

pytest.importorskip("wsproto", reason="the machine shell needs wsproto")
NAME = "store-01"
LINES = {command.line for commands in COMMANDS.values() for command in commands}


@pytest.fixture
def shelled(new_world):
    """A stuck cluster whose people allow the shell, looked at by the service."""

    def make(*, label="allow", before=lambda _: None):
        world = new_world()
        world.fleet.add("rke2-canal-never-connected", NAME)
        if label:
            world.change(NAME, {"metadata": {"labels": {LABEL: label}}})
        before(world)
        world.sweep()
        world.until(NAME, "reported", "awaiting-approval")
        world.wait(lambda: world.issue_of(NAME), "the issue")
        return world

    return make


def typed(world):
    return world.rancher._server.config.app.shell.typed


def told(world):
    bundle = open_bundle(world.incident(NAME).evidence)
    return bundle, next(each for each in bundle.collectors if each.name == "machine_shell")


def test_each_session_and_each_command_stands_before_and_after(shelled):
    world = shelled()
    row = world.incident(NAME)
    records = world.store.audit(row.id)

    assert typed(world)
    machines = {f"machine fleet-default/{each.name}" for each in world.sim(NAME).identity.machines}
    assert {record.place for record in records} == machines
    assert {(record.actor, record.rule) for record in records} == {("drover", RULE)}
    for place in machines:
        here = [record for record in records if record.place == place]
        assert [record.what for record in here] == ["intend shell", *["intend command", "command"] * 3, "shell"]
        for intended, done in zip(here[1:-1:2], here[2:-1:2], strict=True):
            assert intended.after == done.after
            assert done.after["command"] in LINES
            assert re.fullmatch(r"\d+ bytes, exit 0", done.result)
            assert intended.at <= done.at
    # What the machines said is evidence, and no part of the record.
    bundle, report = told(world)
    said = {line for path in report.files for line in bundle[path].read_bytes().decode().splitlines()}
    kept = json.dumps([asdict(record) for record in records], default=str)
    assert said
    assert not any(line in kept for line in said)
    assert broken_link(world.store.audit()) is None
    # Nothing is held any more: whoever mends next finds the cluster free.
    now = world.app.clock.now()
    assert world.store.lease(row.cluster, "other#incident", now, timedelta(minutes=1)) is not None


def test_a_second_look_is_a_second_act(shelled):
    world = shelled()
    before = len(world.store.audit())

    world.comment(NAME, "/drover diagnose", by="tom")

    world.wait(lambda: len(world.store.audit()) == 2 * before, "the second look")
    assert len({record.after["session"] for record in world.store.audit()}) == 2 * 3


@pytest.mark.parametrize("label", ["", "true", "never"])
def test_without_the_label_nothing_is_opened_and_nothing_noted(shelled, label):
    world = shelled(label=label)
    assert typed(world) == []
    assert world.store.audit() == []


def test_a_pause_keeps_it_closed(shelled):
    world = shelled(before=lambda world: world.store.set_note("paused", {"by": "jan"}))
    assert typed(world) == []
    assert world.store.audit() == []
    assert "Drover is paused: no shell is opened" in told(world)[1].reason


def test_while_another_one_changes_the_cluster_nobody_looks_in(shelled):
    world = shelled()
    row, before = world.incident(NAME), len(world.store.audit())
    world.store.lease(row.cluster, "other#cure", world.app.clock.now(), timedelta(hours=10))

    world.comment(NAME, "/drover diagnose", by="tom")

    world.wait(lambda: "another worker is changing" in (told(world)[1].reason or ""), "the refusal")
    assert len(world.store.audit()) == before


@pytest.fixture
def terminal(shelled, monkeypatch):
    """A terminal on the service's machine, with its settings."""
    world = shelled()
    given = {
        "HOME": str(world.home), "CONFIG_DIR": str(world.home), "RANCHER_URL": world.rancher.url,
        "RANCHER_TOKEN": world.rancher.token, "CLOCK_SPEED": str(SPEED), "CLOCK_ORIGIN": repr(world.origin),
        "EXECUTOR_ID": "test",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"DROVER_{name}", value)
    monkeypatch.setattr("bot.cli.diagnose.load_knowledge", lambda *_: knowledge())
    return world


def said(command, *arguments):
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert done.exception is None, done.output
    return done


def test_the_record_is_shown_exported_and_verified(terminal, tmp_path):
    shown = json.loads(said(incidents, "audit", NAME).stdout)
    assert [record["what"] for record in shown[:3]] == ["intend shell", "intend command", "command"]
    assert shown[1]["after"]["command"] in LINES

    file = tmp_path / "audit.jsonl"
    assert said(incidents, "audit", "--export", str(file), "--verify").return_value == 0
    assert said(incidents, "audit", "--from", str(file), "--verify").return_value == 0
    # One figure of one command changed: that shows.
    text = file.read_text()
    forged = re.sub(r"(\d+) bytes, exit 0", lambda found: f"{int(found[1]) + 1} bytes, exit 0", text, count=1)
    assert forged != text
    file.write_text(forged)
    assert said(incidents, "audit", "--from", str(file), "--verify").return_value == 2


def test_a_person_who_diagnoses_at_the_terminal_stands_in_it(terminal):
    before = len(terminal.store.audit())

    said(diagnose, NAME, "--format", "json")

    records = terminal.store.audit(terminal.incident(NAME).id)[before:]
    assert len(records) == before
    assert {record.actor for record in records} == {f"{who()} (terminal)"}
    assert broken_link(terminal.store.audit()) is None


def test_without_the_services_tables_a_terminal_opens_nothing(terminal, monkeypatch, tmp_path):
    monkeypatch.setenv("DROVER_HOME", str(tmp_path / "elsewhere"))
    before = len(typed(terminal))

    found = json.loads(said(diagnose, NAME, "--format", "json").stdout)

    (report,) = [each for each in found["collectors"] if each["name"] == "machine_shell"]
    assert "nobody keeps a record" in report["reason"]
    assert len(typed(terminal)) == before


class TestWitness:
    @pytest.fixture
    def witness(self, shelled):
        world = shelled(label="")
        row = world.incident(NAME)
        return lambda **labels: (world, witness_of(world.app.parts, labels, row))

    def test_the_opt_out_label_keeps_it_closed(self, witness):
        _, made = witness(**{"drover.io/ignore": "true"})
        with pytest.raises(ShellRefused, match=r"drover\.io/ignore"), made.watching():
            pass

    def test_its_own_cure_may_look_while_it_holds_the_cluster(self, witness):
        world, made = witness()
        row = made.row
        acting = world.store.update(row.id, world.app.clock.now(), state="remediating", changed_at=None)
        world.store.lease(row.cluster, f"{made.holder}#{row.id}", world.app.clock.now(), timedelta(hours=10))
        mine = replace(made, row=replace(acting, state=type(row.state)("remediating")))
        with mine.watching():
            mine.note(ShellAct("0" * 16, "fleet-default/a"))
        # And it holds it still.
        assert world.store.lease_holder(row.cluster) == f"{made.holder}#{row.id}"

    def test_the_policy_is_that_of_the_moment(self, witness):
        _, made = witness(**{"hands-off": "true"})
        strict = replace(made, policy=lambda: Policy.model_validate({"opt_out": "hands-off"}))
        with made.watching():
            pass
        with pytest.raises(ShellRefused), strict.watching():
            pass
