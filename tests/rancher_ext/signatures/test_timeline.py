"""The moments that evidence dates, in order and few."""

from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue.analyze import diagnose_bundle
from rancher_ext.signatures.timeline import SHOWN
from tests.rancher_ext.signatures.builders import a_signature

KUBELET = "logs/kubelet/w1.log"


def told(files, *signatures):
    return diagnose_bundle(Bundle.of(files), signatures or [a_signature()]).timeline


def test_lines_conditions_and_events_stand_in_order():
    entries = told(
        {
            "conditions.txt": "Provisioned  True     2025-03-04T09:00:00Z\nWaiting  Unknown  2025-03-04T09:05:00Z   Waiting for API\n",
            KUBELET: "2025-03-04T09:07:00.000000000Z E0304 09:07:00.1  8 main.go:268] so BROKEN\n",
        }
    )

    assert [(entry.to_json()["at"], entry.text) for entry in entries] == [
        ("2025-03-04T09:00:00Z", "cluster: Provisioned is True"),
        ("2025-03-04T09:05:00Z", "cluster: Waiting is Unknown: Waiting for API"),
        ("2025-03-04T09:07:00Z", "kubelet on w1: so BROKEN"),
    ]
    assert entries[2].finding == "sample"
    assert (entries[2].source, entries[2].line) == (KUBELET, 1)


@pytest.mark.parametrize(
    "line",
    [
        "2025-03-04T09:07:00.123456789Z stderr F E0304 09:07:00.401117       1 main.go:268] so BROKEN",
        "Mar 04 09:07:00 w1 kubelet[812]: E0304 09:07:00.401117     812 kubelet.go:2855] so BROKEN",
        "Mar 04 09:07:00 w1 kubelet[812]: so BROKEN",
        "2025-03-04 09:07:00 so BROKEN",
    ],
)
def test_stamps_are_told_once(line):
    assert told({KUBELET: line + "\n"})[0].text == "kubelet on w1: so BROKEN"


def test_what_a_hundred_pods_say_is_told_once_with_its_first_time():
    files = {
        f"logs/kube-system/canal-{name}/kube-flannel.log": f"2025-03-04T09:{minute}:00Z BROKEN at 10.0.0.{minute}\n"
        for name, minute in (("aaaaa", 12), ("bbbbb", 11), ("ccccc", 13))
    }

    [entry] = told(files)

    assert entry.to_json()["at"] == "2025-03-04T09:11:00Z"
    assert entry.alike == 2


def test_a_line_that_is_evidence_of_two_findings_is_one_moment():
    entries = told({KUBELET: "2025-03-04T09:07:00Z BROKEN\n"}, a_signature("one"), a_signature("two"))

    assert len(entries) == 1


def test_years_and_zones_that_are_not_known_are_not_made_up():
    entries = told({KUBELET: "Mar 04 09:07:00 w1 kubelet[9]: BROKEN\n"})

    document = entries[0].to_json()
    assert (document["at"], document["when"]) == (None, "Mar 04 09:07:00")
    dated = told({KUBELET: "2025-03-04 09:07:00 BROKEN\n"})[0].to_json()
    assert (dated["at"], dated["when"]) == ("2025-03-04T09:07:00", "2025-03-04 09:07:00")


def test_ages_without_a_time_of_collection_come_last():
    events = "kube-system   22m   Warning   BackOff   pod/canal-aaaaa   Back-off BROKEN\n"
    entries = told({"events.txt": events, KUBELET: "2025-03-04T09:07:00Z BROKEN\n"})

    assert [entry.to_json()["when"] for entry in entries] == [
        "2025-03-04 09:07:00 UTC",
        "22 min before it was collected",
    ]
    assert entries[1].text == "Pod canal-aaaaa: BackOff: Back-off BROKEN"


def test_nodes_tell_when_they_became_what_they_are():
    node = """{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1"}, "status": {"conditions": [{"type": "Ready",
      "status": "False", "reason": "KubeletNotReady", "message": "m", "lastTransitionTime": "2025-03-04T09:01:00Z"}]}}"""

    [entry] = told({"objects/downstream/nodes/_/w1.json": node})

    assert entry.text == "node w1: Ready is False (KubeletNotReady)"
    assert entry.moment.at == datetime(2025, 3, 4, 9, 1, tzinfo=UTC)


def test_it_stays_short_and_keeps_what_the_findings_rest_on():
    rows = "".join(
        f"cluster/c   {kind}   True   2025-03-04T08:{minute:02}:00Z   -   {kind} message\n"
        for minute, kind in enumerate(f"Kind{letter}" for letter in "ABCDEFGHIJKLMNOPQRST")
    )
    entries = told({"conditions.txt": rows, KUBELET: f"2025-03-04T09:07:00Z BROKEN {'x ' * 400}\n"})

    assert len(entries) == SHOWN
    assert entries[-1].finding == "sample"
    assert len(entries[-1].text) <= 160


def test_without_any_time_there_is_no_timeline():
    assert told({KUBELET: "BROKEN\n"}) == ()
