"""Which version is older, and does it lie in a range?"""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.fleet.versions import Version, VersionRange


def version(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None, text
    return found


OLDEST_FIRST = [
    "v1.31.9+rke2r1",
    "v1.32.0-alpha.1+rke2r1",
    "v1.32.0-beta.0",
    "v1.32.0-rc1+rke2r1",
    "v1.32.0-rc2+rke2r1",
    "v1.32.0-rc10+rke2r1",
    "v1.32.0",
    "v1.32.0+rke2r1",
    "v1.32.0+rke2r2",
    "v1.32.2-rancher1-1",
    "v1.32.2-rancher1-2",
    "v1.32.2-rancher2-1",
    "v1.32.10+k3s1",
    "v1.33.0-rc1+k3s1",
    "v1.33.0+k3s1",
]


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(OLDEST_FIRST)))
def test_versions_sort_by_release_then_stage_then_revision(older: str, newer: str) -> None:
    assert version(older) < version(newer)
    assert version(newer) > version(older)
    assert version(older) != version(newer)


def test_a_shuffled_list_sorts_back() -> None:
    assert [v.text for v in sorted(map(version, reversed(OLDEST_FIRST)))] == OLDEST_FIRST


@pytest.mark.parametrize(
    ("text", "release", "revision"),
    [
        ("v1.32.2-rancher1-1", (1, 32, 2), (1, 1)),
        ("v1.32.2+rke2r1", (1, 32, 2), (1,)),
        ("v1.32.2+k3s1", (1, 32, 2), (1,)),
        ("1.32", (1, 32, 0), ()),
        ("  v2.10.4\n", (2, 10, 4), ()),
        ("v1.32.2-eks-1552ad0", (1, 32, 2), ()),
    ],
)
def test_the_revision_of_each_distribution_is_read(
    text: str, release: tuple[int, int, int], revision: tuple[int, ...]
) -> None:
    assert (version(text).release, version(text).revision) == (release, revision)


@pytest.mark.parametrize(
    "text", ["v2.11-head", "v2.12-dev", "head", "9b53b49d", "", "v", "1", None, "v1.", "latest", "-1.2.3"]
)
def test_what_is_no_version_is_none(text: str | None) -> None:
    assert Version.parse(text) is None


def test_two_spellings_of_one_version_are_equal_and_hash_alike() -> None:
    assert version("1.32.2+rke2r1") == version("v1.32.2+rke2r1")
    assert len({version("1.32.2"), version("v1.32.2")}) == 1


def test_a_version_shows_itself_as_it_was_written() -> None:
    assert str(version("v1.32.2+rke2r1")) == "v1.32.2+rke2r1"
    assert version("v1.32.2+rke2r1").line == "1.32"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (
            "1.32",
            ["v1.32.0", "v1.32.13+rke2r1", "v1.32.2-rancher1-1", "v1.32.0-rc1"],
            ["v1.31.9", "v1.33.0", "v2.32.0"],
        ),
        ("1.32.x", ["v1.32.7+k3s1"], ["v1.3.2", "v1.33.1"]),
        ("=1.32.2", ["v1.32.2+rke2r1", "v1.32.2-rancher1-1"], ["v1.32.3", "v1.32.2-rc1"]),
        ("v1.32.2+rke2r1", ["v1.32.2+rke2r1"], ["v1.32.2+rke2r2", "v1.32.2"]),
        ("<2.11", ["v2.10.9", "v2.10.0-rc1"], ["v2.11.0", "v2.11.0-alpha7", "v2.11.1", "v2.12.0"]),
        (">=2.10.4 <2.11", ["v2.10.4", "v2.10.9"], ["v2.10.3", "v2.10.4-rc1", "v2.11.0-alpha7", "v2.11.0"]),
        (">=2.11", ["v2.11.0", "v2.13.8"], ["v2.11.0-alpha7", "v2.10.9"]),
        (">2.11", ["v2.12.0"], ["v2.11.0", "v2.11.9", "v2.10.0"]),
        ("<=2.11", ["v2.11.0", "v2.11.9", "v2.10.0"], ["v2.12.0"]),
        (">1.32.2", ["v1.32.3"], ["v1.32.2", "v1.32.2+rke2r2"]),
        (">1.32.2+rke2r1", ["v1.32.2+rke2r2"], ["v1.32.2+rke2r1", "v1.32.1+rke2r9"]),
        ("<1.32.2", ["v1.32.1+rke2r1"], ["v1.32.2", "v1.32.2+rke2r1", "v1.32.2-rc1+rke2r1"]),
        (">= 2.10.4, < 2.11", ["v2.10.5"], ["v2.11.0-alpha7"]),
    ],
)
def test_a_range_holds_what_people_mean_by_it(text: str, inside: list[str], outside: list[str]) -> None:
    wanted = VersionRange.parse(text)

    assert [each for each in inside if not wanted.contains(version(each))] == []
    assert [each for each in outside if wanted.contains(version(each))] == []


@pytest.mark.parametrize("text", ["", "   ", ">=", "about 1.32", "1.32 || 1.33", "^1.32", "~>1.2", ">=v2.11-head"])
def test_what_is_no_range_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write for example '>=1\.32\.0 <1\.33'"):
        VersionRange.parse(text)


numbers = st.integers(0, 40)
texts = st.builds(
    lambda major, minor, patch, stage, end: f"v{major}.{minor}.{patch}{stage}{end}",
    numbers,
    numbers,
    numbers,
    st.sampled_from(["", "-alpha1", "-beta2", "-rc1", "-rc.2"]),
    st.sampled_from(["", "+rke2r1", "+rke2r2", "+k3s1", "-rancher1-1", "-rancher1-2"]),
)


@given(texts, texts, texts)
def test_the_order_is_total(one: str, two: str, three: str) -> None:
    a, b, c = version(one), version(two), version(three)

    assert [a < b, a == b, a > b].count(True) == 1
    assert not (a <= b <= c) or a <= c
    assert (a == b) == (hash(a) == hash(b)) or a != b


@given(texts, texts)
def test_below_and_from_split_the_versions_apart_from_prereleases(bound: str, text: str) -> None:
    """A version is never both below a bound and from it on; only a pre-release of the bound itself may be neither."""
    here = version(text)
    below, onwards = VersionRange.parse(f"<{bound}").contains(here), VersionRange.parse(f">={bound}").contains(here)

    assert not (below and onwards)
    if here.release != version(bound).release:
        assert below != onwards


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    found = Version.parse(text)

    assert found is None or found.release >= (0, 0, 0)


@given(st.text(alphabet="<>=v1.32x +-rke2", max_size=30))
def test_no_range_raises_anything_but_its_own_error(text: str) -> None:
    message = ""
    try:
        answer: object = VersionRange.parse(text).contains(version("1.32.2"))
    except ValueError as error:
        answer, message = None, str(error)

    assert isinstance(answer, bool) or "write for example" in message
