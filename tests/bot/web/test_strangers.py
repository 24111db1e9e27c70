"""Whatever strangers send, the answer is never a 5xx and never holds a secret. Over a real socket, byte by byte."""

import json
import socket
from contextlib import suppress
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bot.web.serving import GITHUB_SECRET, HOOK_TOKEN, OLD_GITHUB_SECRET, Web
from tests.bot.web.test_hooks import ALERT, COMMENT, alert, deliver

SECRETS = [secret.encode() for secret in (GITHUB_SECRET, OLD_GITHUB_SECRET, HOOK_TOKEN, "a-page-token")]
quick = settings(deadline=None, suppress_health_check=list(HealthCheck))


def raw(web: Web, data: bytes) -> bytes:
    """The whole answer to these very bytes; empty when the server hangs up on them."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", web.port), timeout=5) as connection,
        suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


def is_civil(answer: bytes) -> bool:
    status = answer[9:10] if answer.startswith(b"HTTP/1.1 ") else b"4"
    return status in {b"1", b"2", b"3", b"4"} and not any(secret in answer for secret in SECRETS)


PATHS = ["/", "/hooks/github", "/hooks/alertmanager", "/hooks/", "/api/v1/clusters", "/api/v1/incidents/x", "/incidents/x", "/clusters/x",
         "/static/x", "/healthz", "/metrics"]  # fmt: skip
HEADERS = ["Authorization", "X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery", "Content-Type", "Content-Length",
           "X-Drover-Signature-256", "Accept", "Cookie", "If-None-Match", "Transfer-Encoding", "Expect"]  # fmt: skip
header_values = st.one_of(
    st.sampled_from(
        [
            "sha256=",
            "Bearer x",
            "Basic",
            "text/html",
            "-1",
            "99999999999999999999",
            "0x10",
            "chunked",
            "100-continue",
            "1",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
)


@quick
@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "FOO"]),
    st.sampled_from(PATHS),
    st.dictionaries(st.sampled_from(HEADERS), header_values, max_size=5),
    st.binary(max_size=200),
)
def test_odd_headers_and_bodies_are_refused_politely(
    served, method: str, path: str, headers: dict[str, str], body: bytes
):
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        *(f"{n}: {v}" for n, v in headers.items()),
    ]
    if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    assert is_civil(raw(served[0], "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body))


@quick
@given(st.sampled_from(PATHS), st.binary(max_size=80))
def test_odd_addresses_are_refused_politely(served, path: str, rest: bytes):
    web = served[0]
    assert is_civil(
        raw(web, b"GET " + path.encode() + b"/" + rest + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    )
    for asked in (
        f"{path}/{quote(rest)}",
        f"{path}?q={quote(rest)}&page={quote(rest)}&verdict={quote(rest)}&state={quote(rest)}",
    ):
        answer = web.get(asked, headers={"Accept": "text/html"}, stream=True)
        assert answer.status_code < 500
        answer.close()


documents = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=10)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def bent(draw: st.DrawFn, document: object) -> object:
    """The document with one of its values replaced by anything."""
    if isinstance(document, dict) and document:
        name = draw(st.sampled_from(sorted(document)))
        deeper = draw(st.booleans())
        return {**document, name: draw(bent(document[name])) if deeper else draw(documents)}
    if isinstance(document, list) and document:
        return [draw(bent(document[0])), *document[1:]]
    return draw(documents)


@quick
@given(bent(COMMENT), st.sampled_from(["issue_comment", "issues", "ping", "x"]))
def test_signed_deliveries_of_any_shape_are_understood_or_refused(served, payload: object, event: str):
    answer = deliver(served[0], payload, event=event)
    assert answer.status_code in {200, 202, 400}
    assert is_civil(answer.content)


@quick
@given(bent(ALERT))
def test_alerts_of_any_shape_are_understood_or_refused(served, payload: object):
    answer = alert(served[0], payload)
    assert answer.status_code in {202, 400}
    assert all(isinstance(name, str) for names, _ in served[1].hinted for name in names)


@quick
@given(st.binary(max_size=300))
def test_signed_bytes_that_are_no_json_are_a_400(served, body: bytes):
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        assert deliver(served[0], body).status_code == 400
        assert alert(served[0], body).status_code == 400


def test_after_all_that_the_service_still_answers(served):
    assert served[0].get("/").status_code == 200
    assert deliver(served[0], guid="the-last-one").status_code == 202
