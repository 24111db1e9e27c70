"""What becomes of each way in which a request can fail, what is tried again, and does a secret ever get out?"""

import json
import pickle
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests
import responses

from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.errors import (
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotRancher,
    RancherError,
    RancherUnreachable,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
    UnknownPath,
)
from tests.rancher_ext.client.servers import TOKEN, cut_short, hang_up, lines, say

RANCHER = "https://rancher.example"
GO_BODY = json.dumps(
    {
        "Code": {"Code": "ClusterUnavailable", "Status": 503},
        "Message": "cluster not provisioned",
        "Cause": None,
        "FieldName": "",
    }
)

Connect = Callable[..., Transport]


def status(code: int, reason: str, message: str) -> str:
    return json.dumps({"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": message})


# --- what each answer means ---


@pytest.mark.parametrize(
    ("code", "body", "error", "says"),
    [
        (401, '{"type":"error","status":"401","message":"must authenticate"}', Unauthorized, "must authenticate"),
        (403, status(403, "Forbidden", "secrets is forbidden: User cannot list"), Forbidden, "secrets is forbidden"),
        (404, status(404, "NotFound", 'clusters.management.cattle.io "c-x" not found'), NotFound, '"c-x" not found'),
        (404, "404 page not found", UnknownPath, "404 page not found"),
        (404, "<html><body>Welcome to nginx</body></html>", NotRancher, "HTML page"),
        (409, status(409, "Conflict", "the object has been modified"), Conflict, "has been modified"),
        (409, '{"type":"error","status":409,"code":"Conflict","message":"stale"}', Conflict, "Conflict: stale"),
        (410, status(410, "Expired", "too old resource version"), Gone, "too old"),
        (
            422,
            '{"type":"error","status":422,"code":"InvalidOption","message":"bad","fieldName":"cni"}',
            Invalid,
            "InvalidOption: bad",
        ),
        (400, status(400, "BadRequest", "unknown field"), Invalid, "unknown field"),
        (415, "the body of the request was in an unknown format", Invalid, "unknown format"),
        (500, status(500, "InternalError", "etcdserver: request timed out"), ServerFailed, "etcdserver"),
        (502, "<html>Bad Gateway</html>", ServerFailed, "an HTML page"),
        (504, "", ServerFailed, "504"),
        (
            500,
            "unable to create impersonator account: ClusterUnavailable 503: cluster not found",
            ClusterUnavailable,
            "cluster not found",
        ),
        (503, GO_BODY, ClusterUnavailable, "ClusterUnavailable: cluster not provisioned"),
        (500, 'Get "https://10.0.0.1": cluster agent disconnected', ClusterUnavailable, "cluster agent disconnected"),
        (500, "lost connection to cluster: failed to find Session for client", ClusterUnavailable, "lost connection"),
        (
            500,
            "waiting for service account token secret to be populated for cluster [c-m-8jq5fz7k]",
            ClusterUnavailable,
            "waiting for service account",
        ),
        # Words of the same kind inside a refusal or a conflict do not change what it is.
        (422, status(422, "Invalid", "admission webhook denied the request: cluster not found"), Invalid, "denied"),
        (409, status(409, "Conflict", "cluster not provisioned yet, modified"), Conflict, "modified"),
        (403, status(403, "Forbidden", "cluster not found"), Forbidden, "cluster not found"),
    ],
)
@responses.activate
def test_each_answer_becomes_its_error(code: int, body: str, error: type[RancherError], says: str) -> None:
    responses.add(responses.PATCH, f"{RANCHER}/x", body=body, status=code)
    transport = Transport(RANCHER, TokenSource(TOKEN))

    with pytest.raises(RancherError) as caught:
        transport.request("PATCH", "/x", body={})

    assert type(caught.value) is error
    assert caught.value.status == code
    assert says in str(caught.value)
    assert "PATCH /x" in str(caught.value)
    assert error is Gone or caught.value.cure


@responses.activate
def test_an_error_survives_being_stored_and_read_again() -> None:
    """Durable steps keep errors as pickles."""
    responses.add(responses.GET, f"{RANCHER}/x", status=429, headers={"Retry-After": "7"})

    with pytest.raises(TooManyRequests) as caught:
        Transport(RANCHER, TokenSource(TOKEN), retry=RetryPolicy(attempts=1)).request("GET", "/x")

    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.cure, again.retry_after) == (
        TooManyRequests,
        str(caught.value),
        caught.value.cure,
        7.0,
    )


