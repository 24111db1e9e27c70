"""Health and metrics: what probes and scrapers see."""

from dataclasses import replace
from datetime import timedelta

import requests

from bot.errors import StoreError
from bot.web.parts import Coverage, HealthReport, PartHealth
from tests.bot.reports.stories import NOW
from tests.bot.web.serving import Facts, Web


def test_alive_and_ready_are_two_questions(web: Web, facts: Facts):
    facts.report = HealthReport(
        alive=True, ready=False, parts=(PartHealth("rancher", ok=False, reason="https://rancher.example: 401"),)
    )
    assert web.get("/healthz").status_code == 200
    answer = web.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "parts": {"rancher": "failing"}}
    facts.report = replace(facts.report, alive=False)
    assert web.get("/healthz").status_code == 503


def test_probes_may_ask_with_head(web: Web):
    assert requests.head(f"{web.url}/healthz", timeout=10).status_code == 200


def test_metrics_count_clusters_incidents_and_the_sweeps_age(web: Web):
    text = web.get("/metrics").text
    for line in (
        'drover_clusters{verdict="stuck"} 4.0',
        'drover_clusters{verdict="healthy"} 113.0',
        'drover_incidents{state="awaiting-approval"} 1.0',
        'drover_incidents{state="rolled-back"} 1.0',
        "drover_sweep_clusters 148.0",
        "drover_sweep_age_seconds 40.0",
        "drover_watch_connected 1.0",
        "drover_ready 1.0",
        "drover_facts_readable 1.0",
    ):
        assert line in text


def test_before_the_first_sweep_there_is_no_age(web: Web, facts: Facts):
    facts.covered = Coverage()
    text = web.get("/metrics").text
    assert "drover_sweep_age_seconds" not in text
    assert "drover_watch_connected" not in text


def test_a_clock_that_was_set_back_gives_no_negative_age(web: Web, facts: Facts):
    facts.covered = Coverage(swept_at=NOW + timedelta(seconds=5))
    assert "drover_sweep_age_seconds 0.0" in web.get("/metrics").text


def test_when_the_store_fails_the_counters_stay(web: Web, facts: Facts):
    web.get("/healthz")
    facts.failure = StoreError("the database failed")
    answer = web.get("/metrics")
    assert answer.status_code == 200
    assert "drover_facts_readable 0.0" in answer.text
    assert "drover_clusters{" not in answer.text
    assert 'drover_http_requests_total{method="GET",route="/healthz",status="200"}' in answer.text


def test_invented_addresses_and_methods_do_not_become_labels(own_web: Web):
    for number in range(5):
        own_web.get(f"/invented-{number}")
        own_web.get(f"/incidents/invented-{number}")
    requests.request("INVENTED", f"{own_web.url}/", timeout=10)
    text = own_web.get("/metrics").text
    assert "nvented-" not in text
    assert "INVENTED" not in text
    assert 'route="/incidents/{identifier:path}",status="404"} 5.0' in text
