"""Does the simulated API answer as a real one does? Each test runs on both, with the same assertions.

Here: the objects that a repair of a cluster's network writes.
"""

import time
from typing import Any

import pytest

from rancher_ext.client.kubernetes import CONFIG_MAPS
from tests.e2e.conftest import Side
from tests.e2e.contract import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC,
    config_map,
    daemon_set,
    daemon_sets,
    make,
    maps,
    node,
    op,
    pod,
    refusal,
)

# --- what a repair writes: Nodes, DaemonSets, Jobs, Leases, CRDs ---


def test_the_pod_range_of_a_node_is_given_once(side: Side, space: str) -> None:
    made = node(side, space)
    path = f"/api/v1/nodes/{space}"

    given = side.json("PATCH", path, {"spec": {"podCIDR": "10.42.1.0/24"}}, content_type=MERGE_PATCH)
    said = refusal(side, "PATCH", path, {"spec": {"podCIDR": "10.42.2.0/24"}}, content_type=MERGE_PATCH)
    taken = refusal(side, "PATCH", path, {"spec": {"podCIDR": None, "podCIDRs": None}}, content_type=MERGE_PATCH)

    assert "podCIDR" not in made["spec"]
    assert (given["spec"]["podCIDR"], given["spec"]["podCIDRs"]) == ("10.42.1.0/24", ["10.42.1.0/24"])
    for each in (said, taken):
        assert (each["code"], each["reason"]) == (422, "Invalid")
        assert each["message"] == (
            f'Node "{space}" is invalid: spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
        )


def test_a_pod_range_that_is_none(side: Side, space: str) -> None:
    node(side, space)

    said = refusal(side, "PATCH", f"/api/v1/nodes/{space}", {"spec": {"podCIDR": "nonsense"}}, content_type=MERGE_PATCH)

    assert said["message"] == (
        f'Node "{space}" is invalid: spec.podCIDRs[0]: Invalid value: "nonsense": must be a valid CIDR value, '
        "(e.g. 10.9.8.0/24 or 2001:db8::/64)"
    )


def test_the_taints_of_a_node(side: Side, space: str) -> None:
    made = node(side, space)
    path = f"/api/v1/nodes/{space}"
    wrong = {"spec": {"taints": [{"key": "a", "effect": "Never"}]}}
    twice = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}}

    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    unsupported = refusal(side, "PATCH", path, wrong, content_type=MERGE_PATCH)
    duplicate = refusal(side, "PATCH", path, twice, content_type=MERGE_PATCH)
    freed = side.json("PATCH", path, {"spec": {"taints": None}}, content_type=MERGE_PATCH)

    assert unsupported["message"] == (
        f'Node "{space}" is invalid: metadata.taints[0].effect: Unsupported value: "Never": '
        'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
    )
    assert duplicate["message"].endswith("taints must be unique by key and effect pair")
    assert "taints" not in freed["spec"]


def test_the_status_of_a_node_has_a_path_of_its_own(side: Side, space: str) -> None:
    node(side, space, providerID="rke2://a")
    path = f"/api/v1/nodes/{space}"
    status = {
        "status": {"conditions": [{"type": "NetworkUnavailable", "status": "False"}]},
        "spec": {"unschedulable": True},
    }

    ignored = side.json("PATCH", path, {"status": status["status"]}, content_type=STRATEGIC)
    patched = side.json("PATCH", path + "/status", status, content_type=STRATEGIC, fieldManager="flannel")

    assert not ignored["status"].get("conditions")
    assert [(each["type"], each["status"]) for each in patched["status"]["conditions"]] == [
        ("NetworkUnavailable", "False")
    ]
    assert "unschedulable" not in patched["spec"]
    written = [(each["manager"], each.get("subresource")) for each in patched["metadata"]["managedFields"]]
    assert ("flannel", "status") in written