@pytest.mark.parametrize("method", ["get_json", "get_text"])
def test_a_redirect_is_not_followed(serve, connect: Connect, method: str) -> None:
    """A login page or another host must never see the token."""
    elsewhere = serve()
    server = serve(say(302, "", Location=f"{elsewhere.url}/login"))

    with pytest.raises(NotRancher, match=r"redirects to http://127\.0\.0\.1:\d+/login"):
        getattr(connect(server), method)("/v3")

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<!doctype html><title>Login</title>", "HTML page instead of JSON"),
        ('{"items": [1, 2', "not complete JSON"),
        ("", "not complete JSON"),
        ("[1, 2]", "not an object"),
        ('"pong"', "not an object"),
        ("[" * 100_000, "not complete JSON"),
        (b"\xff\xfe\x00", "not complete JSON"),
    ],
)
def test_what_is_not_the_json_of_rancher_says_so(serve, connect: Connect, body: str | bytes, says: str) -> None:
    server = serve(say(200, body))

    with pytest.raises(NotRancher, match=says) as caught:
        connect(server).get_json("/v1/clusters")

    assert "GET /v1/clusters" in str(caught.value)
    assert caught.value.cure


# --- what is tried again ---


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "DELETE"])
def test_too_many_requests_are_repeated_for_writes_as_well(serve, connect: Connect, slept, method: str) -> None:
    """429 is said before anything is done."""
    server = serve(say(429, status(429, "TooManyRequests", "slow down"), Retry_After="3"), say(200, '{"ok": true}'))

    answer = connect(server).request(method, "/x", body=None if method == "GET" else {})

    assert answer.json() == {"ok": True}
    assert len(server.asked) == 2
    assert [wait >= 3 for wait in slept.waits] == [True]


def test_patience_ends_and_tells_how_long_the_server_asked_to_wait(serve, connect: Connect, slept) -> None:
    server = serve(say(429, "", Retry_After="2"))

    with pytest.raises(TooManyRequests) as caught:
        connect(server).get_json("/x")

    assert (len(server.asked), len(slept.waits), caught.value.retry_after) == (3, 2, 2.0)


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "-5", "Fri, 02 Oct 2026 12:00:00 GMT", ""])
def test_an_odd_retry_after_is_as_if_it_were_not_there(serve, connect: Connect, slept, header: str) -> None:
    server = serve(say(429, "", Retry_After=header), say())

    connect(server).get_json("/x")

    assert all(0 <= wait <= 15 for wait in slept.waits)


def test_no_server_makes_us_wait_for_longer_than_a_minute() -> None:
    assert RetryPolicy().delay(0, 86_400.0) == 60.0


@pytest.mark.parametrize("attempt", range(12))
def test_waits_grow_to_a_limit_and_are_never_in_step(attempt: int) -> None:
    policy = RetryPolicy(base=0.4, limit=15.0)
    waits = {policy.delay(attempt, None) for _ in range(50)}

    assert len(waits) > 10
    assert all(0 < wait <= 15.0 for wait in waits)


@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_read_is_repeated_where_a_proxy_stumbled(serve, connect: Connect, code: int) -> None:
    server = serve(say(code, ""), say(200, '{"ok": true}'))
    transport = connect(server)

    assert transport.get_json("/x") == {"ok": True}
    assert (transport.counters.requests, transport.counters.retries) == (2, 1)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_write_that_may_have_happened_is_never_repeated(serve, connect: Connect, code: int) -> None:
    server = serve(say(code, ""))

    with pytest.raises(ServerFailed):
        connect(server).request("PATCH", "/x", body={})

    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [GO_BODY, "cluster agent disconnected"])
def test_a_cluster_without_tunnel_is_asked_once(serve, connect: Connect, body: str) -> None:
    """Each answer of that kind takes up to forty seconds."""
    server = serve(say(503, body))

    with pytest.raises(ClusterUnavailable):
        connect(server).get_json("/k8s/clusters/c-1/api/v1/nodes")

    assert len(server.asked) == 1


def test_a_read_is_repeated_when_the_connection_breaks(serve, connect: Connect) -> None:
    server = serve(hang_up, cut_short, say(200, '{"ok": true}'))

    assert connect(server).get_json("/x") == {"ok": True}
    assert len(server.asked) == 3


