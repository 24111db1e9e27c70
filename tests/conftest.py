"""What do all tests share? Property profiles, and a clock that stands still."""

import os
from collections.abc import Callable
from datetime import datetime

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.builders import NOON

# Both judge by examples, never by the clock: a busy machine is no reason to fail.
settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True)
def _logs_as_before():
    """A command run in this process sets logging up for good, and a quiet one takes lines away from the tests after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that always says noon."""
    return lambda: NOON
