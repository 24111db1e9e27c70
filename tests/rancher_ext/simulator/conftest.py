"""A simulated Rancher on a socket, and a clock that a test turns by hand."""

from collections.abc import Iterator

import pytest
import requests

from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.kube import WatchLimits
from rancher_ext.simulator.running import RunningRancher

NOON = 1_772_539_200.0  # 2026-03-03T12:00:00Z


class Hand:
    """The real time as the clock sees it; it moves when told."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at


class HandFleet(Fleet):
    def __init__(self, hand: Hand, **options) -> None:
        super().__init__(SimClock(real=hand), **options)
        self.hand = hand

    def later(self, seconds: float) -> None:
        self.hand.at += seconds
        self.tick()


@pytest.fixture
def fleet() -> HandFleet:
    return HandFleet(Hand())


class Client(requests.Session):
    """requests with a token and a base address."""

    def __init__(self, rancher: RunningRancher, token: str | None = None) -> None:
        super().__init__()
        self.base = rancher.url
        self.trust_env = False
        self.headers["Authorization"] = f"Bearer {token or rancher.token}"

    def request(self, method, url, *args, **kwargs):
        kwargs.setdefault("timeout", 10)
        return super().request(method, self.base + url, *args, **kwargs)


@pytest.fixture
def rancher(fleet: HandFleet) -> Iterator[RunningRancher]:
    """Serves the hand-turned fleet; watches notice things soon."""
    with RunningRancher(fleet, watch=WatchLimits(bookmark_every=0.05, poll=0.02), tick_every=0.02) as running:
        yield running


@pytest.fixture
def client(rancher: RunningRancher) -> Iterator[Client]:
    with Client(rancher) as session:
        yield session
