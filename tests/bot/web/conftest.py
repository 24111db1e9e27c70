from collections.abc import Iterator

import pytest

from tests.bot.web.serving import Facts, Web, a_fleet, running


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Web, Facts]]:
    """One server for a module; its facts are made new for each test that asks for them."""
    facts = a_fleet(120)
    with running(facts.parts(), facts) as web:
        yield web, facts


@pytest.fixture
def facts(served: tuple[Web, Facts]) -> Facts:
    served[1].become(a_fleet(120))
    return served[1]


@pytest.fixture
def web(served: tuple[Web, Facts], facts: Facts) -> Web:
    return served[0]


@pytest.fixture
def own_web() -> Iterator[Web]:
    """A server of the test's own, whose counters begin at nothing."""
    facts = a_fleet(120)
    with running(facts.parts(), facts) as web:
        yield web
