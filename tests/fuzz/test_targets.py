"""Every parser of foreign bytes, a few hundred inputs each. `make fuzz` goes on for as long as one likes."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.inputs import LARGEST, cut_down, havoc, mutated
from tests.fuzz.targets import TARGETS, refused_or_done

# Those that take milliseconds for an input.
_SLOW = {"readers", "diagnosis", "signature", "redaction"}


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_brings_a_parser_down(name):
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(
        max_examples=25 if name in _SLOW else 120, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(mutated(seeds))
    def attempt(data):
        refused_or_done(target, data)

    attempt()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_without_complaint_or_refused_with_a_reason(name):
    seeds = TARGETS[name].seeds()
    assert seeds
    for data in seeds[:: max(1, len(seeds) // 12)]:
        refused_or_done(TARGETS[name], data)


def test_what_fails_is_cut_down_to_what_is_needed():
    assert cut_down(b"some words, a needle, other words", lambda data: b"needle" in data) == b"needle"


def test_inputs_stay_small_and_differ():
    chosen = Random(7)
    drawn = {havoc(chosen, [b"0123456789" * 20]) for _ in range(200)}

    assert len(drawn) > 150
    assert max(map(len, drawn)) <= LARGEST
