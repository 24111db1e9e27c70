"""`plan` and `remediate`: what is shown, what is asked, what is written, and what is said at the end."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.app import App
from bot.cli.presence import presence
from bot.cli.terminal import take
from bot.incidents.timeline import broken_link
from bot.settings import load_settings
from bot.workflows.incident_flow import TOPIC
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher
from tests import postgres

pytestmark = pytest.mark.slow

FOUNDING = "rke1-canal-br-netfilter"
NAME = "edge-01"
SPEED = 600.0


class Place:
    """A Rancher whose hours pass in seconds, and the settings that lead to it."""

    def __init__(self, tmp_path, speed):
        origin = time.time()
        self.fleet = Fleet(SimClock(speed, origin), "v2.11.3")
        self.server = RunningRancher(self.fleet, tick_every=0.02).start()
        self.home = tmp_path / "home"
        self.opened = []
        self.env = {
            "RANCHER_URL": self.server.url,
            "RANCHER_TOKEN": self.server.token,
            "CLOCK_SPEED": str(speed),
            "CLOCK_ORIGIN": repr(origin),
        }

    def settings(self, **more):
        given = self.env | {"HOME": str(self.home), "CONFIG_DIR": str(self.home)} | more
        return load_settings({f"DROVER_{name}": str(value) for name, value in given.items()})

    @property
    def writes(self):
        return [each for each in self.fleet.journal if each["tookEffect"] and "selfsubject" not in each["path"]]

    def store(self):
        database = Database(self.settings().database_url)
        self.opened.append(database)
        return IncidentStore(database)


@pytest.fixture
def place(tmp_path, request):
    made = Place(tmp_path, getattr(request.cls, "speed", SPEED))
    yield made
    for database in made.opened:
        database.close()
    made.server.stop()


@pytest.fixture(scope="module")
def postgres_server():
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.running() as server:
        yield server


@pytest.fixture(autouse=True)
def quiet_logs():
    """The engine's log goes to the stderr of the test that started it, and to no later one's."""
    yield
    for handler in logging.getLogger("dbos").handlers[:]:
        logging.getLogger("dbos").removeHandler(handler)


class TestPlan:
    def test_every_line_of_the_change_and_the_policys_answer(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("plan", NAME, **place.env)
        assert said.status == 0
        for words in (
            "Set network.enableBrNetfilter on the Rancher cluster",
            "+    enableBrNetfilter: true",
            "change clusters.management.cattle.io",
            "safe · undo exact · playbook enable-br-netfilter",
            "Proof ",
            "step 2 is taken back exactly",
            "needs one approval by somebody with the role write",
            "/drover approve",
        ):
            assert words in said.out
        assert place.writes == []
        assert not place.home.exists()

    def test_json_has_the_digest_that_an_approval_names(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        found = json.loads(drover("plan", NAME, "--format", "json", **place.env).out)
        again = json.loads(drover("plan", NAME, "--format", "json", **place.env).out)
        assert found["plan"]["digest"] == again["plan"]["digest"]
        assert found["finding"]["signature"] == "flannel-br-netfilter-missing"
        assert found["policy"]["decision"] == "needs-approval"
        assert found["plan"]["steps"][0]["writes"][0]["after"] == {"present": True, "value": True}

    def test_a_plan_can_be_named(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        for option in (["--playbook", "enable-br-netfilter"], ["--signature", "flannel-br-netfilter-missing"]):
            said = drover("plan", NAME, *option, **place.env)
            assert said.status == 0
            assert "not asked for: the plan was named" in said.out
        said = drover("plan", NAME, "--playbook", "enable-br-netfiltr", **place.env)
        assert said.status == 2
        assert "Did you mean enable-br-netfilter?" in said.err

    def test_what_cannot_be_planned_tells_a_person_what_to_do(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("plan", NAME, "--playbook", "load-vxlan", **place.env)
        assert said.status == 11
        assert "No plan" in said.out
        assert "  1. " in said.out

    def test_a_healthy_cluster_has_nothing_to_mend(self, drover, place):
        cluster = place.fleet.add("rke2-canal-healthy")
        said = drover("plan", cluster.name, **place.env)
        assert said.status == 11
        assert "is up: there is nothing to mend" in said.out


class TestAlone:
    def test_it_mends_proves_and_leaves_a_whole_record(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", **place.env)
        assert said.status == 0, said.err
        assert "Healed: " in said.out
        assert len(place.writes) == 1
        records = place.store().audit()
        assert [record.what for record in records] == ["intend", "write"]
        assert records[0].actor.endswith("(terminal)")
        assert broken_link(records) is None

    def test_a_cure_that_fails_is_put_back(self, drover, place):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        said = drover("remediate", NAME, "--yes", **place.env)
        assert said.status == 12, said.err
        assert "Put back: " in said.out
        assert [write["body"][-1]["op"] for write in place.writes] == ["add", "remove"]

    def test_without_a_word_nothing_is_changed(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, **place.env)
        assert said.status == 11
        assert "--yes agrees to the plan" in said.err
        assert place.writes == []
        assert not place.home.exists()

    def test_a_dry_run_asks_the_server_and_stores_nothing(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--dry-run", **place.env)
        assert said.status == 0
        assert "the server would take it" in said.out
        assert [each["method"] for each in place.fleet.journal if "dryRun" in str(each)] == ["PATCH"]
        assert place.writes == []

    def test_what_the_policy_refuses_is_refused(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", DRY_RUN="true", **place.env)
        assert said.status == 11
        assert "DROVER_DRY_RUN" in said.out
        assert place.writes == []

    def test_a_playbook_that_nothing_asks_for_is_refused(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", "--playbook", "renew-certificates", **place.env)
        assert said.status == 11
        assert place.writes == []

    def test_other_incidents_are_left_as_they_are(self, drover, place, tmp_path):
        """One that the policy would mend by itself waits for the service."""
        policy = tmp_path / "policy.yaml"
        policy.write_text("rules:\n  - {when: {labels: {mend: auto}}, decide: auto}\n", encoding="utf-8")
        other, _ = place.fleet.add(FOUNDING, "edge-02"), place.fleet.add(FOUNDING, NAME)
        requests.patch(
            f"{place.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{other.id}",
            json={"metadata": {"labels": {"mend": "auto"}}},
            headers={
                "Authorization": f"Bearer {place.server.token}",
                "Content-Type": "application/merge-patch+json",
            },
            timeout=10,
        ).raise_for_status()
        place.fleet.journal.clear()
        app = App(place.settings(POLICY_FILE=policy))
        app.engine.launch()
        app.parts.store.set_note("paused", True)
        for server in app.parts.ranchers.values():
            app.watchman.sweep(server)
        until(lambda: [row.decision["decision"] for row in app.parts.store.all() if row.decision].count("wait") == 1)
        app.stop()
        place.store().set_note("paused", False)
        said = drover("remediate", NAME, "--yes", **place.env, POLICY_FILE=policy)
        assert said.status == 0, said.err + said.out
        (write,) = place.writes
        assert other.id not in write["path"]


@pytest.mark.thorough
@pytest.mark.timeout(300)
class TestInTheMiddle:
    """What was begun is in the database: neither Ctrl-C nor a kill leaves half a change behind."""

    # The cure has twenty minutes: long enough to stop it in the middle, from outside.
    speed = 100.0

    @pytest.fixture
    def begin(self, place):
        """`remediate` in a process of its own, up to the moment at which the cure is being proved."""
        started = []

        def start():
            given = place.env | {"HOME": str(place.home), "CONFIG_DIR": str(place.home)}
            environment = {name: value for name, value in os.environ.items() if not name.startswith("DROVER_")}
            environment |= {f"DROVER_{name}": str(value) for name, value in given.items()} | {"PYTHONUNBUFFERED": "1"}
            run = [sys.executable, "-c", "from bot.cli.main import main; main()", "remediate", NAME, "--yes"]
            process = subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            started.append(process)
            for line in process.stdout:
                if "verifying" in line:
                    break
            return process

        yield start
        for process in started:
            process.kill()
            process.communicate()

    def test_ctrl_c_says_where_it_stands_and_the_next_call_goes_on(self, drover, place, begin):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        process = begin()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert re.search(rf"Stopped while {NAME} is (verifying|rolling-back)", said)
        assert f"`drover remediate {NAME}` or `drover serve` goes on" in said
        assert "Traceback" not in said
        assert len(place.writes) == 1
        self.goes_on(drover, place)

    def test_a_kill_is_as_good(self, drover, place, begin):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        process = begin()
        process.kill()
        process.wait(30)
        self.goes_on(drover, place)

    def goes_on(self, drover, place):
        said = drover("remediate", NAME, **place.env)
        assert said.status == 12, said.err + said.out
        assert "already; this goes on with it." in said.out
        assert [write["body"][-1]["op"] for write in place.writes] == ["add", "remove"]
        assert broken_link(place.store().audit()) is None


class TestInTheMiddleOnPostgres(TestInTheMiddle):
    """The lock is the database server's: it goes with the connection of a process that was killed, and other machines see it."""

    test_ctrl_c_says_where_it_stands_and_the_next_call_goes_on = None

    @pytest.fixture(autouse=True)
    def _database(self, place, postgres_server):
        place.env["DATABASE_URL"] = postgres_server.new_database()

    def test_a_second_terminal_follows_and_writes_nothing_of_its_own(self, drover, place, begin):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        process = begin()
        self.goes_on(drover, place)
        process.communicate(timeout=60)
        assert process.returncode == 12

    def test_one_that_follows_a_terminal_that_dies_goes_on_in_its_place(self, drover, place, begin):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        process = begin()
        killer = threading.Timer(3.0, process.kill)
        killer.start()
        self.goes_on(drover, place)
        killer.join()
        assert process.wait(30) == -signal.SIGKILL

    def test_a_service_does_not_start_beside_a_terminal_at_work_and_does_after_its_death(self, place, begin):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        process = begin()
        with presence(place.settings(), alone=False) as service:
            assert not service
        process.kill()
        process.wait(30)
        with presence(place.settings(), alone=False, patience=10.0) as service:
            assert service
            with presence(place.settings(), alone=True) as terminal:
                assert not terminal


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
class TestOneAfterTheOther:
    """A terminal, another one, and a service that shares the database with them and not the name."""

    @pytest.fixture(autouse=True)
    def _database(self, place, request, kind):
        if kind == "postgresql":
            place.env["DATABASE_URL"] = request.getfixturevalue("postgres_server").new_database()

    def test_a_second_terminal_is_told_that_another_one_is_at_work(self, drover, place):
        place.fleet.add(FOUNDING, NAME)
        settings = place.settings()
        settings.make_home()
        with presence(settings, alone=True) as first:
            assert first
            said = drover("remediate", NAME, "--yes", **place.env)
        assert said.status == 11, said.err
        assert "another `drover remediate` works on this database" in said.err
        assert place.writes == []
        assert drover("remediate", NAME, "--yes", **place.env).status == 0

    def test_a_service_of_another_name_takes_up_what_a_terminal_left(self, drover, place):
        place.fleet.add("rke1-canal-cure-fails", NAME)
        assert drover("remediate", NAME, "--yes", **place.env, EXECUTOR_ID="laptop").status == 12
        app = App(place.settings(EXECUTOR_ID="drover-0"))
        times = iter([datetime.now(UTC), *(datetime.now(UTC) + timedelta(seconds=10 * beat) for beat in range(1, 60))])
        app.crew._now = lambda: next(times)
        app.crew.begin()
        app.engine.launch()
        (row,) = place.store().all()
        for _ in range(40):
            app.crew.beat()
        message = {"kind": "close", "reason": "somebody else did it", "by": "maria"}
        assert app.engine.send(row.id, TOPIC, message, once="close")
        until(lambda: place.store().get(row.id).state.over)
        app.stop()


