"""Are servers that live as long as the session started once, however many workers there are?"""

import pytest

from tests.e2e.conftest import SHARED, scope_of


def test_tests_that_share_servers_share_a_worker(request: pytest.FixtureRequest) -> None:
    scopes: dict[str, set[str]] = {"world": set(), "side": set()}
    for item in request.session.items:
        for fixture in scopes.keys() & set(getattr(item, "fixturenames", ())):
            if item.path.parent == request.path.parent:
                scopes[fixture].add(scope_of(item.nodeid))

    assert all(len(each) <= 1 for each in scopes.values()), scopes


@pytest.mark.parametrize(("file", "scope"), SHARED.items())
def test_a_file_of_the_list_is_there(request: pytest.FixtureRequest, file: str, scope: str) -> None:
    assert (request.path.parent / file).is_file()
    assert scope_of(f"tests/e2e/{file}::test_anything[x::y]") == scope
    assert scope_of(f"tests/other/{file}::test_anything") == f"tests/other/{file}"
