"""Journals by Rancher's machine shell: off by default, a fixed list of commands, and whatever the terminal adds is taken off."""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.bundle.redact import RedactionRules, Redactor
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.errors import RancherError, ShellRefused
from rancher_ext.evidence.collect import collect
from rancher_ext.evidence.collectors import machine_shell
from rancher_ext.evidence.collectors.machine_shell import COLLECTOR, COMMANDS, LABEL, Command, typed
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.simulator.fleet import READER_TOKEN
from rancher_ext.simulator.running import RunningRancher

pytest.importorskip("wsproto", reason="the machine shell needs wsproto")


class Kept:
    """A witness that keeps what it is told; it may refuse one kind of it."""

    def __init__(self, refuses=""):
        self.refuses, self.acts, self.open = refuses, [], 0

    @contextmanager
    def watching(self):
        self._refuse("watching")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def note(self, act):
        if not act.result:
            self._refuse("command" if act.command else "session")
        self.acts.append(act)

    def _refuse(self, what):
        if self.refuses == what:
            raise ShellRefused("not now", cure="wait")


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def rancher():
    with RunningRancher(tick_every=30.0) as running:
        yield running


@pytest.fixture
def collected(rancher):
    def run(scenario, label="allow", token=None, witness=None, **params):
        cluster = rancher.fleet.add(scenario, **params)
        admin = Transport(rancher.url, TokenSource(rancher.token), retry=RetryPolicy(attempts=1))
        snapshot = FleetReader(admin, now).cluster(cluster.id)
        snapshot = replace(snapshot, labels={LABEL: label} if label else {})
        transport = Transport(rancher.url, TokenSource(token or rancher.token), retry=RetryPolicy(attempts=1))
        redactor = Redactor(RedactionRules((), ("password",)), b"key")
        bundle = collect(transport, snapshot, collectors=[COLLECTOR], now=now(), redactor=redactor, witness=witness)
        return bundle, cluster, bundle.collectors[0]

    return run


def shells(rancher):
    return rancher._server.config.app.shell


def test_the_journals_of_a_server_and_its_workers_are_read(rancher, collected):
    kept = Kept()
    bundle, cluster, told = collected("rke2-canal-never-connected", witness=kept)

    first, *others = cluster.identity.machines
    assert told.status is CollectorStatus.OK, told.reason
    log = bundle[f"logs/rke2-server/{first.node}.log"].read_bytes().decode()
    assert "eth1" in log
    assert log.count("\n") > 1
    assert all(line.startswith("Mar 02") for line in log.splitlines()), log
    assert {f"logs/rke2-agent/{each.node}.log" for each in others} <= set(bundle)
    assert "No entries" in bundle[f"logs/rancher-system-agent/{first.node}.log"].read_bytes().decode()
    assert "journalctl -u rke2-server --no-pager -n 2000" in told.reason
    # Nothing else was typed than what this file says.
    lines = {command.line for commands in COMMANDS.values() for command in commands}
    mine = [text for name, text in shells(rancher).typed if name in {each.name for each in cluster.identity.machines}]
    assert mine
    for text in mine:
        assert text == "exit\n" or any(f"sudo -n {line}; else {line}; fi 2>&1" in text for line in lines)
    # Every session and every command stands before and after, with its size and exit and none of its words.
    assert kept.open == 0
    machines = [f"{cluster.identity.namespace}/{each.name}" for each in cluster.identity.machines]
    for session in {act.session for act in kept.acts}:
        acts = [act for act in kept.acts if act.session == session]
        assert {act.machine for act in acts} <= set(machines)
        assert [(act.number, bool(act.result)) for act in acts] == [
            (0, False), (1, False), (1, True), (2, False), (2, True), (3, False), (3, True), (0, True)
        ]  # fmt: skip
        assert all(act.command in lines for act in acts if act.number)
    assert {act.machine for act in kept.acts} == set(machines)
    results = {act.result for act in kept.acts if act.number and act.result}
    assert all(re.fullmatch(r"\d+ bytes, exit 0", result) for result in results), results


@pytest.mark.parametrize("label", ["", "true", "never"])
def test_without_the_label_no_shell_is_opened(rancher, collected, label):
    before = len(shells(rancher).typed)
    bundle, _, told = collected("rke2-canal-never-connected", label=label)

    assert told.status is CollectorStatus.SKIPPED
    assert set(bundle) == {"manifest.json"}
    assert len(shells(rancher).typed) == before


def test_where_nobody_keeps_a_record_no_shell_is_opened(rancher, collected):
    before = len(shells(rancher).typed)
    bundle, _, told = collected("rke2-canal-never-connected")

    assert told.status is CollectorStatus.FAILED
    assert "nobody keeps a record" in told.reason
    assert set(bundle) == {"manifest.json"}
    assert len(shells(rancher).typed) == before


