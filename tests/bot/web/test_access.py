"""Who may look: nobody needs a login on loopback under a name of ours; elsewhere everybody does."""

import base64
from collections.abc import Iterator

import pytest

from tests.bot.web.serving import Facts, Web, a_fleet, running

PAGES = [
    "/",
    "/incidents",
    "/clusters/c-edge-07",
    "/incidents/incident:default:uid-0:1",
    "/events",
    "/openapi.json",
    "/api/v1/clusters",
    "/api/v1/incidents",
    "/api/v1/incidents/x",
]
OPEN = ["/healthz", "/readyz", "/metrics", "/static/drover.css"]
TOKEN = "a-page-token"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Web]:
    facts = a_fleet(120)
    with running(facts.parts(listens_beyond_loopback=True, page_tokens=("", TOKEN, "päge")), facts) as served:
        yield served


@pytest.mark.parametrize("path", PAGES)
def test_beyond_loopback_pages_and_api_want_a_login(guarded: Web, path: str):
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Bearer" in answer.headers["www-authenticate"]
    assert "edge-07" not in answer.text
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", OPEN)
def test_health_metrics_and_hooks_stay_reachable(guarded: Web, path: str):
    assert guarded.get(path).status_code == 200
    assert guarded.post("/hooks/github").status_code == 401
    assert "X-Hub-Signature-256" in guarded.post("/hooks/github").json()["detail"]


def test_metrics_name_no_cluster_and_no_person(guarded: Web):
    text = guarded.get("/metrics").text
    assert "edge-07" not in text
    assert "c-edge" not in text


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic(f"maria:{TOKEN}"), basic(":päge")])
def test_a_token_opens_as_bearer_and_as_password(guarded: Web, header: str):
    for path in ("/", "/api/v1/clusters", "/openapi.json"):
        assert guarded.get(path, headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        f"Basic {TOKEN}",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        basic("maria:x"),
        "Basic ???",
        "Basic /w==",
        f"Digest {TOKEN}",
        "Bearer \xff",
    ],
)
def test_anything_else_does_not(guarded: Web, header: str):
    assert guarded.get("/", headers={"Authorization": header.encode("latin-1")}).status_code == 401


def test_without_any_way_to_log_in_nobody_gets_in(facts: Facts):
    with running(facts.parts(listens_beyond_loopback=True), facts) as web:
        assert web.get("/").status_code == 401
        assert web.get("/", headers={"Authorization": "Bearer "}).status_code == 401
        assert web.get("/", headers={"X-Forwarded-User": "maria"}).status_code == 401


def test_a_trusted_proxy_vouches_by_its_header(facts: Facts):
    with running(facts.parts(listens_beyond_loopback=True, trusted_proxy_header="X-Forwarded-User"), facts) as web:
        assert web.get("/", headers={"X-Forwarded-User": "maria"}).status_code == 200
        assert web.get("/", headers={"X-Forwarded-User": ""}).status_code == 401
        assert web.get("/").status_code == 401


def test_a_configured_token_is_wanted_on_loopback_too(facts: Facts):
    with running(facts.parts(page_tokens=(TOKEN,)), facts) as web:
        assert web.get("/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[::2]", "10.0.0.1"])
def test_on_loopback_a_foreign_name_is_refused(web: Web, host: str):
    """A page elsewhere whose name points at 127.0.0.1 must not read ours."""
    answer = web.get("/", headers={"Host": host})
    assert answer.status_code in {400, 421}
    assert "edge-07" not in answer.text


def test_on_loopback_our_own_names_are_good(facts: Facts):
    with running(facts.parts(public_url="https://Drover.example/x"), facts) as web:
        for host in ("localhost:1", "127.0.0.1", "[::1]:8080", "LOCALHOST", "drover.example", "drover.example:443"):
            assert web.get("/", headers={"Host": host}).status_code == 200, host