def test_a_restart_of_a_daemon_set(side: Side, space: str) -> None:
    """As `kubectl rollout restart` does it."""
    made = side.json("POST", daemon_sets(space), {**daemon_set("a"), "status": {"numberReady": 3}})
    stamp = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-03-03T12:00:00Z"}}}

    patched = side.json("PATCH", daemon_sets(space, "a"), {"spec": {"template": stamp}}, content_type=STRATEGIC)
    labelled = side.json("PATCH", daemon_sets(space, "a"), {"metadata": {"labels": {"a": "b"}}}, content_type=STRATEGIC)

    assert made["status"]["numberReady"] == 0
    assert [each["metadata"]["generation"] for each in (made, patched, labelled)] == [1, 2, 2]
    counted = [each["metadata"]["annotations"]["deprecated.daemonset.template.generation"] for each in (made, patched)]
    assert counted == ["1", "2"]
    assert patched["spec"]["template"]["metadata"]["labels"] == {"app": "a"}


def test_the_selector_of_a_daemon_set_is_given_once(side: Side, space: str) -> None:
    side.json("POST", daemon_sets(space), daemon_set("a"))
    other = [
        op("replace", "/spec/selector/matchLabels/app", "b"),
        op("replace", "/spec/template/metadata/labels/app", "b"),
    ]

    said = refusal(side, "PATCH", daemon_sets(space, "a"), other, content_type=JSON_PATCH)

    assert said["message"] == (
        'DaemonSet.apps "a" is invalid: spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"b"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    )


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        (
            "DaemonSet.apps",
            "/apis/apps/v1/namespaces/default/daemonsets",
            (
                "[spec.template.metadata.labels: Invalid value: map[string]string(nil): `selector` does not match template "
                "`labels`, spec.template.spec.containers: Required value]"
            ),
        ),
        (
            "Job.batch",
            "/apis/batch/v1/namespaces/default/jobs",
            (
                "[spec.template.spec.containers: Required value, spec.template.spec.restartPolicy: Required value: valid values: "
                '"OnFailure", "Never"]'
            ),
        ),
    ],
)
def test_a_workload_without_a_template(side: Side, kind: str, path: str, text: str) -> None:
    said = refusal(side, "POST", path, {"metadata": {"name": "a"}})

    assert (said["code"], said["message"]) == (422, f'{kind} "a" is invalid: {text}')


def test_a_daemon_set_is_deleted_after_its_pods(side: Side, space: str) -> None:
    side.json("POST", daemon_sets(space), daemon_set("a"))

    gone = side.json("DELETE", daemon_sets(space, "a"), {"propagationPolicy": "Foreground"})

    assert (gone["kind"], gone["metadata"]["finalizers"]) == ("DaemonSet", ["foregroundDeletion"])
    assert gone["metadata"]["generation"] == 2
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 0


