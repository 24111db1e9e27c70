"""The API: what programs read, and how it refuses."""

import pytest
import requests

from tests.bot.reports.stories import a_plan
from tests.bot.web.serving import Facts, Web

FIRST = "incident:default:uid-0:1"


def test_clusters_come_worst_first_with_their_facts_and_incident(web: Web):
    body = web.get("/api/v1/clusters?per_page=2").json()
    assert (body["total"], body["found"], body["page"], body["pages"]) == (120, 120, 1, 60)
    assert body["verdicts"] == {"stuck": 4, "unknown": 1, "progressing": 1, "healthy": 113, "out-of-scope": 1}
    first = body["clusters"][0]
    assert (first["name"], first["verdict"], first["incident"], first["issue"]) == ("edge-07", "stuck", FIRST, 12)
    assert first["facts"]["kubernetes"] == "v1.32.2-rancher1-1"


def test_filters_are_those_of_the_page(web: Web):
    assert web.get("/api/v1/clusters?verdict=stuck&q=c-edge").json()["found"] == 3
    assert web.get("/api/v1/clusters?verdict=nonsense").json()["found"] == 0


def test_incidents_are_listed_and_filtered(web: Web):
    assert web.get("/api/v1/incidents").json()["total"] == 5
    assert web.get("/api/v1/incidents?open_only=true").json()["total"] == 4
    found = web.get("/api/v1/incidents?state=awaiting-approval").json()["incidents"]
    assert [(each["clusterName"], each["signature"], each["plan"]) for each in found] == [
        ("edge-07", "flannel-br-netfilter-missing", a_plan().digest)
    ]


def test_one_incident_has_diagnosis_plan_timeline_and_audit(web: Web):
    body = web.get(f"/api/v1/incidents/{FIRST}").json()
    assert body["diagnosis"]["verdict"] == "cni-failure"
    assert body["planSteps"][0]["diff"].endswith("+    enableBrNetfilter: true")
    assert body["timeline"][0]["text"] == "Seen stuck by sweep: Waiting for API to be available"
    assert [record["what"] for record in body["audit"]] == ["intend", "write"]
    assert body["audit"][1]["previous"] == body["audit"][0]["digest"]
    plan = body["planInFull"]
    assert (plan["digest"], plan["risk"], plan["undo"]) == (a_plan().digest, "safe", "exact")
    assert plan["steps"][0]["writes"][0]["after"] == {"present": True, "value": True}


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "per_page=5000", "per_page=-1", "q=" + "x" * 300, "page=" + "9" * 50]
)
def test_a_wrong_parameter_is_named_and_its_value_is_not_repeated(web: Web, query: str):
    answer = web.get(f"/api/v1/clusters?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(query.partition("=")[0])
    assert "xxx" not in answer.text


@pytest.mark.parametrize(
    "path", ["/api/v1/incidents/none", "/api/v1/incidents/%00", "/api/v1/nothing", "/api/v2", "/api"]
)
def test_what_is_not_there_is_a_problem(web: Web, path: str):
    answer = web.get(path, headers={"Accept": "text/html"} if path.startswith("/api/") else {})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_description_names_hooks_and_api(web: Web):
    described = web.get("/openapi.json").json()
    assert {"/hooks/github", "/hooks/alertmanager", "/api/v1/clusters", "/api/v1/incidents", "/healthz"} <= set(
        described["paths"]
    )
    assert "/" not in described["paths"]


def test_writing_is_not_possible(web: Web, facts: Facts):
    for method in ("put", "post", "delete", "patch"):
        answer = requests.request(method, f"{web.url}/api/v1/incidents/{FIRST}", timeout=10)
        assert answer.status_code == 405