@pytest.mark.parametrize("answer", ["hang_up", "cut_short"])
def test_a_write_is_never_repeated_once_the_server_has_read_it(serve, connect: Connect, answer: str) -> None:
    server = serve({"hang_up": hang_up, "cut_short": cut_short}[answer])

    with pytest.raises(RancherUnreachable) as caught:
        connect(server).request("PATCH", "/x", body={"a": 1})

    assert server.asked == ["PATCH /x"]
    assert caught.value.never_sent is False
    assert "closed before the answer was complete" in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_refused_connection_is_repeated_since_nothing_was_sent(
    connect: Connect, slept, nobody: str, method: str
) -> None:
    with pytest.raises(RancherUnreachable) as caught:
        connect(nobody).request(method, "/x", body=None if method == "GET" else {})

    assert caught.value.never_sent is True
    assert len(slept.waits) == 2
    assert "refused" in str(caught.value)
    assert nobody in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(serve, connect: Connect) -> None:
    done = threading.Event()
    server = serve(lambda _handler: done.wait(5))

    with pytest.raises(RancherUnreachable, match="said nothing for too long") as caught:
        connect(server, timeout=(1.0, 0.15)).request("PATCH", "/x", body={})
    done.set()

    assert caught.value.never_sent is False
    assert len(server.asked) == 1


def test_one_request_may_have_a_limit_of_its_own(serve, connect: Connect) -> None:
    done = threading.Event()
    server = serve(lambda _handler: done.wait(5))

    with pytest.raises(RancherUnreachable):
        connect(server, retry=RetryPolicy(attempts=1), timeout=(1.0, 30.0)).get_json("/x", timeout=0.1)
    done.set()


@pytest.mark.parametrize(
    "url", ["rancher.example", "ftp://rancher.example", "https://", "https://[::1", "http://exa mple"]
)
def test_an_address_that_is_none_says_so(connect: Connect, url: str) -> None:
    with pytest.raises(RancherError) as caught:
        connect(url).get_json("/x")

    assert caught.value.cure


# --- limits ---


def test_an_answer_beyond_all_measure_is_not_held_in_memory(serve, connect: Connect) -> None:
    server = serve(say(200, b'{"a": "' + b"x" * 2_000_000 + b'"}'))
    transport = connect(server)
    transport._max_body = 100_000

    with pytest.raises(NotRancher, match="larger than 97 KiB"):
        transport.get_json("/x")


def test_of_a_huge_error_the_beginning_is_quoted(serve, connect: Connect) -> None:
    server = serve(say(500, b"etcdserver: mvcc: " + b"x" * 5_000_000))

    with pytest.raises(ServerFailed) as caught:
        connect(server).get_json("/x")

    assert "etcdserver: mvcc" in str(caught.value)
    assert len(str(caught.value)) < 500


# --- secrets and hosts ---


def test_the_token_is_sent_and_the_agent_is_no_browser(serve, connect: Connect) -> None:
    server = serve()

    connect(server).get_json("/x")

    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert "Mozilla" not in server.headers[0]["User-Agent"]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v3/clusters/c-1?action=backupEtcd",
        "http://169.254.169.254/v3/clusters/c-1?action=backupEtcd",
    ],
)
def test_absolute_links_keep_our_own_host(serve, connect: Connect, link: str) -> None:
    """Behind some proxies Rancher names a wrong host in its links; nobody else may get the token."""
    server = serve()

    connect(server).request("POST", link, body={})

    assert server.asked == ["POST /v3/clusters/c-1?action=backupEtcd"]


def test_a_path_never_turns_into_part_of_the_host(serve, connect: Connect) -> None:
    server = serve()

    connect(server).get_json("@evil.example/x")

    assert server.asked == ["GET /@evil.example/x"]


def test_a_netrc_of_the_machine_does_not_replace_the_token(
    serve, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve()

    connect(server).get_json("/x")

    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "body",
    [
        f"bad header: Bearer {TOKEN}",
        f'{{"message": "token {TOKEN} expired"}}',
        "ext/token-abcde:Z9y8X7 is not known",
        f'{{"Message": "Authorization: Bearer {TOKEN}"}}',
    ],
)
@pytest.mark.parametrize("code", [401, 403, 422, 500])
@responses.activate
def test_no_secret_of_an_answer_gets_into_a_message(code: int, body: str) -> None:
    responses.add(responses.POST, f"{RANCHER}/x", body=body, status=code)

    with pytest.raises(RancherError) as caught:
        Transport(RANCHER, TokenSource(TOKEN)).request("POST", "/x", body={})

    said = str(caught.value) + caught.value.cure
    assert "s3cr3t" not in said
    assert "Z9y8X7" not in said


@pytest.mark.parametrize(
    "token", ["token-x7k2p:s3cr3t\nX-Evil: 1", "token-x7k2p:s3cr3t\u20ac", "token-x7k2p s3cr3t", "tok\x00s3cr3t"]
)
def test_a_token_that_cannot_be_one_is_refused_before_it_is_sent(serve, connect: Connect, token: str) -> None:
    server = serve()

    with pytest.raises(Unauthorized, match="holds a character") as caught:
        connect(server, token=TokenSource(token)).get_json("/x")

    assert server.asked == []
    assert "s3cr3t" not in str(caught.value) + caught.value.cure


