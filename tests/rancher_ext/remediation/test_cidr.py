"""Do no two nodes ever share a pod range, whoever computes it and in whatever order it is written?"""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.remediation.cidr import Unfit, assign, overlap, parse

V4, V6 = "10.42.0.0/20", "2001:cafe:42::/56"


def test_the_lowest_free_block_goes_to_the_first_name():
    held = {"b": ("10.42.0.0/24",), "d": ("10.42.2.0/24",)}
    assert assign(["c", "a"], held, [V4], {}) == {"a": ("10.42.1.0/24",), "c": ("10.42.3.0/24",)}


def test_both_families_of_a_dual_stack_cluster_get_a_block():
    held = {"a": ("10.42.0.0/24", "2001:cafe:42::/64")}
    assert assign(["b"], held, [V4, V6], {}) == {"b": ("10.42.1.0/24", "2001:cafe:42:1::/64")}


def test_the_configured_size_is_used():
    assert assign(["a", "b"], {}, ["10.42.0.0/16"], {4: 26}) == {"a": ("10.42.0.0/26",), "b": ("10.42.0.64/26",)}


@pytest.mark.parametrize(
    ("held", "cluster", "masks", "why"),
    [
        ({}, ["10.42.0.0/23"], {}, "is used up: 2 free blocks of /24 for 3 nodes"),
        ({"x": ("10.43.0.0/24",)}, [V4], {}, "of x lies outside the cluster's 10.42.0.0/20"),
        ({"x": ("10.42.0.0/24",), "y": ("10.42.0.0/24",)}, [V4], {}, "x and y already share"),
        ({"x": ("10.42.0.0/25",)}, [V4], {}, "x has a /25 while the configuration says /24"),
        ({"x": ("fd00::/64",)}, [V4], {}, "lies outside"),
        ({"x": ("10.42.0.7/24",)}, [V4], {}, "is not a network"),
        ({}, ["10.42.0.0"], {4: 8}, "blocks of /8 cannot be cut"),
        ({}, ["ten"], {}, "'ten' is not a network"),
        ({}, [V4, "10.44.0.0/16"], {}, "one per address family"),
        ({}, [], {}, "one per address family"),
        ({}, ["2001:cafe::/40"], {}, "blocks of /64 cannot be cut"),
    ],
)
def test_what_does_not_fit_is_left_to_people(held, cluster, masks, why):
    answer = assign(["a", "b", "c"], held, cluster, masks)
    assert isinstance(answer, Unfit)
    assert why in answer.why


BLOCKS = [str(block) for block in ipaddress.ip_network(V4).subnets(new_prefix=24)]
HELD = st.lists(st.sampled_from(BLOCKS), unique=True, max_size=12).map(
    lambda blocks: {f"held-{number}": (block,) for number, block in enumerate(blocks)}
)
NAMES = st.lists(st.sampled_from([f"new-{number}" for number in range(8)]), unique=True, max_size=6)


@given(HELD, NAMES, st.randoms())
def test_no_two_nodes_share_a_range_and_the_order_of_the_facts_does_not_matter(held, names, random):
    answer = assign(names, held, [V4], {})
    shuffled, items = list(names), list(held.items())
    random.shuffle(shuffled)
    random.shuffle(items)
    assert assign(shuffled, dict(items), [V4], {}) == answer
    if isinstance(answer, Unfit):
        assert len(names) + len(held) > len(BLOCKS)
        return
    assert set(answer) == set(names)
    everybody = held | answer
    for name, ranges in everybody.items():
        assert overlap(ranges, {other: each for other, each in everybody.items() if other != name}) is None


@given(HELD, st.permutations([f"new-{number}" for number in range(6)]), st.integers(1, 6))
def test_whoever_starts_late_never_gets_what_was_written_meanwhile(held, order, seen):
    """Writers that see different nodes: each writes what it computed only after it has checked against all nodes."""
    nodes = dict(held)
    plans = [
        assign(order[:seen], held, [V4], {}),
        assign(order, held, [V4], {}),
        assign(order[seen - 1 :], held, [V4], {}),
    ]
    for name in order:
        for plan in plans:
            if isinstance(plan, Unfit) or name not in plan or name in nodes:
                continue
            if overlap(plan[name], nodes) is None:
                nodes[name] = plan[name]
    for name, ranges in nodes.items():
        assert overlap(ranges, {other: each for other, each in nodes.items() if other != name}) is None


@pytest.mark.parametrize("text", ["10.42.0.0/16", " 10.42.0.0/16 ", "2001:cafe:42::/56"])
def test_networks_are_read(text):
    assert parse(text) is not None


@pytest.mark.parametrize("text", ["", "10.42.0.1/16", "x", "10.42.0.0/33"])
def test_what_is_no_network_is_none(text):
    assert parse(text) is None
