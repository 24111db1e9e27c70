"""The simulated GitHub answers as the real one would: same shapes, same refusals, same traps."""

import ast
import hashlib
import hmac
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jwt
import pytest
import requests
from github import Auth, Github, GithubIntegration

import bot.simulator
from bot.simulator import RunningGitHub

NOON = datetime(2025, 3, 4, 12, 0, 0, tzinfo=UTC)


class MovingClock:
    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now

    def forward(self, **how):
        self.now += timedelta(**how)


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
def github(clock):
    with RunningGitHub(clock=clock, people={"maria": "maintain", "tom": "triage"}) as running:
        yield running


@pytest.fixture
def api(github):
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {github.token}"

        def call(method, path, **kwargs):
            url = path if path.startswith("http") else github.url + path
            return session.request(method, url, timeout=5, **kwargs)

        yield call


ISSUES = "/repos/acme/fleet/issues"


def opened(api, title="edge-07 waits", **fields):
    return api("POST", ISSUES, json={"title": title, **fields}).json()


class TestIssues:
    def test_an_opened_issue_can_be_read_back_with_its_labels_and_times(self, api, github):
        answer = api("POST", ISSUES, json={"title": "edge-07 waits", "body": "why", "labels": ["drover", "state/new"]})

        assert answer.status_code == 201
        assert answer.headers["Location"] == answer.json()["url"]
        read = api("GET", answer.json()["url"]).json()
        assert (read["title"], read["body"], read["user"]["login"]) == ("edge-07 waits", "why", "drover-bot")
        assert [label["name"] for label in read["labels"]] == ["drover", "state/new"]
        assert read["created_at"] == "2025-03-04T12:00:00Z"
        assert github.issue(1).labels == ("drover", "state/new")

    def test_closing_and_reopening_tell_the_reason(self, api, clock):
        opened(api)
        clock.forward(minutes=5)
        closed = api("PATCH", f"{ISSUES}/1", json={"state": "closed", "state_reason": "not_planned"}).json()
        again = api("PATCH", f"{ISSUES}/1", json={"state": "open"}).json()

        assert (closed["state"], closed["state_reason"]) == ("closed", "not_planned")
        assert closed["closed_at"] == "2025-03-04T12:05:00Z"
        assert (again["state"], again["state_reason"], again["closed_at"]) == ("open", "reopened", None)

    def test_a_patch_that_changes_nothing_leaves_the_time(self, api, clock):
        opened(api, "same")
        clock.forward(minutes=5)
        assert api("PATCH", f"{ISSUES}/1", json={"title": "same"}).json()["updated_at"] == "2025-03-04T12:00:00Z"

    def test_lists_filter_by_state_label_creator_and_time_and_come_newest_first(self, api, github, clock):
        opened(api, "one", labels=["drover"])
        opened(api, "two", labels=["drover", "Cause/x"])
        clock.forward(minutes=1)
        github.open_issue_as("maria", "three", labels=("drover",))
        api("PATCH", f"{ISSUES}/1", json={"state": "closed"})

        def titles(**query):
            return [issue["title"] for issue in api("GET", ISSUES, params=query).json()]

        assert titles() == ["three", "two"]
        assert titles(state="all") == ["three", "two", "one"]
        assert titles(state="closed") == ["one"]
        assert titles(labels="drover,cause/X") == ["two"]
        assert titles(creator="maria") == ["three"]
        assert titles(since="2025-03-04T12:00:30Z", state="all") == ["three", "one"]
        assert titles(sort="updated", direction="asc", state="all") == ["two", "one", "three"]

    def test_long_lists_come_in_pages_with_links(self, api):
        for number in range(5):
            opened(api, f"issue {number}")
        first = api("GET", ISSUES, params={"per_page": 2, "direction": "asc"})
        second = api("GET", first.links["next"]["url"])
        third = api("GET", second.links["next"]["url"])

        assert [len(page.json()) for page in (first, second, third)] == [2, 2, 1]
        assert "next" not in third.links
        assert first.links["last"]["url"] == second.links["next"]["url"]

    @pytest.mark.parametrize(
        ("fields", "field", "code"),
        [
            ({}, "title", "missing_field"),
            ({"title": "x" * 257}, "title", "custom"),
            ({"title": "x", "body": "y" * 65_537}, "body", "custom"),
            ({"title": "x", "labels": ["l" * 51]}, "name", "custom"),
            ({"title": "x", "labels": "drover"}, "labels", "invalid"),
        ],
    )
    def test_what_github_finds_invalid_is_a_422_that_names_the_field(self, api, fields, field, code):
        answer = api("POST", ISSUES, json=fields)

        assert answer.status_code == 422
        assert answer.json()["message"] == "Validation Failed"
        (error,) = answer.json()["errors"]
        assert (error["field"], error["code"]) == (field, code)
        assert api("GET", ISSUES).json() == []

    def test_the_longest_body_is_accepted(self, api):
        assert api("POST", ISSUES, json={"title": "x", "body": "y" * 65_536}).status_code == 201


