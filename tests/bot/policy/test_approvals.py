"""Whose agreement counts, to what, until when?"""

import pytest

from bot.policy.approvals import Approval, names_plan, valid_approvals
from bot.policy.roles import Who
from tests.builders import NOON, hours, minutes

DIGEST = "7f3a9c21" + "0" * 56


@pytest.mark.parametrize("given", ["7f3a9c", "7F3A9C", "7f3a9c21", DIGEST, DIGEST.upper()])
def test_six_digits_or_more_name_the_plan(given):
    assert names_plan(given, DIGEST)


@pytest.mark.parametrize(
    "given", ["", "7f3a9", "7f3a9d", "7f3a9g", "f3a9c2", DIGEST + "0", "7f3a9c ", "7f3a9c\n", ".{6,}", "٧f3a9c"]
)
def test_what_names_no_plan(given):
    assert not names_plan(given, DIGEST)


def test_an_approval_survives_json():
    approval = Approval("maria", "maintain", DIGEST, NOON, 9001, "2026-10-02T12:00:00+00:00", ("acme/sre",))
    assert Approval.from_json(approval.to_json()) == approval


def test_an_approval_of_an_older_drover_is_read_and_counts_for_no_team():
    raw = Approval("maria", "admin", DIGEST, NOON, 9001, "2026-10-02T12:00:00+00:00").to_json()
    del raw["teams"]
    old = Approval.from_json(raw)
    assert valid_approvals([old], DIGEST, Who("admin"), hours(24), NOON) == [old]
    assert valid_approvals([old], DIGEST, Who(teams=("acme/sre",)), hours(24), NOON) == []


@pytest.mark.parametrize(
    ("teams", "counts"),
    [((), False), (("acme/sre",), False), (("acme/sre", "acme/dba"), True), (("acme/dba", "x/y", "acme/sre"), True)],
)
def test_who_is_asked_for_by_role_and_teams_has_to_be_all_of_it(teams, counts):
    who = Who("maintain", ("acme/sre", "acme/dba"))
    assert who.is_met("maintain", teams) is counts
    assert not who.is_met("write", teams)
    assert who.told() == "with the role maintain or higher, in the teams acme/sre and acme/dba"


def test_the_first_approval_of_a_person_is_the_one_that_counts():
    first = Approval("maria", "write", DIGEST, NOON - hours(3), 1)
    again = Approval("Maria", "admin", DIGEST, NOON - minutes(1), 2)
    assert valid_approvals([first, again], DIGEST, Who("write"), hours(24), NOON) == [first]
    assert valid_approvals([first, again], DIGEST, Who("admin"), hours(24), NOON) == [again]