def test_without_a_token_no_header_is_sent(serve, connect: Connect) -> None:
    server = serve()

    connect(server, token=TokenSource()).get_json("/rancherversion")

    assert "Authorization" not in server.headers[0]


def test_a_token_file_is_read_again_when_it_is_replaced(serve, connect: Connect, tmp_path: Path) -> None:
    """A mounted Secret is replaced in place while the service runs."""
    file = tmp_path / "token"
    file.write_text("token-old:aaa\n")
    server = serve()
    transport = connect(server, token=TokenSource(file=file))
    transport.get_json("/x")

    fresh = tmp_path / "fresh"
    fresh.write_text("token-new:bbb\n")
    fresh.replace(file)
    transport.get_json("/x")

    assert [sent["Authorization"] for sent in server.headers] == ["Bearer token-old:aaa", "Bearer token-new:bbb"]


def test_a_token_file_that_is_gone_says_which(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match=r"cannot read the Rancher token from .*missing"):
        TokenSource(file=tmp_path / "missing")()


# --- streams ---


def test_lines_arrive_one_by_one_while_the_stream_is_open(serve, connect: Connect) -> None:
    """A watch that waits for a full buffer would tell of an event minutes later."""
    read = threading.Event()
    in_time = []

    def wait(handler: BaseHTTPRequestHandler) -> None:
        in_time.append(read.wait(5))
        hang_up(handler)

    stream = connect(serve(lines(b'{"a":1}\n', then=wait))).lines("/watch", {}, idle=10)
    first = next(stream)
    read.set()

    assert first == b'{"a":1}'
    with pytest.raises(RancherUnreachable):
        next(stream)
    assert in_time == [True], "the line was read only when the connection ended"


def test_a_stream_that_breaks_is_a_lost_connection(serve, connect: Connect) -> None:
    server = serve(lines(b'{"a":1}\n{"b"', then=hang_up))

    with pytest.raises(RancherUnreachable):
        list(connect(server).lines("/watch", {}, idle=5))


def test_a_stream_that_falls_silent_is_given_up(serve, connect: Connect) -> None:
    read = threading.Event()
    server = serve(lines(b'{"a":1}\n', then=lambda _handler: read.wait(5)))

    with pytest.raises(RancherUnreachable):
        list(connect(server).lines("/watch", {}, idle=0.15))
    read.set()


@pytest.mark.parametrize(("code", "error"), [(410, Gone), (403, Forbidden), (503, ServerFailed)])
def test_a_stream_that_is_refused_is_an_error_like_any_other(
    serve, connect: Connect, code: int, error: type[RancherError]
) -> None:
    server = serve(say(code, status(code, "No", "no")))

    with pytest.raises(error):
        list(connect(server).lines("/watch", {}, idle=5))


def test_an_error_whose_body_never_ends_is_a_lost_connection(serve, connect: Connect) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"etcd")
        handler.wfile.flush()
        hang_up(handler)

    server = serve(answer)

    with pytest.raises(RancherUnreachable):
        list(connect(server).lines("/watch", {}, idle=5))


# --- no error of the HTTP library gets out ---


def _exceptions(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _exceptions(child))]


@pytest.mark.parametrize(
    "kind", sorted(set(_exceptions(requests.RequestException)), key=lambda kind: (kind.__module__, kind.__name__))
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
@responses.activate
def test_every_error_of_requests_is_mapped(kind: type[BaseException], method: str) -> None:
    if kind is requests.JSONDecodeError:
        pytest.skip("made of a document, and json() is never called")
    responses.add(method, f"{RANCHER}/x", body=kind(f"about Bearer {TOKEN}"))

    with pytest.raises(RancherError) as caught:
        Transport(RANCHER, TokenSource(TOKEN), sleep=lambda _wait: None).request(method, "/x")

    assert caught.value.cure
    assert "s3cr3t" not in str(caught.value)


def test_threads_share_one_transport_and_its_counters(serve, connect: Connect) -> None:
    server = serve(say(200, '{"ok": true}'))
    transport = connect(server)
    threads = [threading.Thread(target=transport.get_json, args=("/x",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert transport.counters.requests == 12
    assert transport.counters.bytes == 12 * len('{"ok": true}')


def test_the_default_sleep_is_the_real_one() -> None:
    assert Transport(RANCHER, TokenSource())._sleep is time.sleep