class TestComments:
    def test_comments_of_the_repository_are_found_by_change_time(self, api, github, clock):
        opened(api)
        first = github.comment_as("maria", 1, "early")
        clock.forward(minutes=10)
        second = github.comment_as("tom", 1, "late")
        clock.forward(minutes=10)
        github.edit_comment_as("maria", first, "early, edited")

        answer = api("GET", f"{ISSUES}/comments", params={"since": "2025-03-04T12:05:00Z", "sort": "updated"})

        assert [comment["id"] for comment in answer.json()] == [second, first]
        assert answer.json()[1]["issue_url"].endswith("/repos/acme/fleet/issues/1")

    def test_a_comment_is_edited_and_deleted(self, api):
        opened(api)
        comment = api("POST", f"{ISSUES}/1/comments", json={"body": "a"}).json()
        assert api("PATCH", comment["url"], json={"body": "b"}).json()["body"] == "b"
        assert api("DELETE", comment["url"]).status_code == 204
        assert api("GET", comment["url"]).status_code == 404
        assert api("GET", f"{ISSUES}/1").json()["comments"] == 0

    def test_a_blank_comment_is_refused(self, api):
        opened(api)
        assert api("POST", f"{ISSUES}/1/comments", json={"body": " \n"}).status_code == 422

    def test_the_same_reaction_twice_is_one_reaction(self, api, github):
        opened(api)
        comment = github.comment_as("maria", 1, "/drover help")
        url = f"{ISSUES}/comments/{comment}/reactions"

        assert api("POST", url, json={"content": "eyes"}).status_code == 201
        assert api("POST", url, json={"content": "eyes"}).status_code == 200
        assert api("POST", url, json={"content": "clap"}).status_code == 422
        assert github.issue(1).comments[0].reactions == ("eyes",)
        assert [reaction["content"] for reaction in api("GET", url).json()] == ["eyes"]


class TestLabels:
    def test_a_label_exists_once_whatever_its_case(self, api):
        assert api("POST", "/repos/acme/fleet/labels", json={"name": "drover", "color": "0969da"}).status_code == 201
        again = api("POST", "/repos/acme/fleet/labels", json={"name": "Drover"})
        assert again.status_code == 422
        assert again.json()["errors"][0]["code"] == "already_exists"
        assert api("GET", "/repos/acme/fleet/labels/drover").json()["color"] == "0969da"

    def test_a_label_with_a_slash_is_found(self, api):
        opened(api, labels=["cluster/edge-07"])
        assert api("GET", "/repos/acme/fleet/labels/cluster/edge-07").status_code == 200
        assert api("GET", "/repos/acme/fleet/labels/nope").status_code == 404