def test_a_job_leaves_its_pods_behind_unless_told_otherwise(side: Side, space: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{space}/jobs"
    template = {"spec": {"containers": pod("a")["spec"]["containers"], "restartPolicy": "Never"}}
    made = side.json("POST", jobs, {"metadata": {"name": "a"}, "spec": {"template": template}})
    side.json("POST", jobs, {"metadata": {"name": "b"}, "spec": {"template": template}})

    answer = side.call("DELETE", jobs + "/a")
    other = side.call("DELETE", jobs + "/b", {"propagationPolicy": "Background"})

    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["metadata"]["labels"]["job-name"] == "a"
    assert answer.json()["metadata"]["finalizers"] == ["orphan"]
    assert answer.headers["Warning"].startswith('299 - "child pods are preserved by default when jobs are deleted;')
    assert (other.json()["kind"], other.headers.get("Warning")) == ("Status", None)


def test_the_template_of_a_job_is_given_once(side: Side, space: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{space}/jobs"
    template = {"spec": {"containers": pod("a")["spec"]["containers"], "restartPolicy": "Never"}}
    side.json("POST", jobs, {"metadata": {"name": "a"}, "spec": {"template": template}})
    other = [op("replace", "/spec/template/spec/containers/0/image", "registry.example/other")]

    said = refusal(side, "PATCH", jobs + "/a", other, content_type=JSON_PATCH)

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].startswith('Job.batch "a" is invalid: spec.template: Invalid value: core.PodTemplateSpec{')
    assert said["message"].endswith("field is immutable")


def test_a_lease(side: Side, space: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-03-03T12:00:00.000000Z"}

    made = side.json("POST", leases, {"metadata": {"name": "a"}, "spec": spec})
    rough = refusal(
        side, "POST", leases, {"metadata": {"name": "b"}, "spec": {**spec, "renewTime": "2026-03-03T12:00:00Z"}}
    )
    short = refusal(side, "POST", leases, {"metadata": {"name": "b"}, "spec": {**spec, "leaseDurationSeconds": 0}})
    stolen = [op("test", "/spec/holderIdentity", "you"), op("replace", "/spec/holderIdentity", "they")]

    assert made["spec"] == spec
    assert "generation" not in made["metadata"]
    assert (rough["code"], short["code"]) == (400, 422)
    assert short["message"] == (
        'Lease.coordination.k8s.io "b" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'
    )
    assert refusal(side, "PATCH", leases + "/a", stolen, content_type=JSON_PATCH)["code"] == 422


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def crd(plural: str, **version: Any) -> dict[str, Any]:
    names_ = {"plural": plural, "kind": plural.title()}
    versions = [{"name": "v1", "served": True, "storage": True, **version}]
    spec = {"group": "drover.test", "names": names_, "scope": "Namespaced", "versions": versions}
    return {"metadata": {"name": f"{plural}.drover.test"}, "spec": spec}


def test_a_crd_needs_a_schema_and_is_established_soon(side: Side) -> None:
    said = refusal(side, "POST", CRDS, crd("things"))
    made = side.json("POST", CRDS, crd("things", schema={"openAPIV3Schema": {"type": "object"}}))

    assert said["message"] == (
        'CustomResourceDefinition.apiextensions.k8s.io "things.drover.test" is invalid: '
        "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"
    )
    assert not made["status"]["conditions"]
    assert made["spec"]["names"]["listKind"] == "ThingsList"
    deadline = time.monotonic() + 120
    found: list[tuple[str, str]] = []
    # The names are accepted first; for a moment it says that it is not established.
    while ("Established", "True") not in found:
        assert time.monotonic() < deadline, found
        conditions = side.json("GET", CRDS + "/things.drover.test")["status"]["conditions"]
        found = [(each["type"], each["status"]) for each in conditions or []]
    assert found == [("NamesAccepted", "True"), ("Established", "True")]


def test_a_deletion_bound_to_an_old_version_is_a_conflict(side: Side, space: str) -> None:
    (made,) = make(side, space, "a", x="1")
    side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": "2"}})
    old, new = made["metadata"]["resourceVersion"], side.json("GET", maps(space, "a"))["metadata"]["resourceVersion"]

    said = refusal(side, "DELETE", maps(space, "a"), {"preconditions": {"resourceVersion": old}})

    assert (said["code"], said["reason"], said["details"]) == (409, "Conflict", {"name": "a", "kind": "ConfigMap"})
    assert said["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition ({old}) does not match '
        f"the ResourceVersion in record ({new}). The object might have been modified"
    )


def test_a_propagation_policy_that_is_none(side: Side, space: str) -> None:
    make(side, space, "a")

    said = refusal(side, "DELETE", maps(space, "a"), {"propagationPolicy": "Sideways"})

    assert said["message"] == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": '
        'supported values: "Foreground", "Background", "Orphan", "nil"'
    )


def test_a_dry_run_of_a_deletion_answers_like_one(side: Side, space: str) -> None:
    (made,) = make(side, space, "a")

    said = side.json("DELETE", maps(space, "a"), dryRun="All")

    assert (said["status"], said["details"]["uid"]) == ("Success", made["metadata"]["uid"])
    assert side.call("GET", maps(space, "a")).ok


def test_nobody_adds_a_finalizer_to_what_is_going(side: Side, space: str) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["drover.test/hold"]
    side.json("POST", maps(space), body)
    side.json("DELETE", maps(space, "a"))
    more = {"metadata": {"finalizers": ["drover.test/hold", "drover.test/more"]}}

    said = refusal(side, "PATCH", maps(space, "a"), more, content_type=MERGE_PATCH)

    assert said["message"].endswith('if the object is being deleted, found new finalizers []string{"drover.test/more"}')