@pytest.mark.parametrize("refuses", ["watching", "session", "command"])
def test_what_cannot_be_noted_before_is_not_typed(rancher, collected, refuses):
    before = len(shells(rancher).typed)
    _, _, told = collected("rke2-canal-never-connected", witness=Kept(refuses))

    assert told.status is CollectorStatus.FAILED
    assert "not now" in told.reason
    assert [text for _, text in shells(rancher).typed[before:]] == []


def test_a_session_that_breaks_off_is_noted_without_a_word_of_it(monkeypatch, collected):
    kept = Kept()
    words = "secret-of-the-node"

    def broken(*_):
        raise RancherError(words, cure="x")

    monkeypatch.setattr(machine_shell, "_answer", broken)
    collected("rke2-canal-never-connected", witness=kept)

    ended = [act.result for act in kept.acts if act.result]
    assert set(ended) == {"broken off: RancherError"}
    assert kept.open == 0


def test_without_the_right_it_says_which_is_missing(collected):
    _, _, told = collected("rke2-canal-never-connected", token=READER_TOKEN, witness=Kept())

    assert told.status is CollectorStatus.FORBIDDEN
    assert "Rancher answered 403" in told.reason


def test_nothing_but_the_fixed_commands_can_be_typed():
    with pytest.raises(ValueError, match="only the commands"):
        typed(Command("kernel", "rm -rf /"), "0" * 16)
    (first, *_), *_ = COMMANDS.values()
    for nonce in ("", "0", "0" * 15 + "'", "$(reboot)", "0" * 16 + "\n"):
        with pytest.raises(ValueError, match="only the commands"):
            typed(first, nonce)
    for commands in COMMANDS.values():
        for command in commands:
            assert command.line.startswith("journalctl ")
            assert not set(command.line) & set(";|&$`<>(){}\n'\"\\*?")


HOSTILE = (
    "; reboot",
    "$(reboot)",
    "`reboot`",
    "a'b\"c",
    "x\ny",
    "--rotate",
    "../../x?link=shell&command=reboot",
    "a b",
)


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("distribution", [Distribution.RKE2, Distribution.K3S])
def test_no_name_label_or_setting_reaches_the_command_line(rancher, monkeypatch, word, distribution):
    """Everything that a cluster can say of itself is replaced by hostile words: what is typed stays the same to the letter."""
    opened, lines = [], []

    class Socket:
        def __init__(self, transport, path, seconds):
            opened.append(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def type(self, text):
            lines.append(text)

        def read(self, seconds):
            nonce = re.search(r"begin ([0-9a-f]{16});", lines[-1])[1]
            return f"drover-begin-{nonce}\nwords\ndrover-end-{nonce}-0".encode()

    def hostile(_):
        for role in ("control-plane", "etcd", "worker", word):
            yield {
                "metadata": {"name": word, "labels": {f"rke.cattle.io/{role}-role": "true", word: word}, "annotations": {word: word}},
                "spec": {"infrastructureRef": {"kind": "Amazonec2Machine", "apiVersion": "rke-machine.cattle.io/v1", "name": word}},
                "status": {"nodeRef": {"name": word}},
            }  # fmt: skip

    monkeypatch.setattr(machine_shell, "MachineSocket", Socket)
    monkeypatch.setattr(machine_shell, "machines", hostile)
    cluster = rancher.fleet.add("rke2-canal-never-connected")
    admin = Transport(rancher.url, TokenSource(rancher.token), retry=RetryPolicy(attempts=1))
    snapshot = FleetReader(admin, now).cluster(cluster.id)
    named = replace(snapshot.identity, name=word, namespace=word, distribution=distribution)
    snapshot = replace(snapshot, labels={LABEL: "allow", word: word}, annotations={word: word}, identity=named)

    bundle = collect(
        admin,
        snapshot,
        collectors=[COLLECTOR],
        now=now(),
        redactor=Redactor(RedactionRules((), ()), b"k"),
        witness=Kept(),
    )

    fixed = {
        re.sub("[0-9a-f]{16}", "NONCE", typed(command, "0" * 16))
        for commands in COMMANDS.values()
        for command in commands
    }
    assert {re.sub("[0-9a-f]{16}", "NONCE", line) for line in lines} <= {*fixed, "exit\n"}
    assert len(opened) == 4
    for path in opened:
        assert re.fullmatch(r"/v1/cluster\.x-k8s\.io\.machines/[A-Za-z0-9._%~-]+/[A-Za-z0-9._%~-]+\?link=shell", path)
    for path in bundle:
        assert not {"..", "."} & set(path.split("/"))
        assert path.count("/") <= 2