class TestBesideAService:
    @pytest.fixture
    def service(self, place):
        settings = place.settings()
        app = App(settings)
        stop = threading.Event()

        def serve():
            while not stop.wait(0.05):
                take(app)

        thread = threading.Thread(target=serve, daemon=True)
        with presence(settings, alone=False) as here:
            assert here
            app.engine.launch()
            thread.start()
            yield app
            stop.set()
            thread.join(10)
        app.stop()

    def test_the_service_does_the_work_and_is_followed(self, drover, place, service):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", **place.env)
        assert said.status == 0, said.err + said.out
        assert "Healed: " in said.out
        assert len(place.writes) == 1
        assert service.parts.store.audit()[0].actor.endswith("(terminal)")

    def test_a_playbook_of_ones_own_is_planned_by_the_service_too(self, drover, place, service):
        """
        It restarts the network's pods, which does not load a kernel module: so it is put back in the end.
        """
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", "--playbook", "restart-cni", **place.env)
        assert said.status == 12, said.err + said.out
        row = place.store().all()[0]
        assert row.plan["playbook"] == "restart-cni"
        assert {each["path"].split("?")[0].rpartition("/")[2] for each in place.writes} == {"canal"}

    def test_a_playbook_that_mends_nothing_that_was_found_is_refused(self, drover, place, service):
        place.fleet.add(FOUNDING, NAME)
        said = drover("remediate", NAME, "--yes", "--playbook", "tolerate-taints", **place.env)
        assert said.status == 11
        assert place.writes == []


class TestPresence:
    def test_services_share_and_a_lone_command_does_not(self, place):
        settings = place.settings()
        settings.make_home()
        with presence(settings, alone=False) as one, presence(settings, alone=False) as two:
            assert one
            assert two
            with presence(settings, alone=True) as lone:
                assert not lone
        with presence(settings, alone=True) as lone:
            assert lone
            with presence(settings, alone=False) as service:
                assert not service


def until(condition, within=30.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
