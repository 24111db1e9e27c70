"""The program itself: help that is quick, mistakes that are named, and the small commands."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import requests
from sqlalchemy import inspect

from bot.adapters.database import Database, audit, notes
from bot.adapters.incident_store import IncidentStore
from bot.incidents.incident import State
from bot.incidents.timeline import broken_link
from bot.simulator import RunningGitHub
from rancher_ext.detection import Stage, Stuck
from rancher_ext.remediation.rights import GROUPS
from tests.builders import NOON, a_dead_cni, minutes

STUCK = Stuck(since=NOON - minutes(30), stage=Stage.AGENT, reason="waiting for [agent] to connect")


@pytest.fixture
def store(tmp_path):
    (tmp_path / "home").mkdir()
    database = Database(f"sqlite:///{tmp_path}/home/drover.sqlite")
    database.create()
    store = IncidentStore(database)
    store.database = database
    yield store
    database.close()


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom bot.cli.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit: pass\n"
        "print('|', ' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    heavy = {
        "dbos",
        "sqlalchemy",
        "hyperscan",
        "re2",
        "cel",
        "requests",
        "fastapi",
        "pydantic",
        "github",
        "rancher",
        "yaml",
        "rich",
    }
    assert not loaded & heavy
    for name in ("demo", "serve", "sweep", "diagnose", "analyze", "incidents", "signatures", "doctor", "simulate"):
        assert re.search(rf"^ +{name} ", done.stdout, re.MULTILINE)


def test_help_of_every_command(drover):
    names = re.findall(r"^  (\w+)  ", drover("--help").out, re.MULTILINE)
    assert len(names) >= 10
    for name in names:
        said = drover(name, "--help")
        assert said.status == 0
        assert said.out.startswith("Usage: drover")


@pytest.mark.parametrize(("typed", "hint"), [("swep", "Did you mean 'sweep'?"), ("zzz", "`drover --help` lists")])
def test_an_unknown_command(drover, typed, hint):
    said = drover(typed)
    assert (said.status, said.out) == (2, "")
    assert f"There is no command {typed!r}" in said.err
    assert hint in said.err


def test_a_wrong_option_is_a_usage_error(drover):
    said = drover("sweep", "--format", "xml")
    assert said.status == 2
    assert "'xml' is not one of" in said.err


def test_the_version(drover):
    assert re.fullmatch(r"drover, version \d+\.\d+\.\d+\n", drover("--version").out)


@pytest.mark.parametrize("command", [["pause"], ["resume"]])
def test_a_home_that_cannot_be_made(drover, command):
    said = drover(*command, HOME="/dev/null/x")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("drover: cannot make the folder /dev/null/x")
    assert "DROVER_HOME" in said.err


def test_a_database_that_is_away(drover):
    said = drover("incidents", "list", DATABASE_URL="postgresql://u:s3cr3t@127.0.0.1:9/d")
    assert said.status == 2
    assert "s3cr3t" not in said.err
    assert "DROVER_DATABASE_URL" in said.err


def test_pause_and_resume_are_seen_by_a_service(drover, store):
    assert "Paused" in drover("pause").out
    assert store.note("paused")["by"]
    assert "paused already" in drover("pause", "again").out
    assert "acts again" in drover("resume").out
    assert store.note("paused") is False
    assert "not paused" in drover("resume").out


def test_who_paused_and_why_stands_in_the_record(drover, store):
    drover("pause", "until", "the", "fair", "is", "over")
    drover("resume")
    stopped, went_on = store.audit()
    assert (stopped.what, stopped.place, stopped.rule) == ("pause", "every cluster", "until the fair is over")
    assert went_on.before["reason"] == "until the fair is over"
    assert stopped.actor.endswith("(terminal)")
    assert broken_link(store.audit()) is None


def test_a_playbook_that_failed_too_often_may_run_again(drover, store):
    assert "may run by itself again" in drover("resume", "--playbook", "enable-br-netfilter").out
    assert store.note("cures:enable-br-netfilter")["resumed"]
    assert [record.place for record in store.audit()] == ["playbook enable-br-netfilter"]
    said = drover("resume", "--playbook", "enable-br-netfiltr")
    assert said.status == 2
    assert "Did you mean enable-br-netfilter?" in said.err


class TestIncidents:
    def test_none_yet(self, drover):
        assert drover("incidents", "list").out == "No incidents.\n"
        assert json.loads(drover("incidents", "list", "--format", "json").out) == []
        assert json.loads(drover("incidents", "audit").out) == []
        assert drover("incidents", "audit", "--verify").status == 0

    def test_list_show_and_audit(self, drover, store):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        store.update(row.id, NOON, issue=7, issue_url="https://github.invalid/7", state=State.DIAGNOSING)
        store.tell(row.id, NOON, "state", "Stuck [bold]here[/bold]", once="x")
        store.record(row.id, NOON, once="w", what="write", place="clusters c-1 spec.x", result="written", actor="maria")
        listed = drover("incidents", "list").out
        assert "edge-7" in listed
        assert "#7" in listed
        for name in (row.id, "edge-7", "c-m-8jq5fz7k", "7", "#7"):
            shown = drover("incidents", "show", name)
            assert shown.status == 0
            assert "waiting for [agent] to connect" in shown.out
            assert "Stuck [bold]here[/bold]" in shown.out
        assert json.loads(drover("incidents", "show", "7", "--format", "json").out)["timeline"][0]["kind"] == "state"
        (record,) = json.loads(drover("incidents", "audit", "edge-7").out)
        assert (record["actor"], record["what"]) == ("maria", "write")
        assert drover("incidents", "audit", "--verify").out.startswith("the chain is whole: 1 records, it ends in ")

    def test_only_open_ones(self, drover, store):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        store.update(row.id, NOON, state=State.SUPERSEDED)
        assert "edge-7" in drover("incidents", "list").out
        assert drover("incidents", "list", "--open").out == "No incidents.\n"

    def test_an_unknown_one(self, drover):
        said = drover("incidents", "show", "edge-9")
        assert said.status == 2
        assert "there is no incident 'edge-9'" in said.err
        assert drover("incidents", "audit", "edge-9").status == 2

    def test_a_record_that_somebody_changed_is_found(self, drover, store):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        for number in range(3):
            store.record(row.id, NOON, once=f"{number}", what="write", place="x", result="written")
        with store.database.transaction() as connection:
            connection.execute(audit.update().where(audit.c.once.endswith("/1")).values(actor="nobody"))
        said = drover("incidents", "audit", "--verify")
        assert said.status == 2
        assert said.out == "broken at record 2\n"

    def test_an_export_is_checked_without_the_database(self, drover, store, tmp_path):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        for number in range(4):
            after = {"present": True, "value": f"ü{number}"}
            store.record(row.id, NOON, once=f"{number}", what="write", place="x", result="written", after=after)
        file = tmp_path / "audit.jsonl"
        assert drover("incidents", "audit", "--export", file, "--verify").status == 0
        assert len(file.read_text(encoding="utf-8").splitlines()) == 5
        said = drover("incidents", "audit", "--from", file, "--verify", HOME=tmp_path / "elsewhere")
        assert said.out.startswith("the chain is whole: 4 records, it ends in ")
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda lines: [*lines[:2], lines[2].replace('"written"', '"refused"'), *lines[3:]], "broken at record 2"),
            (lambda lines: [*lines[:2], *lines[3:]], "broken at record 3"),
            (lambda lines: lines[:-1], "broken: its head tells of 4 records, and 3 are there"),
            (lambda lines: [lines[0].replace('"head": "', '"head": "0'), *lines[1:]], "broken: its head names another"),
        ],
        ids=["changed", "taken-out", "cut-off", "another-end"],
    )
    def test_an_export_that_somebody_changed_is_found(self, drover, store, tmp_path, change, told):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        for number in range(4):
            store.record(row.id, NOON, once=f"{number}", what="write", place="x", result="written")
        file = tmp_path / "audit.jsonl"
        drover("incidents", "audit", "--export", file)
        file.write_text("\n".join(change(file.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
        said = drover("incidents", "audit", "--from", file, "--verify")
        assert said.status == 2
        assert said.out.startswith(told)

    def test_a_part_of_the_record_says_what_it_cannot_show(self, drover, store, tmp_path):
        row, _ = store.open(a_dead_cni(), STUCK, "sweep")
        for incident in (row.id, "incident:other:1:1", row.id):
            store.record(incident, NOON, once=incident, what="write", place="x", result="written")
        store.record(row.id, NOON, once="again", what="write", place="y", result="written")
        file = tmp_path / "part.jsonl"
        said = drover("incidents", "audit", "edge-7", "--export", file, "--verify")
        assert said.status == 0
        assert said.out.startswith("the 2 records of this part are unchanged")
        file.write_text(file.read_text(encoding="utf-8").replace('"place": "y"', '"place": "z"'), encoding="utf-8")
        assert drover("incidents", "audit", "--from", file, "--verify").status == 2

    @pytest.mark.parametrize("text", ["", "{}\n", "hello\n", '{"drover-audit": 1, "records": 1}\n{"number": 1}\n'])
    def test_what_is_no_export_is_said_to_be_none(self, drover, tmp_path, text):
        file = tmp_path / "x.jsonl"
        file.write_text(text, encoding="utf-8")
        said = drover("incidents", "audit", "--from", file, "--verify")
        assert said.status == 2
        assert said.err.startswith(f"drover: {file}")

    def test_looking_makes_no_database(self, drover, tmp_path):
        for arguments in (["list"], ["audit"], ["audit", "--verify"]):
            assert drover("incidents", *arguments).status == 0
        assert not (tmp_path / "home").exists()

    def test_a_newer_database_is_refused(self, drover, store):
        with store.database.transaction() as connection:
            connection.execute(notes.update().where(notes.c.key == "schema").values(value=99))
        said = drover("incidents", "list")
        assert said.status == 2
        assert "newer Drover" in said.err


class TestSignatures:
    def test_list_and_show(self, drover):
        listed = json.loads(drover("signatures", "list", "--format", "json").out)
        assert len(listed) > 50
        assert f"{len(listed)} signatures" in drover("signatures", "list").out
        shown = drover("signatures", "show", "flannel-br-netfilter-missing").out
        assert shown.startswith(("#", "id: flannel-br-netfilter-missing"))

    def test_show_names_near_ones(self, drover):
        said = drover("signatures", "show", "flannel-br-netfilter")
        assert said.status == 2
        assert "flannel-br-netfilter-missing" in said.err

    def test_lint(self, drover, tmp_path):
        assert drover("signatures", "lint").status == 0
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "bad.yaml").write_text("id: bad\ntitel: x\n", encoding="utf-8")
        said = drover("signatures", "lint", SIGNATURE_DIRS=tmp_path / "mine")
        assert said.status == 2
        assert f"{tmp_path}/mine/bad.yaml:" in said.out
        assert "problem" in said.err

    def test_samples_of_one_signature(self, drover):
        said = drover("signatures", "test", "flannel-br-netfilter-missing")
        assert said.status == 0
        assert re.search(r"^(\d+) of \1 samples are right", said.out, re.MULTILINE)

    def test_a_folder_without_cases(self, drover, tmp_path):
        said = drover("signatures", "score", tmp_path)
        assert said.status == 2
        assert "holds no labelled case" in said.err


class TestDoctor:
    def found(self, said):
        return {entry["check"]: entry for entry in json.loads(said.out)}

    def test_everything_is_there(self, drover, rancher):
        server = rancher("rke2-canal-healthy")
        with RunningGitHub() as github:
            said = drover(
                "doctor",
                "--format",
                "json",
                **server.env,
                GITHUB_API_URL=github.url,
                GITHUB_REPOSITORY=github.repository,
                GITHUB_TOKEN=github.token,
                GITHUB_WEBHOOK_SECRETS="s",
            )
        found = self.found(said)
        assert said.status == 0
        assert not [entry for entry in found.values() if entry["ok"] is False]
        assert {"Rancher default", "Rancher default: token", "GitHub", "Database", "Catalogue", "Policy"} <= set(found)
        assert server.token not in said.out
        assert github.token not in said.out
        assert not [
            entry for entry in server.fleet.journal if entry["tookEffect"] and "selfsubject" not in entry["path"]
        ]

    def test_a_policy_that_names_what_does_not_exist_is_found_here_and_not_at_the_start(self, drover, tmp_path):
        file = tmp_path / "policy.yaml"
        file.write_text(
            "rules:\n  - when: {signature: flannel-br-netfilter-mising}\n    decide: never\n    reason: not here\n",
            encoding="utf-8",
        )
        found = self.found(drover("doctor", "--format", "json", POLICY_FILE=file))
        assert found["Policy"]["ok"] is False
        assert "flannel-br-netfilter-missing" in json.dumps(found["Policy"])

    def test_a_team_of_the_policy_that_cannot_be_seen_is_told_with_what_is_missing(self, drover, tmp_path):
        file = tmp_path / "policy.yaml"
        file.write_text("commands: {pause: team:acme/sre, retry: team:acme/dba}\n", encoding="utf-8")
        with RunningGitHub() as github:
            github.teams["acme/sre"] = {"maria": "active"}
            at = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": github.repository, "GITHUB_TOKEN": github.token}
            found = self.found(drover("doctor", "--format", "json", POLICY_FILE=file, **at))
        assert found["GitHub: team acme/sre"]["ok"] is True
        unseen = found["GitHub: team acme/dba"]
        assert unseen["ok"] is None
        assert "nobody counts as a member" in unseen["seen"]
        assert "read:org" in unseen["cure"]

    def test_it_changes_nothing_on_this_machine(self, drover, tmp_path):
        found = self.found(drover("doctor", "--format", "json"))
        assert found["Database"]["seen"] == "is made at the first start"
        assert not (tmp_path / "home").exists()
        (tmp_path / "home").mkdir()
        Database(f"sqlite:///{tmp_path}/home/drover.sqlite").engine.connect().close()
        assert self.found(drover("doctor", "--format", "json"))["Database"]["ok"] is True
        with Database(f"sqlite:///{tmp_path}/home/drover.sqlite").reading() as connection:
            assert inspect(connection).get_table_names() == []

    def test_what_is_missing_has_a_cure_each(self, drover):
        said = drover("doctor", "--format", "json")
        found = self.found(said)
        assert said.status == 2
        assert found["Rancher"]["ok"] is False
        assert found["GitHub"]["ok"] is None
        assert all(entry["cure"] for entry in found.values() if entry["ok"] is not True)

    def test_a_token_that_expires_soon_is_a_warning(self, drover, rancher):
        server = rancher()
        server.fleet.add_token("token-soon:secret", expires_in=3 * 86400)
        said = drover("doctor", "--format", "json", RANCHER_URL=server.url, RANCHER_TOKEN="token-soon:secret")
        token = self.found(said)["Rancher default: token"]
        assert token["ok"] is None
        assert "in 2 days" in token["seen"]

    def rights(self, drover, server, **token):
        """What is said of each group of rights, by its words, and the exit status."""
        server.fleet.add_token("token-poor:secret", **token)
        said = drover("doctor", "--format", "json", RANCHER_URL=server.url, RANCHER_TOKEN="token-poor:secret")
        begins = "Rancher default: may "
        found = {name.removeprefix(begins): each for name, each in self.found(said).items() if name.startswith(begins)}
        return found, said.status

    def test_all_rights_are_asked_for_in_rancher_and_in_a_healthy_cluster(self, drover, rancher):
        found, status = self.rights(drover, rancher("rke1-canal-br-netfilter", "rke2-canal-healthy"))
        assert list(found) == [group.what for group in GROUPS]
        assert [each["ok"] for each in found.values()] == [True] * len(GROUPS)
        assert found["look into clusters"]["seen"] == "yes, all 11 rights (asked in shop-01)"
        assert status == 0

    def test_who_reads_alone_works_and_hears_what_cannot_be_mended(self, drover, rancher):
        found, status = self.rights(drover, rancher("rke2-canal-healthy"), read_only=True, deny={"secrets"})
        assert {name for name, each in found.items() if each["ok"] is True} == {
            "read the fleet",
            "hear of changes",
            "collect evidence in Rancher",
            "look into clusters",
        }
        assert not [each for each in found.values() if each["ok"] is False]
        assert "machine plans stay unread" in found["read machine plans"]["seen"]
        seen = found["mend RKE2 and K3s clusters"]["seen"]
        assert seen.startswith(
            "missing patch clusters.provisioning.cattle.io; delete machines.cluster.x-k8s.io: these actions cannot run: "
        )
        assert "set-chart-values" in seen
        assert "replace-machine (RKE2 and K3s)" in seen
        assert found["mend RKE2 and K3s clusters"]["cure"] == "The roles are in docs/rancher-rights.md."
        assert status == 0

    def test_one_verb_that_is_missing_is_named_with_the_actions_that_need_it(self, drover, rancher):
        deny = {"delete nodes.management.cattle.io", "patch daemonsets.apps", "watch machines.cluster.x-k8s.io"}
        found, status = self.rights(drover, rancher("rke2-canal-healthy"), deny=deny)
        said = {name: each["seen"] for name, each in found.items() if each["ok"] is not True}
        assert said == {
            "hear of changes": "missing watch machines.cluster.x-k8s.io: a change of such objects is seen at the next sweep, not at once",
            "mend RKE1 clusters": "missing delete nodes.management.cattle.io: these actions cannot run: replace-machine (RKE1)",
            "restart what brings the network up": "missing patch daemonsets.apps (asked in shop-01): these actions cannot run: restart-cni-pods",
        }
        assert status == 0

    @pytest.mark.parametrize("deny", ["list machines.cluster.x-k8s.io", "clusters.management.cattle.io"])
    def test_who_cannot_read_the_fleet_cannot_work(self, drover, rancher, deny):
        found, status = self.rights(drover, rancher("rke2-canal-healthy"), deny={deny})
        assert found["read the fleet"]["ok"] is False
        assert found["look into clusters"]["ok"] is not False
        assert status == 2

    def test_where_no_cluster_is_reached_the_rights_inside_are_not_asked_for_and_that_is_said(self, drover, rancher):
        found, status = self.rights(drover, rancher("rke2-canal-never-connected"))
        assert found["look into clusters"]["ok"] is None
        assert found["look into clusters"]["seen"] == "not asked: no cluster is healthy and connected"
        assert "mend nodes and pod ranges" not in found
        assert status == 0

    def test_a_cluster_that_does_not_answer_is_passed_over(self, drover, rancher, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _: None)
        server = rancher("rke2-canal-healthy", "rke2-canal-healthy")
        first, second = sorted(server.fleet.clusters.keys() - {"local"})
        server.fleet.faults.add("status", path=f"^/k8s/clusters/{first}/")
        found, status = self.rights(drover, server)
        assert server.fleet.clusters[second].name in found["look into clusters"]["seen"]
        server.fleet.faults.add("status", path=f"^/k8s/clusters/{second}/")
        found, status = self.rights(drover, server)
        assert found["look into clusters"]["ok"] is None
        assert "503" in found["look into clusters"]["seen"]
        assert status == 0

    @pytest.mark.parametrize(
        ("variables", "check"),
        [
            ({"RANCHER_URL": "http://127.0.0.1:9", "RANCHER_TOKEN": "a:b"}, "Rancher default"),
            ({"GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "x"}, "GitHub"),
            ({"HOME": "/dev/null/x"}, "Database"),
            ({"DATABASE_URL": "postgresql://u:s3cr3t@127.0.0.1:9/d"}, "Database"),
        ],
    )
    def test_one_thing_that_fails_does_not_hide_the_rest(self, drover, variables, check, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _: None)
        said = drover("doctor", "--format", "json", **variables)
        found = self.found(said)
        assert said.status == 2
        assert found[check]["ok"] is False
        assert found[check]["cure"]
        assert found["Catalogue"]["ok"] is True
        assert "s3cr3t" not in said.out

    def test_a_wrong_policy_and_a_wrong_signature(self, drover, tmp_path):
        (tmp_path / "config" / "signatures").mkdir(parents=True)
        (tmp_path / "config" / "policy.yaml").write_text("rules: 3\n", encoding="utf-8")
        (tmp_path / "config" / "signatures" / "bad.yaml").write_text("id: [", encoding="utf-8")
        found = self.found(drover("doctor", "--format", "json"))
        assert "policy.yaml:1" in found["Policy"]["seen"]
        assert "bad.yaml:" in found["Catalogue"]["seen"]

    def test_as_text(self, drover):
        out = drover("doctor").out
        assert "FAIL  Rancher: no server is configured" in out
        assert re.search(r"^ok    Policy: \d+ rules$", out, re.MULTILINE)


class TestSimulate:
    def test_the_scenarios(self, drover):
        out = drover("simulate", "--list").out
        assert "rke1-canal-br-netfilter  " in out

    def test_an_unknown_scenario(self, drover):
        said = drover("simulate", "--scenario", "nope")
        assert said.status == 2
        assert "there is no scenario 'nope'" in said.err

    @pytest.mark.parametrize("arguments", [["--clusters", "0"], ["--port", "99999"], ["--speed", "0"]])
    def test_impossible_numbers(self, drover, arguments):
        assert drover("simulate", *arguments).status == 2

    def test_what_it_prints_can_be_used(self, tmp_path):
        """The lines on stdout are shell; with them `drover sweep` finds the stuck cluster."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DROVER_")}
        environment |= {"DROVER_HOME": str(tmp_path), "DROVER_CONFIG_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
        run = [sys.executable, "-c", "from bot.cli.main import main; main()"]
        simulator = subprocess.Popen(
            [*run, "simulate", "--scenario", "rke1-canal-br-netfilter", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            exports = [simulator.stdout.readline() for _ in range(2)]
            pairs = dict(line.removeprefix("export ").strip().split("=", 1) for line in exports)
            for _ in range(200):
                try:
                    requests.get(pairs["DROVER_RANCHER_URL"] + "/simulator/truth", timeout=2)
                    break
                except requests.RequestException:
                    time.sleep(0.05)
            done = subprocess.run([*run, "sweep"], env=environment | pairs, capture_output=True, text=True, timeout=60)
            assert done.returncode == 10, done.stderr
            assert "STUCK" in done.stdout
            assert "\x1b" not in done.stdout
        finally:
            simulator.send_signal(signal.SIGINT)
            assert simulator.wait(15) == 0
            simulator.stdout.close()
