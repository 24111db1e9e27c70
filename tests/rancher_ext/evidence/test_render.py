"""Listings as kubectl prints them."""

from datetime import UTC, datetime, timedelta

import pytest

from rancher_ext.evidence.render import condition_rows, event_table, pod_status, short_duration, table

NOON = datetime(2026, 10, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (182, "3m2s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_460, "3h11m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (190_800, "2d5h"),
        (8 * 86_400, "8d"),
        (800 * 86_400, "2y"),
    ],
)
def test_durations_are_short_in_kubectls_way(seconds, shown):
    assert short_duration(timedelta(seconds=seconds)) == shown


def test_columns_are_as_wide_as_their_widest_cell_and_a_cell_is_one_line():
    assert table(("A", "B", "C"), [("long", "x", "two\nlines  here"), ("s", "yy", "")]) == (
        "A      B    C\nlong   x    two lines here\ns      yy   \n"
    )


def a_pod(phase="Running", *, init=(), containers=(), **metadata):
    return {
        "metadata": metadata,
        "spec": {"initContainers": [{}] * len(init)},
        "status": {"phase": phase, "initContainerStatuses": list(init), "containerStatuses": list(containers)},
    }


def waiting(reason):
    return {"state": {"waiting": {"reason": reason}}}


def ended(code, **more):
    return {"state": {"terminated": {"exitCode": code, **more}}}


RUNNING = {"ready": True, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("pod", "shown"),
    [
        (a_pod("Pending"), "Pending"),
        (a_pod(containers=[RUNNING]), "Running"),
        (a_pod(containers=[RUNNING, waiting("CrashLoopBackOff")]), "CrashLoopBackOff"),
        (a_pod("Pending", containers=[waiting("ImagePullBackOff")]), "ImagePullBackOff"),
        (a_pod(containers=[ended(1, reason="Error")]), "Error"),
        (a_pod(containers=[ended(3)]), "ExitCode:3"),
        (a_pod(containers=[ended(137, signal=9)]), "Signal:9"),
        (a_pod("Succeeded", containers=[ended(0, reason="Completed")]), "Completed"),
        (a_pod(containers=[ended(0, reason="Completed"), RUNNING]), "Running"),
        (a_pod("Pending", init=[ended(0), waiting("PodInitializing")]), "Init:1/2"),
        (a_pod("Pending", init=[waiting("CrashLoopBackOff")]), "Init:CrashLoopBackOff"),
        (a_pod("Pending", init=[ended(1, reason="Error")]), "Init:Error"),
        (a_pod("Pending", init=[ended(2)]), "Init:ExitCode:2"),
        (a_pod(init=[{"started": True, **RUNNING}], containers=[RUNNING]), "Running"),
        (a_pod(init=[ended(0)], containers=[RUNNING]), "Running"),
        (a_pod(containers=[RUNNING], deletionTimestamp="2026-10-02T11:00:00Z"), "Terminating"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        ({}, "Unknown"),
    ],
)
def test_the_status_of_a_pod_is_what_kubectl_shows(pod, shown):
    assert pod_status(pod) == shown


def test_an_event_without_times_or_object_still_has_all_its_columns():
    row = event_table([{"message": "odd"}], NOON).splitlines()[1].split()

    assert row == ["default", "<unknown>", "Normal", "Unknown", "Object/unknown", "odd"]


def test_an_event_of_the_newer_api_is_read_from_its_own_fields():
    event = {
        "metadata": {"namespace": "kube-system"},
        "regarding": {"kind": "Pod", "name": "canal-x"},
        "note": "Back-off restarting",
        "type": "Warning",
        "reason": "BackOff",
        "eventTime": "2026-10-02T11:00:00.000000Z",
        "series": {"count": 9, "lastObservedTime": "2026-10-02T11:59:00.000000Z"},
    }

    assert "60s (x9 over 60m)   Warning   BackOff   Pod/canal-x   Back-off restarting" in event_table([event], NOON)


def test_a_condition_without_a_usable_type_is_left_out():
    assert condition_rows("cluster/x", [{"type": "two words", "status": "True"}, {"status": "True"}, "odd"]) == ""
