"""Alertmanager's webhook: which clusters it names, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.errors import BadInput
from rancher_ext.listeners.payloads import Payload, gather
from rancher_ext.listeners.payloads.alertmanager import PAYLOAD, clusters


def an_alert(status="firing", **labels):
    return {
        "status": status,
        "labels": {"alertname": "ClusterStuck", **labels},
        "annotations": {"summary": "…"},
        "startsAt": "2026-10-02T09:20:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": "6f1c2d3e4a5b6c7d",
    }


def a_notification(*alerts, **more):
    return {
        "version": "4",
        "groupKey": '{}:{alertname="ClusterStuck"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "drover",
        "externalURL": "http://alertmanager.example",
        "groupLabels": {"alertname": "ClusterStuck"},
        "commonLabels": {"alertname": "ClusterStuck"},
        "commonAnnotations": {},
        "alerts": list(alerts),
        **more,
    }


def test_each_cluster_is_named_once_in_the_order_of_the_alerts():
    document = a_notification(
        an_alert(cluster_id="c-m-b"), an_alert(cluster_id="c-m-a"), an_alert(cluster_id="c-m-b", node="n2")
    )

    assert clusters(document) == ("c-m-b", "c-m-a")


def test_a_resolved_alert_is_a_reason_to_look_as_well():
    assert clusters(a_notification(an_alert("resolved", cluster="edge-7"))) == ("edge-7",)


def test_the_first_label_of_the_list_wins():
    alert = an_alert(cluster_name="Edge 7", cluster="edge-7", cluster_id="c-m-8jq5fz7k")

    assert clusters(a_notification(alert)) == ("c-m-8jq5fz7k",)


def test_the_labels_are_the_configured_ones():
    alert = an_alert(cluster_id="c-m-8jq5fz7k", rancher_cluster="edge-7")

    assert clusters(a_notification(alert), ["rancher_cluster"]) == ("edge-7",)


def test_an_empty_label_gives_way_to_the_next():
    assert clusters(a_notification(an_alert(cluster_id=" ", cluster="edge-7"))) == ("edge-7",)


def test_the_labels_of_the_group_serve_alerts_that_name_no_cluster():
    document = a_notification(an_alert(), an_alert(cluster="edge-8"), commonLabels={"cluster": "edge-7"})

    assert clusters(document) == ("edge-7", "edge-8")


def test_what_alertmanager_may_add_later_does_no_harm():
    document = a_notification({**an_alert(cluster="edge-7"), "newField": [1]}, newField={"a": None})

    assert clusters(document) == ("edge-7",)


def test_a_notification_without_alerts_names_nobody():
    assert clusters(a_notification()) == ()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "the document"),
        ([], "the document"),
        ("text", "the document"),
        ({}, "version: Field required"),
        (a_notification(version="3"), "of version '3', not '4'"),
        (a_notification(version=4), "version: Input should be a valid string"),
        (a_notification(alerts={}), "alerts: Input should be a valid list"),
        (a_notification("x"), "alerts.0"),
        (a_notification({"labels": "x"}), "alerts.0.labels"),
        (a_notification(an_alert()), "none of the 1 alerts names a cluster in one of the labels cluster_id, cluster"),
        (a_notification(an_alert(cluster=7)), "none of the 1 alerts"),
        (a_notification(an_alert(cluster="x" * 300)), "none of the 1 alerts"),
    ],
)
def test_what_is_not_a_notification_is_refused_with_a_cure(document, said):
    with pytest.raises(BadInput) as caught:
        clusters(document)

    assert said in caught.value.message
    assert caught.value.cure


def test_the_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(BadInput) as caught:
        clusters(a_notification({"labels": "hunter2"}, version="4"))

    assert "hunter2" not in str(caught.value) + caught.value.cure
    assert caught.value.__cause__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just("4") | JSON,
        "alerts": st.lists(st.fixed_dictionaries({}, optional={"status": JSON, "labels": st.dictionaries(st.sampled_from(["cluster", "cluster_id", "x"]), JSON) | JSON}) | JSON, max_size=4) | JSON,
        "commonLabels": JSON,
    },
)  # fmt: skip


@given(JSON | NEARLY)
def test_no_json_makes_it_raise_anything_but_bad_input(document):
    try:
        found = clusters(document)
    except BadInput:
        return
    assert all(isinstance(name, str) and name.strip() for name in found)
    assert len(set(found)) == len(found)


def test_the_format_is_found_by_its_name():
    assert gather()["alertmanager"] is PAYLOAD
    assert isinstance(PAYLOAD, Payload)
