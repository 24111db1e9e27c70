"""Which moves may an incident make? Every pair of states is one or the other."""

import itertools

import pytest

from bot.incidents.incident import MOVES, IllegalMoveError, State, check_move, first_signature, incident_id

ILLEGAL = [(a, b) for a, b in itertools.product(State, State) if a is not b and b not in MOVES[a]]
LEGAL = [(a, b) for a in State for b in sorted(MOVES[a])]


@pytest.mark.parametrize(("current", "new"), LEGAL)
def test_a_legal_move_is_let_through(current, new):
    check_move(current, new)


@pytest.mark.parametrize(("current", "new"), ILLEGAL)
def test_an_illegal_move_is_a_bug_and_names_both_states(current, new):
    with pytest.raises(IllegalMoveError, match=f"from {current.value} to {new.value}$"):
        check_move(current, new)


@pytest.mark.parametrize("state", State)
def test_staying_is_always_legal(state):
    check_move(state, state)


def test_every_state_has_its_moves():
    assert set(MOVES) == set(State)


def test_what_is_over_stays_over_and_everything_else_can_end():
    assert {state for state in State if state.over} == {State.RESOLVED, State.SUPERSEDED}
    for state in State:
        reached, front = {state}, {state}
        while front:
            front = {new for each in front for new in MOVES[each]} - reached
            reached |= front
        assert any(each.over for each in reached)
        assert not (state.over and MOVES[state])


def test_nothing_is_changed_without_a_look_before_and_a_proof_or_an_undo_after():
    into = {state for state in State if State.REMEDIATING in MOVES[state]}
    assert into == {State.REPORTED, State.AWAITING_APPROVAL, State.SNOOZED}
    assert {state for state in State if State.RESOLVED in MOVES[state]} == {State.VERIFYING}
    assert State.SUPERSEDED not in MOVES[State.REMEDIATING] | MOVES[State.VERIFYING] | MOVES[State.ROLLING_BACK]


def test_ids_are_made_of_what_makes_an_incident():
    assert incident_id("eu", "0f9a", 2) == "incident:eu:0f9a:2"


@pytest.mark.parametrize(
    "diagnosis",
    [
        None,
        {},
        {"verdict": "cni-failure", "findings": []},
        {"verdict": "other-failure", "findings": [{"signature": "x"}]},
    ],
)
def test_only_a_network_failure_has_a_first_signature(diagnosis):
    assert first_signature(diagnosis) is None
    assert first_signature({"verdict": "cni-failure", "findings": [{"signature": "a"}, {"signature": "b"}]}) == "a"
