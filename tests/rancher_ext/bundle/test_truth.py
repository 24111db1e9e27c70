from itertools import product

import pytest

from rancher_ext.bundle.truth import Truth

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


@pytest.mark.parametrize(("values", "together"), [((), T), ((T, T), T), ((T, U), U), ((U, F), F), ((T, U, F), F)])
def test_all_is_false_if_one_is_false_and_unknown_if_one_is_unknown(values, together):
    assert Truth.all(values) is together


@pytest.mark.parametrize(("values", "together"), [((), F), ((F, F), F), ((F, U), U), ((U, T), T), ((T, U, F), T)])
def test_any_is_true_if_one_is_true_and_unknown_if_one_is_unknown(values, together):
    assert Truth.any(values) is together


def test_negation_leaves_unknown_unknown_and_de_morgan_holds():
    assert (~T, ~F, ~U) == (F, T, U)
    for values in product((T, F, U), repeat=3):
        assert ~Truth.all(values) is Truth.any(~value for value in values)


def test_a_truth_is_no_boolean_since_unknown_would_be_either():
    with pytest.raises(TypeError, match="compare"):
        bool(U)


def test_none_is_unknown():
    assert (Truth.of(None), Truth.of(True), Truth.of(False)) == (U, T, F)
