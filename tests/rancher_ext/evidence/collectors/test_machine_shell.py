"""Journals by Rancher's machine shell: off by default, a fixed list of commands, and whatever the terminal adds is taken off."""

from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.bundle.redact import RedactionRules, Redactor
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.evidence.collect import collect
from rancher_ext.evidence.collectors.machine_shell import COLLECTOR, COMMANDS, LABEL, Command, typed
from rancher_ext.simulator.fleet import READER_TOKEN
from rancher_ext.simulator.running import RunningRancher

pytest.importorskip("wsproto", reason="the machine shell needs wsproto")


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def rancher():
    with RunningRancher(tick_every=30.0) as running:
        yield running


@pytest.fixture
def collected(rancher):
    def run(scenario, label="allow", token=None, **params):
        from dataclasses import replace

        cluster = rancher.fleet.add(scenario, **params)
        admin = Transport(rancher.url, TokenSource(rancher.token), retry=RetryPolicy(attempts=1))
        snapshot = FleetReader(admin, now).cluster(cluster.id)
        snapshot = replace(snapshot, labels={LABEL: label} if label else {})
        transport = Transport(rancher.url, TokenSource(token or rancher.token), retry=RetryPolicy(attempts=1))
        redactor = Redactor(RedactionRules((), ("password",)), b"key")
        bundle = collect(transport, snapshot, collectors=[COLLECTOR], now=now(), redactor=redactor)
        return bundle, cluster, bundle.collectors[0]

    return run


def shells(rancher):
    return rancher._server.config.app.shell


def test_the_journals_of_a_server_and_its_workers_are_read(rancher, collected):
    bundle, cluster, told = collected("rke2-canal-never-connected")

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


@pytest.mark.parametrize("label", ["", "true", "never"])
def test_without_the_label_no_shell_is_opened(rancher, collected, label):
    before = len(shells(rancher).typed)
    bundle, _, told = collected("rke2-canal-never-connected", label=label)

    assert told.status is CollectorStatus.SKIPPED
    assert set(bundle) == {"manifest.json"}
    assert len(shells(rancher).typed) == before


def test_without_the_right_it_says_which_is_missing(collected):
    _, _, told = collected("rke2-canal-never-connected", token=READER_TOKEN)

    assert told.status is CollectorStatus.FORBIDDEN
    assert "Rancher answered 403" in told.reason


def test_nothing_but_the_fixed_commands_can_be_typed():
    with pytest.raises(ValueError, match="only the commands"):
        typed(Command("kernel", "rm -rf /"), "0")
    for commands in COMMANDS.values():
        for command in commands:
            assert command.line.startswith("journalctl ")
            assert not set(command.line) & set(";|&$`<>(){}\n'\"\\*?")
