"""Server-sent events: a tick when a page would look different, for a bounded number of pages."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from bot.errors import StoreError
from tests.bot.web.serving import Facts, Web, a_fleet, a_seen_cluster, running


@pytest.fixture
def facts() -> Facts:
    return a_fleet(20)


@pytest.fixture
def web(facts: Facts) -> Iterator[Web]:
    """A server for each test: what one page has seen is remembered for the next."""
    with running(facts.parts(), facts) as served:
        yield served


def ticks(answer: requests.Response) -> Iterator[str]:
    for line in answer.iter_lines(decode_unicode=True):
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def listening(web: Web) -> requests.Response:
    return web.get("/events", stream=True)


def test_a_tick_comes_when_something_changed_and_carries_no_facts(web: Web, facts: Facts):
    with closing(listening(web)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        words = ticks(answer)
        first = next(words)
        facts.clusters.append(a_seen_cluster("new-one", "stuck"))
        second = next(words)
        assert first != second
        assert "new-one" not in second


def test_a_store_that_fails_for_a_while_only_delays_the_tick(web: Web, facts: Facts):
    with closing(listening(web)) as answer:
        words = ticks(answer)
        first = next(words)
        facts.failure = StoreError("the database failed")
        web.get("/healthz")
        facts.clusters.append(a_seen_cluster("new-one", "stuck"))
        facts.failure = None
        assert next(words) != first


def test_more_pages_than_the_limit_are_told_to_wait(web: Web):
    with closing(listening(web)) as one, closing(listening(web)) as two:
        open_pages = [ticks(one), ticks(two)]
        assert [next(words) for words in open_pages]
        answer = web.get("/events")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "60"


def test_a_page_that_is_closed_makes_room(web: Web):
    for _ in range(4):
        with closing(listening(web)) as one:
            assert next(ticks(one))
    # The server notices a closed connection at its next tick at the latest.
    while (answer := listening(web)).status_code == 429:
        answer.close()
    with closing(answer):
        assert next(ticks(answer))


def test_open_pages_do_not_hold_up_a_stop(web: Web, facts: Facts):
    with closing(listening(web)) as answer:
        words = ticks(answer)
        next(words)
        facts.stopped = True
        assert list(words) == []
