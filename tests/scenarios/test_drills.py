"""Whole incidents with a cure that works, and one that does not: mended, or everything as it was. The table runs many more."""

import pytest

from tests.scenarios.drill import Injected, Result, drill
from tests.scenarios.table import BEGIN, END, QUICK, all_drills, rows, summary, write_between

GOOD = Result(
    "a@rke2-canal", Injected.NO_EFFECT, "mend-a", ("act",), "exact", "rolled-back", "yes", "why", good=True, took=1.0
)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scenario", "injected"), QUICK)
def test_it_ends_as_it_has_to(scenario, injected):
    result = drill(scenario, injected, patience=300)
    assert result.good, result


def test_every_trouble_is_drilled_with_a_cure_that_works_and_one_that_does_not():
    drills = all_drills()
    assert len(drills) == len(set(drills))
    cured = {scenario for scenario, injected in drills if injected is Injected.NOTHING}
    assert {scenario for scenario, injected in drills if injected is Injected.NO_EFFECT} <= cured
    assert {injected for _, injected in drills} == set(Injected)


def test_the_table_has_a_row_for_each_drill_and_the_summary_one_for_each_playbook():
    assert (
        rows([GOOD, GOOD])[2:] == ["| a | rke2-canal | mend-a | exact | cure has no effect | rolled-back | yes |"] * 2
    )
    assert summary([GOOD, GOOD])[2:] == ["| mend-a | exact | 2 | 0 of 0 | 2 of 2 | 0 |"]


def test_only_what_stands_between_the_markers_is_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    assert write_between(page, ["new"])
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no markers", encoding="utf-8")
    assert not write_between(page, ["new"])
    assert page.read_text(encoding="utf-8") == "no markers"