class TestAccess:
    def test_a_wrong_token_is_bad_credentials(self, github):
        answer = requests.get(f"{github.url}/user", headers={"Authorization": "token nope"}, timeout=5)
        assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")

    def test_no_token_is_asked_for_one(self, github):
        assert requests.get(f"{github.url}/user", timeout=5).json()["message"] == "Requires authentication"

    def test_another_repository_is_not_found(self, api):
        assert api("GET", "/repos/acme/other").status_code == 404

    def test_a_private_repository_hides_from_one_without_a_role(self, api, github):
        github.people["drover-bot"] = "none"
        assert api("GET", "/repos/acme/fleet").status_code == 404

    def test_a_reader_may_open_an_issue_but_its_labels_are_dropped_and_it_cannot_touch_others(self, api, github):
        github.people["drover-bot"] = "read"
        number = github.open_issue_as("maria", "hers")
        assert opened(api, labels=["drover"])["labels"] == []
        refused = api("PATCH", f"{ISSUES}/{number}", json={"state": "closed"})
        assert refused.status_code == 403
        assert refused.headers["X-Accepted-GitHub-Permissions"] == "issues=write"

    @pytest.mark.parametrize(
        ("login", "permission", "role"),
        [("maria", "write", "maintain"), ("tom", "read", "triage"), ("stranger", "none", "none")],
    )
    def test_permission_is_the_old_word_and_role_name_the_exact_one(self, api, login, permission, role):
        answer = api("GET", f"/repos/acme/fleet/collaborators/{login}/permission").json()
        assert (answer["permission"], answer["role_name"]) == (permission, role)

    def test_the_primary_limit_is_a_403_with_headers(self, api, github):
        github.access.remaining = 1
        assert api("GET", "/user").headers["X-RateLimit-Remaining"] == "0"
        answer = api("GET", "/user")
        assert answer.status_code == 403
        assert answer.json()["message"].startswith("API rate limit exceeded")
        assert int(answer.headers["X-RateLimit-Reset"]) > time.time()
        assert api("GET", "/rate_limit").json()["rate"]["remaining"] == 0

    def test_content_is_limited_per_minute_when_asked_for(self, api, github, clock):
        github.access.content_limits = (2, 3)
        opened(api)
        opened(api)
        answer = api("POST", ISSUES, json={"title": "third"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (403, "60")
        clock.forward(minutes=1)
        assert opened(api)["number"] == 3
        clock.forward(minutes=1)
        assert api("POST", ISSUES, json={"title": "hour"}).status_code == 403

    def test_an_unchanged_answer_is_a_304(self, api):
        opened(api)
        etag = api("GET", f"{ISSUES}/1").headers["ETag"]
        again = api("GET", f"{ISSUES}/1", headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")

    def test_a_body_that_is_not_json_is_a_400(self, api):
        assert api("POST", ISSUES, data="{").json()["message"] == "Problems parsing JSON"
        assert api("POST", ISSUES, data="[]").status_code == 400


class TestAsAnApp:
    def integration(self, github, key=None):
        auth = Auth.AppAuth(github.app.app_id, key or github.app.private_key)
        return GithubIntegration(auth=auth, base_url=github.enterprise_url, retry=None)

    def test_the_app_gets_a_token_for_its_repository_and_writes_as_a_bot(self, github):
        with self.integration(github) as integration:
            installation = integration.get_repo_installation("acme", "fleet")
            with integration.get_github_for_installation(installation.id) as client:
                client.get_repo("acme/fleet").create_issue("hello")
        assert github.issue(1).author == "drover[bot]"

    def test_a_foreign_key_is_refused(self, github):
        forged = jwt.encode({"iss": "1001", "iat": 1, "exp": 2_000_000_000}, "x" * 32, algorithm="HS256")
        answer = requests.get(f"{github.url}/app", headers={"Authorization": f"Bearer {forged}"}, timeout=5)
        assert answer.status_code == 401

    def test_a_jwt_that_lives_too_long_or_of_another_app_is_refused(self, github):
        now = int(time.time())

        def ask(**claims):
            token = jwt.encode({"iat": now, "exp": now + 300, "iss": "1001", **claims}, github.app.private_key, "RS256")
            return requests.get(f"{github.url}/app", headers={"Authorization": f"Bearer {token}"}, timeout=5)

        assert ask().json()["slug"] == "drover"
        assert ask(exp=now + 3_600).status_code == 401
        assert ask(iss="7").status_code == 401

    def test_an_app_without_the_right_to_write_is_told_which(self, github):
        github.app.permissions["issues"] = "read"
        with self.integration(github) as integration:
            token = integration.get_access_token(github.app.installation_id).token
        answer = requests.post(
            f"{github.url}{ISSUES}", json={"title": "x"}, headers={"Authorization": f"token {token}"}, timeout=5
        )
        assert answer.json()["message"] == "Resource not accessible by integration"
        assert answer.headers["X-Accepted-GitHub-Permissions"] == "issues=write"


class TestPyGithub:
    @pytest.mark.parametrize("prefix", ["", "/api/v3"])
    def test_the_real_client_walks_pages_under_both_addresses(self, github, prefix):
        for number in range(7):
            github.open_issue_as("maria", f"issue {number}")
        with Github(
            auth=Auth.Token(github.token), base_url=github.url + prefix, per_page=3, retry=None, lazy=True
        ) as client:
            issues = list(client.get_repo("acme/fleet").get_issues())
        assert [issue.number for issue in issues] == [7, 6, 5, 4, 3, 2, 1]
        assert issues[0].html_url == f"{github.url}/acme/fleet/issues/7"


class TestFaults:
    def test_a_planted_failure_is_used_up_and_stops_the_write(self, api, github):
        github.faults.fail("/issues$", method="POST", status=503)
        assert api("POST", ISSUES, json={"title": "lost"}).status_code == 503
        assert github.issues == []
        assert opened(api)["number"] == 1
        assert github.faults.taken == [("POST", ISSUES)]

    def test_a_failure_after_the_write_leaves_the_write(self, api, github):
        github.faults.fail(method="POST", status=502, after_the_write=True)
        assert api("POST", ISSUES, json={"title": "done"}).status_code == 502
        assert [issue.title for issue in github.issues] == ["done"]

    @pytest.mark.parametrize("after", [True, False])
    def test_a_dropped_socket_gives_no_answer(self, api, github, after):
        github.faults.drop(method="POST", after_the_write=after)
        with pytest.raises(requests.ConnectionError):
            api("POST", ISSUES, json={"title": "dropped"})
        assert len(github.issues) == int(after)
        assert api("GET", "/user").status_code == 200

    def test_a_secondary_limit_says_how_long_to_wait(self, api, github):
        github.faults.secondary_limit(retry_after=30)
        github.faults.secondary_limit(retry_after=None, status=429)
        first, second = api("GET", "/user"), api("GET", "/user")
        assert (first.status_code, first.headers["Retry-After"]) == (403, "30")
        assert (second.status_code, second.headers.get("Retry-After")) == (429, None)

    def test_a_delay_delays_and_then_answers(self, api, github):
        github.faults.delay(0.01, "/user")
        assert api("GET", "/user").status_code == 200
        assert github.faults.taken == [("GET", "/user")]


class Receiver:
    """Somebody's webhook endpoint, on a real socket."""

    def __init__(self):
        self.got = []
        self.status = 202
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/github"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class TestHooks:
    @pytest.fixture
    def receiver(self):
        receiver = Receiver()
        yield receiver
        receiver.stop()

    @pytest.fixture
    def hooked(self, github, receiver):
        github.send_hooks_to(receiver.url, "s3cret")
        return github

    def test_a_persons_comment_arrives_signed(self, hooked, receiver):
        number = hooked.open_issue_as("maria", "hers")
        hooked.comment_as("maria", number, "/drover status")
        hooked.settle()

        (_, _), (headers, body) = receiver.got
        expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert headers["X-Hub-Signature-256"] == f"sha256={expected}"
        assert headers["X-GitHub-Event"] == "issue_comment"
        payload = json.loads(body)
        assert (payload["action"], payload["comment"]["body"]) == ("created", "/drover status")
        assert payload["repository"]["full_name"] == "acme/fleet"
        assert payload["sender"]["login"] == "maria"
        delivery = hooked.deliveries[-1]
        assert (delivery.id, delivery.outcomes) == (headers["X-GitHub-Delivery"], (202,))

    def test_what_the_bot_writes_is_not_told(self, hooked, api):
        opened(api)
        api("POST", f"{ISSUES}/1/comments", json={"body": "a"})
        api("PATCH", f"{ISSUES}/1", json={"state": "closed"})
        hooked.settle()
        assert hooked.deliveries == []

    def test_with_echo_the_bot_hears_itself(self, receiver):
        with RunningGitHub(hook_url=receiver.url, hook_secret="s", echo_own_writes=True) as github:
            headers = {"Authorization": f"token {github.token}"}
            requests.post(github.url + ISSUES, json={"title": "x"}, headers=headers, timeout=5)
            github.settle()
            assert [delivery.action for delivery in github.deliveries] == ["opened"]

    def test_every_kind_of_event_is_told(self, hooked):
        number = hooked.open_issue_as("maria", "hers")
        comment = hooked.comment_as("maria", number, "a")
        hooked.edit_comment_as("maria", comment, "b")
        hooked.delete_comment_as("maria", comment)
        hooked.edit_issue_as("maria", number, title="new")
        hooked.close_issue_as("maria", number)
        hooked.reopen_issue_as("maria", number)
        hooked.ping()
        hooked.settle()
        assert [(delivery.event, delivery.action) for delivery in hooked.deliveries] == [
            ("issues", "opened"),
            ("issue_comment", "created"),
            ("issue_comment", "edited"),
            ("issue_comment", "deleted"),
            ("issues", "edited"),
            ("issues", "closed"),
            ("issues", "reopened"),
            ("ping", None),
        ]
        assert all(delivery.delivered for delivery in hooked.deliveries)

    def test_a_failed_delivery_is_redelivered_under_the_same_id(self, hooked, receiver):
        receiver.status = 500
        hooked.open_issue_as("maria", "hers")
        hooked.settle()
        (delivery,) = hooked.deliveries
        assert (delivery.outcomes, delivery.delivered) == ((500,), False)

        receiver.status = 202
        hooked.redeliver(delivery.id)
        hooked.settle()
        assert hooked.deliveries[0].outcomes == (500, 202)
        ids = {headers["X-GitHub-Delivery"] for headers, _ in receiver.got}
        assert ids == {delivery.id}

    def test_a_lost_delivery_never_arrives(self, hooked, receiver):
        hooked.faults.lose_deliveries(1)
        hooked.open_issue_as("maria", "hers")
        hooked.settle()
        assert receiver.got == []
        assert hooked.deliveries[0].outcomes == ("lost on the way",)

    def test_a_receiver_that_is_away_is_recorded(self, github):
        github.send_hooks_to("http://127.0.0.1:9/", "s")
        github.open_issue_as("maria", "hers")
        github.settle()
        assert github.deliveries[0].outcomes == ("ConnectionError",)


class TestPages:
    def test_the_issue_page_escapes_everything(self, api, github):
        number = github.open_issue_as("maria", "<script>1</script>", "<!-- drover:x -->\n<img src=x>")
        page = api("GET", f"/acme/fleet/issues/{number}").text
        assert "<script>" not in page
        assert "<img" not in page
        assert "drover:x" not in page
        assert "&lt;img src=x&gt;" in page
        assert "&lt;script&gt;" in api("GET", "/acme/fleet/issues").text

    def test_a_person_can_comment_through_the_page_but_not_as_the_bot(self, api, github):
        opened(api)
        api("POST", "/acme/fleet/issues/1", data={"login": "maria", "body": "/drover help\r\nplease"})
        api("POST", "/acme/fleet/issues/1", data={"login": "drover-bot", "body": "hm"})
        assert [(c.author, c.body) for c in github.issue(1).comments] == [("maria", "/drover help\nplease")]


def test_writes_are_listed_in_order_and_readable(api, github):
    opened(api)
    comment = api("POST", f"{ISSUES}/1/comments", json={"body": "a"}).json()["id"]
    api("PATCH", f"{ISSUES}/comments/{comment}", json={"body": "b"})
    api("PATCH", f"{ISSUES}/1", json={"state": "closed", "labels": ["drover"]})
    assert [write.did for write in github.writes] == [
        "open issue #1",
        "comment on #1",
        f"edit comment {comment} on #1",
        "edit issue #1: labels, state",
    ]
    assert {write.by for write in github.writes} == {"drover-bot"}


def test_a_renamed_repository_redirects(api, github):
    github.rename("acme/herd")
    moved = api("GET", ISSUES, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (301, f"{github.url}/repos/acme/herd/issues")
    assert api("POST", ISSUES, json={"title": "x"}, allow_redirects=False).status_code == 307
    assert github.issues == []


def test_the_simulator_imports_nothing_of_the_product_it_judges():
    folder = Path(bot.simulator.__file__).parent
    imported = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    ours = {name for name in imported if name.split(".")[0] in {"bot", "rancher_ext"}}
    assert ours
    assert all(name.startswith("bot.simulator") for name in ours)
