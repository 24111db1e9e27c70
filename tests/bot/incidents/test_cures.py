"""What does the log of a playbook tell the brakes?"""

from datetime import timedelta

from bot.incidents.cures import KEPT, CureLog, CureRun
from tests.builders import NOON, hours, minutes

DAY = hours(24)


def run(incident: str, began: timedelta, *, attempt: int = 1, signature: str = "one", version: str = "v1") -> CureRun:
    """`began` so long before noon. The cluster is named like the incident."""
    return CureRun(incident, attempt, f"cluster-{incident}", signature, version, NOON - began)


def asked(log: CureLog, incident: str = "me", signature: str = "one", version: str = "v1"):
    return log.elsewhere(incident, signature, version, NOON, DAY)


def log(*ended: tuple[str, timedelta, bool]) -> CureLog:
    """Runs that ended: incident, so long ago, healed or not."""
    made = CureLog()
    for incident, ago, healed in ended:
        made = made.begin(run(incident, ago + minutes(20))).end(incident, NOON - ago, healed=healed)
    return made


def test_an_empty_log_holds_nothing():
    found = asked(CureLog.from_json(None))
    assert (found.signature_begun, found.playbook_begun, found.goes_first, found.proven, found.failures) == (
        0,
        0,
        "",
        False,
        0,
    )


def test_cures_count_for_an_hour_by_signature_and_by_playbook():
    made = CureLog().begin(run("a", minutes(59))).begin(run("b", minutes(5), signature="two")).begin(run("c", hours(1)))
    found = asked(made)
    assert (found.signature_begun, found.playbook_begun) == (1, 2)


def test_ones_own_running_cure_does_not_count_and_ones_own_earlier_one_does():
    made = log(("me", minutes(30), False)).begin(run("me", minutes(1), attempt=2))
    found = asked(made)
    assert (found.signature_begun, found.goes_first) == (1, "")


def test_the_first_that_runs_goes_first_until_it_is_healed():
    made = CureLog().begin(run("a", minutes(10)))
    assert asked(made).goes_first == "cluster-a"
    healed = asked(made.end("a", NOON, healed=True))
    assert (healed.goes_first, healed.proven, healed.fell_through) == ("", True, "")
    failed = asked(made.end("a", NOON, healed=False))
    assert (failed.goes_first, failed.proven, failed.fell_through) == ("", False, "cluster-a")


def test_another_signature_or_another_version_of_the_playbook_is_another_cure():
    made = CureLog().begin(run("a", minutes(10)))
    assert asked(made, signature="two").goes_first == ""
    assert asked(made, version="v2").goes_first == ""
    assert not asked(log(("a", minutes(1), True)), version="v2").proven


def test_what_healed_is_proven_for_a_while():
    assert asked(log(("a", DAY, True))).proven
    assert not asked(log(("a", DAY + minutes(1), True))).proven


def test_a_cure_whose_end_nobody_noted_does_not_go_first_for_ever():
    assert asked(CureLog().begin(run("a", hours(24)))).goes_first == ""


def test_failures_count_from_the_last_success():
    made = log(("a", hours(5), False), ("b", hours(4), True), ("c", hours(3), False), ("d", hours(2), False))
    assert made.failures == 2
    assert log(("c", hours(3), False), ("d", hours(2), False), ("e", hours(1), True)).failures == 0


def test_they_count_in_the_order_in_which_they_ended():
    made = CureLog().begin(run("slow", hours(3))).begin(run("fast", hours(2)))
    made = made.end("fast", NOON - hours(1), healed=True).end("slow", NOON, healed=False)
    assert made.failures == 1


def test_resuming_forgets_the_failures_before_and_no_later_one():
    made = log(("a", hours(3), False), ("b", hours(2), False)).resume(NOON - hours(1))
    assert made.failures == 0
    assert asked(made).fell_through == ""
    later = made.begin(run("c", minutes(20))).end("c", NOON, healed=False)
    assert later.failures == 1
    assert asked(later).fell_through == "cluster-c"


def test_noted_twice_is_noted_once():
    once = CureLog().begin(run("a", minutes(10)))
    assert once.begin(run("a", minutes(9))) == once
    ended = once.end("a", NOON, healed=True)
    assert ended.end("a", NOON + hours(1), healed=False) == ended
    assert CureLog().end("a", NOON, healed=False) == CureLog()


def test_a_second_attempt_ends_a_first_one_that_was_left_without_a_word():
    made = CureLog().begin(run("a", minutes(30))).begin(run("a", minutes(10), attempt=2))
    assert [each.ended is None for each in made.runs] == [False, True]
    assert made.failures == 1


def test_it_survives_json_and_does_not_grow_for_ever():
    made = log(("a", hours(3), False)).resume(NOON).begin(run("b", minutes(1)))
    assert CureLog.from_json(made.to_json()) == made
    for number in range(KEPT + 10):
        made = made.begin(run(f"x{number}", minutes(1)))
    assert len(made.runs) == KEPT
