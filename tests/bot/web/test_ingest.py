"""Reports of nodes: a token opens one door once, for a while, and everything else is a refusal in words."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
import uvicorn
from fastapi import FastAPI

from bot.adapters.in_memory import InMemoryIncidents, StandingClock
from bot.web import problems
from bot.web.ingest import ingest_router
from bot.workflows.probe_inbox import ProbeInbox, ProbeRun
from rancher_ext.probe.report import PACKED, Report, token_of

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
RUN = ProbeRun(
    id="0123456789abcdef",
    incident="incident:default:uid-1:1",
    uid="uid-1",
    key=b"k" * 32,
    url="https://drover.example",
    image="drover",
    phase="open",
    expires=NOW + timedelta(minutes=10),
    nodes=("w1", "w2", "w3"),
)
OTHER = replace(RUN, id="fedcba9876543210", incident="incident:default:uid-2:1", uid="uid-2", key=b"o" * 32)


class Ingest:
    def __init__(self, url, inbox, clock, outcomes):
        self.url, self.inbox, self.clock, self.outcomes = url, inbox, clock, outcomes

    def post(self, token, body, content_type="application/gzip"):
        return requests.post(
            f"{self.url}/ingest/probe/{token}", data=body, headers={"Content-Type": content_type}, timeout=10
        )

    def report(self, node, run=RUN, **sent):
        report = Report(sent.pop("of", node), {f"host/{node}.txt": sent.pop("text", "kernel: 6.12\n")})
        return self.post(token_of(run.id, sent.pop("key", run.key), node), report.packed(), **sent)


@pytest.fixture
def ingest():
    clock, outcomes = StandingClock(NOW), []
    inbox = ProbeInbox(InMemoryIncidents(), clock)
    for run in (RUN, OTHER):
        inbox.begin(run)
    app = FastAPI()
    problems.install(app)
    app.include_router(ingest_router(inbox, outcomes.append))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Ingest(f"http://127.0.0.1:{port}", inbox, clock, outcomes)
    server.should_exit = True
    thread.join(timeout=10)


def assert_refused(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_report_is_taken_once(ingest):
    first, second = ingest.report("w1"), ingest.report("w1", text="another\n")

    assert first.status_code == 202
    assert_refused(second, 409)
    (kept,) = ingest.inbox.reports_of(RUN)
    assert (kept.node, kept.files) == ("w1", {"host/w1.txt": "kernel: 6.12\n"})
    assert ingest.inbox.nodes_of(RUN) == {"w1"}
    assert ingest.inbox.reports_of(OTHER) == []
    assert ingest.outcomes == ["accepted", "used"]


def test_of_many_that_come_at_once_with_one_token_one_is_taken(ingest):
    with ThreadPoolExecutor(8) as pool:
        answers = [job.result().status_code for job in [pool.submit(ingest.report, "w1") for _ in range(12)]]

    assert sorted(answers) == [202] + [409] * 11
    assert len(ingest.inbox.reports_of(RUN)) == 1


def test_a_token_is_bound_to_its_run_its_node_and_its_key(ingest):
    assert_refused(ingest.report("w1", key=OTHER.key), 404)
    assert_refused(ingest.report("w1", run=replace(RUN, id="aaaaaaaaaaaaaaaa")), 404)
    assert_refused(ingest.post(token_of(RUN.id, RUN.key, "w1").replace(".w1", ".w2"), b""), 404)
    assert_refused(ingest.post("nonsense", b""), 404)
    assert_refused(ingest.post("..%2f..%2fetc", b""), 404)
    assert_refused(ingest.report("w1", of="w2"), 400)
    assert ingest.inbox.reports_of(RUN) == []
    assert ingest.report("w1").status_code == 202


def test_it_expires_and_ends_with_the_run(ingest):
    ingest.clock.advance(timedelta(minutes=10))
    assert_refused(ingest.report("w1"), 410)
    ingest.inbox.close(RUN, {})
    assert_refused(ingest.report("w1"), 404)


def test_before_the_run_is_begun_it_opens_nothing(ingest):
    ingest.inbox.save(replace(RUN, phase="prepared", expires=None))

    assert_refused(ingest.report("w1"), 410)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"not gzip", 400), (gzip.compress(b"{}", mtime=0), 400), (b"x" * (PACKED + 1), 413)],
)  # fmt: skip
def test_what_is_no_report_is_refused_and_the_token_stays_good(ingest, body, status):
    assert_refused(ingest.post(token_of(RUN.id, RUN.key, "w1"), body), status)
    assert_refused(ingest.report("w1", content_type="application/json"), 415)

    assert ingest.report("w1").status_code == 202


def test_invented_nodes_fill_no_database(ingest):
    """A node knows the key and could make tokens for names that do not exist."""
    answers = [ingest.report(f"ghost-{number}").status_code for number in range(RUN.places + 2)]

    assert answers == [202] * RUN.places + [429, 429]


def test_a_closed_run_keeps_no_reports_and_no_key(ingest):
    ingest.report("w1")
    ingest.inbox.close(RUN, {"reported": ["w1"]})

    closed = ingest.inbox.last(RUN.incident)
    assert ingest.inbox.current(RUN.incident) is None
    assert (closed.key, closed.plan, closed.outcome) == (b"", None, {"reported": ["w1"]})
    assert ingest.inbox.reports_of(closed) == []
