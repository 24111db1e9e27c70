"""What happens to a webhook delivery between acceptance and its end? The same on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.adapters.delivery_store import DeliveryStore
from bot.errors import StoreError
from tests.builders import NOON


@pytest.fixture
def store(database):
    return DeliveryStore(database)


def test_a_delivery_is_accepted_once_and_waits_until_it_is_done(store):
    assert store.accept("guid-1", "issue_comment", {"action": "created", "text": "ä \u2028"}, NOON)
    assert not store.accept("guid-1", "issue_comment", {"action": "forged"}, NOON)
    assert store.get("guid-1") == ("issue_comment", {"action": "created", "text": "ä \u2028"})
    assert store.waiting() == ["guid-1"]
    store.done("guid-1", NOON)
    assert store.waiting() == []
    assert not store.accept("guid-1", "issue_comment", {}, NOON)


def test_an_overlong_id_is_the_same_delivery_throughout(store):
    guid = "g" * 500
    assert store.accept(guid, "ping", {}, NOON)
    assert store.get(guid) == ("ping", {})
    store.done(guid, NOON)
    assert store.waiting() == []


def test_an_unknown_delivery_is_an_error_with_a_cure(store):
    with pytest.raises(StoreError, match="there is no delivery 'x'") as caught:
        store.get("x")
    assert "Recent deliveries" in caught.value.cure


def test_of_many_receivers_one_accepts(store):
    start = threading.Barrier(6)

    def accept(_):
        start.wait()
        return store.accept("guid-1", "ping", {}, NOON)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(accept, range(6))) == 1
