"""Collecting: deadlines, caps, and failures that are evidence."""

import json
import threading

import pytest

from rancher_ext.bundle.bundle import MANIFEST, Manifest
from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.errors import ClusterUnavailable, Forbidden, ServerFailed
from rancher_ext.evidence.collect import Caps, Collector, Side, gather, object_path
from rancher_ext.evidence.kinds import CONFIG_MAP, EVENT, NODE, PROVISIONING_CLUSTER, without_secret_documents
from rancher_ext.fleet.cluster import Distribution


def brings(*items, name="one", needs=Side.MANAGEMENT, **more):
    return Collector(name, needs, lambda _: iter(items), **more)


def report(bundle, name="one"):
    return next(report for report in bundle.collectors if report.name == name)


def test_what_a_collector_brings_is_in_the_bundle_and_its_report_says_so(gathered, a_snapshot):
    bundle = gathered(a_snapshot(), brings(("logs/a.log", "text\n"), ("objects/x.json", {"kind": "X"})))

    assert bundle["logs/a.log"].read_bytes() == b"text\n"
    assert json.loads(bundle["objects/x.json"].read_bytes()) == {"kind": "X"}
    assert report(bundle).status is CollectorStatus.OK
    assert report(bundle).files == ("logs/a.log", "objects/x.json")
    assert report(bundle).reason is None


def test_the_manifest_in_the_bundle_names_the_cluster_and_can_be_read_back(gathered, a_snapshot):
    bundle = gathered(a_snapshot(), brings())

    manifest = Manifest.from_json(json.loads(bundle[MANIFEST].read_bytes()))
    assert manifest == bundle.manifest
    assert manifest.cluster_id == "c-m-8jq5fz7k"
    assert (manifest.distribution, manifest.cni, manifest.kubernetes) == ("rke2", "canal", "v1.32.8+rke2r1")
    assert manifest.rancher_version == "v2.11.3"


def test_a_downstream_collector_is_skipped_with_the_reason_when_rancher_has_no_connection(gathered, a_snapshot):
    bundle = gathered(a_snapshot(connected=False), brings(("a.txt", "x"), needs=Side.DOWNSTREAM))

    assert report(bundle).status is CollectorStatus.SKIPPED
    assert report(bundle).reason == "Rancher has no connection to the cluster"
    assert "a.txt" not in bundle


def test_a_cut_off_rke1_cluster_is_still_asked_through_its_nodes(gathered, a_snapshot):
    snapshot = a_snapshot(distribution=Distribution.RKE1, cluster_id="c-7x2kd", connected=False)

    bundle = gathered(snapshot, brings(("a.txt", "x"), needs=Side.DOWNSTREAM))

    assert report(bundle).status is CollectorStatus.OK


def test_a_collector_that_makes_no_sense_for_the_cluster_is_skipped_and_says_why(gathered, a_snapshot):
    bundle = gathered(a_snapshot(), brings(("a.txt", "x"), applies=lambda _: False))

    assert report(bundle).status is CollectorStatus.SKIPPED
    assert report(bundle).reason == "does not apply to this cluster (provisioned, rke2)"


def test_what_a_late_collector_brought_before_its_deadline_is_kept(gathered, a_snapshot):
    hold = threading.Event()

    def run(_):
        yield "first.txt", "in time"
        hold.wait(5)
        yield "second.txt", "too late"

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run, timeout=0.1), brings(name="two"))
    hold.set()

    assert report(bundle).status is CollectorStatus.PARTIAL
    assert report(bundle).reason == "not finished after 0.1 s"
    assert report(bundle).files == ("first.txt",)
    assert "second.txt" not in bundle
    assert report(bundle, "two").status is CollectorStatus.OK


def test_what_a_straggler_brings_while_others_still_work_is_not_in_the_bundle(gathered, a_snapshot):
    """The report has been written by then: the bundle must not hold what no report names."""
    reported, brought = threading.Event(), threading.Event()

    def straggle(_):
        reported.wait(5)
        try:
            yield "late.txt", "x"
        finally:
            brought.set()

    def work(_):
        brought.wait(5)
        yield "in-time.txt", "x"

    bundle = gathered(
        a_snapshot(),
        Collector("one", Side.MANAGEMENT, straggle, timeout=0.05),
        Collector("two", Side.MANAGEMENT, work),
        progress=lambda _done, _of, name: reported.set() if name == "one" else None,
    )

    assert report(bundle).files == ()
    assert "late.txt" not in bundle
    assert "in-time.txt" in bundle


def test_a_late_collector_without_anything_has_failed(gathered, a_snapshot):
    hold = threading.Event()

    def run(_):
        hold.wait(5)
        yield from ()

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run, timeout=0.05))
    hold.set()

    assert report(bundle).status is CollectorStatus.FAILED


def test_hanging_collectors_do_not_keep_the_waiting_ones_from_running(gathered, a_snapshot):
    hold = threading.Event()

    def hang(_):
        hold.wait(5)
        yield from ()

    hanging = [Collector(f"hang{n}", Side.MANAGEMENT, hang, timeout=0.05) for n in range(3)]
    bundle = gathered(a_snapshot(), *hanging, brings(("a.txt", "x"), name="last"), workers=1)
    hold.set()

    assert report(bundle, "last").status is CollectorStatus.OK
    assert [report(bundle, f"hang{n}").status for n in range(3)] == [CollectorStatus.FAILED] * 3


def test_no_more_collectors_work_at_once_than_there_are_workers(gathered, a_snapshot):
    lock, at_work, most = threading.Lock(), [0], [0]

    def run(_):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        threading.Event().wait(0.02)
        with lock:
            at_work[0] -= 1
        yield from ()

    gathered(a_snapshot(), *(Collector(f"c{n}", Side.MANAGEMENT, run) for n in range(6)), workers=2)

    assert most[0] == 2


@pytest.mark.parametrize(
    ("error", "brought", "expected"),
    [
        (ServerFailed("GET /x: 500: boom", status=500), (), CollectorStatus.FAILED),
        (ServerFailed("GET /x: 500: boom", status=500), (("a.txt", "x"),), CollectorStatus.PARTIAL),
        (ClusterUnavailable("cluster agent disconnected", status=500), (), CollectorStatus.FAILED),
        (Forbidden("GET /x: 403: no", status=403), (), CollectorStatus.FORBIDDEN),
        (Forbidden("GET /x: 403: no", status=403), (("a.txt", "x"),), CollectorStatus.PARTIAL),
    ],
)
def test_an_error_of_rancher_is_evidence_and_what_came_before_it_is_kept(
    gathered, a_snapshot, error, brought, expected
):
    def run(_):
        yield from brought
        raise error

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run))

    assert report(bundle).status is expected
    assert error.message in report(bundle).reason
    assert [path for path in bundle if path != MANIFEST] == [path for path, _ in brought]


def test_a_forbidden_collector_names_the_missing_right(gathered, a_snapshot):
    def run(_):
        raise Forbidden(
            'GET /x: 403: Forbidden: pods "a" is forbidden: User "u-1" cannot get resource "pods/log" in API group "" in the namespace "kube-system"',
            status=403,
        )
        yield

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run))

    assert report(bundle).reason == "forbidden: needs get pods/log"


def test_a_bug_in_a_collector_is_loud(gathered, a_snapshot):
    def run(_):
        yield "a.txt", "x"
        raise KeyError("typo")

    with pytest.raises(KeyError, match="typo"):
        gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run))


def test_the_end_of_a_long_log_is_kept_and_its_first_line_says_so(gathered, a_snapshot):
    text = "".join(f"line {n}\n" for n in range(1000))

    bundle = gathered(a_snapshot(), brings(("logs/a/b/c.log", text)), caps=Caps(file=100))

    lines = bundle["logs/a/b/c.log"].read_bytes().decode().splitlines()
    assert lines[0].startswith("# cut: the first ")
    assert lines[-1] == "line 999"
    assert all(line in text.splitlines() for line in lines[1:])
    assert report(bundle).status is CollectorStatus.PARTIAL
    assert report(bundle).reason == "logs/a/b/c.log was cut to 100 bytes"


def test_the_beginning_of_a_long_listing_is_kept_up_to_a_whole_line(gathered, a_snapshot):
    text = "".join(f"line {n}\n" for n in range(1000))

    bundle = gathered(a_snapshot(), brings(("pods.txt", text)), caps=Caps(file=100))

    kept = bundle["pods.txt"].read_bytes().decode()
    assert text.startswith(kept)
    assert kept.endswith("\n")
    assert 90 < len(kept) <= 100


def test_an_object_that_is_too_large_is_left_out_rather_than_torn(gathered, a_snapshot):
    bundle = gathered(
        a_snapshot(), brings(("objects/a.json", {"x": "y" * 500}), ("objects/b.json", {})), caps=Caps(file=100)
    )

    assert report(bundle).files == ("objects/b.json",)
    assert report(bundle).reason == "objects/a.json is larger than 100 bytes and was left out"
    assert report(bundle).status is CollectorStatus.PARTIAL


def test_a_collector_stops_at_its_cap(gathered, a_snapshot):
    drawn = []

    def run(_):
        for n in range(100):
            drawn.append(n)
            yield f"{n}.txt", "x" * 10

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run, max_bytes=35))

    assert report(bundle).files == ("0.txt", "1.txt", "2.txt")
    assert report(bundle).reason == "the cap of 35 bytes was reached after 3 files"
    assert report(bundle).status is CollectorStatus.PARTIAL
    assert len(drawn) == 4


def test_all_collectors_together_stay_below_the_cap_of_the_bundle(gathered, a_snapshot):
    collectors = [brings((f"{n}.log", "x" * 40), name=f"c{n}") for n in range(5)]

    bundle = gathered(a_snapshot(), *collectors, caps=Caps(bundle=100))

    assert sum(bundle[path].size for path in bundle if path != MANIFEST) == 80
    refused = [each for each in bundle.collectors if each.status is CollectorStatus.FAILED]
    assert len(refused) == 3
    assert all(each.reason == "the bundle's cap of 100 bytes was reached" for each in refused)


def test_every_file_and_every_reason_goes_through_the_redactor(gathered, a_snapshot):
    def run(_):
        yield "logs/a.log", "password hunter2\n"
        raise ServerFailed("GET /x: 500: hunter2", status=500)

    bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run))

    assert bundle["logs/a.log"].read_bytes() == b"password <masked>\n"
    assert report(bundle).reason == "GET /x: 500: <masked>"
    assert b"hunter2" not in b"".join(bundle[path].read_bytes() for path in bundle)


def test_two_collectors_may_contribute_to_one_listing_in_their_order(gathered, a_snapshot):
    bundle = gathered(
        a_snapshot(),
        brings(("events.txt", "of the one\n"), name="one"),
        brings(("events.txt", "of the other\n"), name="two"),
    )

    assert bundle["events.txt"].read_bytes() == b"of the one\n\nof the other\n"


def test_progress_is_told_once_for_every_collector_the_skipped_ones_too(gathered, a_snapshot):
    told = []

    gathered(
        a_snapshot(connected=False),
        brings(name="one"),
        brings(name="two", needs=Side.DOWNSTREAM),
        brings(name="three"),
        progress=lambda *said: told.append(said),
    )

    assert [done for done, _, _ in told] == [1, 2, 3]
    assert {of for _, of, _ in told} == {3}
    assert {name for _, _, name in told} == {"one", "two", "three"}


def test_text_that_no_encoding_knows_does_not_stop_a_collection(gathered, a_snapshot):
    bundle = gathered(a_snapshot(), brings(("a.log", "half \ud800 pair\n"), ("b.json", {"x": "\udfff"})))

    assert bundle["a.log"].read_bytes() == b"half ? pair\n"
    assert report(bundle).status is CollectorStatus.OK


def test_a_name_cannot_climb_out_of_the_bundle():
    evil = {"metadata": {"namespace": "..", "name": "../../etc/passwd"}}

    path = object_path(Side.DOWNSTREAM, CONFIG_MAP, evil)

    assert path == "objects/downstream/configmaps/_/.._.._etc_passwd.json"
    assert object_path(Side.DOWNSTREAM, NODE, {"metadata": {"name": "cp-1.example"}}) == (
        "objects/downstream/nodes/_/cp-1.example.json"
    )


class TestReach:
    """What a collector may use."""

    def test_lists_are_read_page_by_page_and_reduced(self, fake_api, gathered, a_snapshot):
        pages = [
            {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a", "managedFields": [{}]}}]},
            {"metadata": {}, "items": [{"metadata": {"name": "b"}, "status": {"images": ["big"]}}, "not an object"]},
        ]
        fake_api.answers["/k8s/clusters/local/api/v1/nodes"] = lambda query: pages[query.get("continue") == "more"]
        seen = []
        gathered(
            a_snapshot(),
            Collector("one", Side.MANAGEMENT, lambda reach: seen.extend(reach.objects(Side.MANAGEMENT, NODE)) or ()),
        )

        assert seen == [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "b"}, "status": {}},
        ]

    def test_a_page_that_has_expired_begins_the_list_again_in_one_piece(self, fake_api, gathered, a_snapshot):
        def answer(query):
            if "continue" in query:
                return 410, {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            metadata = {"continue": "x"} if "limit" in query else {}
            return {"metadata": metadata, "items": [{"metadata": {"name": "a"}}]}

        fake_api.answers["/k8s/clusters/local/api/v1/nodes"] = answer
        seen = []
        gathered(
            a_snapshot(),
            Collector("one", Side.MANAGEMENT, lambda reach: seen.extend(reach.objects(Side.MANAGEMENT, NODE)) or ()),
        )

        assert [item["metadata"]["name"] for item in seen] == ["a"]

    def test_what_several_collectors_ask_for_is_read_once(self, fake_api, gathered, a_snapshot):
        fake_api.list("local", "/api/v1/nodes", [{"metadata": {"name": "a"}}])
        seen = []
        collectors = [
            Collector(f"c{n}", Side.MANAGEMENT, lambda reach: seen.append(reach.objects(Side.MANAGEMENT, NODE)) or ())
            for n in range(4)
        ]
        gathered(a_snapshot(), *collectors)

        assert len(seen) == 4
        assert len(fake_api.asked) == 1

    def test_one_collector_out_of_time_does_not_spoil_the_answer_for_another(self, fake_api, gathered, a_snapshot):
        fake_api.slow("local", "/api/v1/nodes", 0.3, {"metadata": {}, "items": [{"metadata": {"name": "a"}}]})

        def run(reach):
            for node in reach.objects(Side.MANAGEMENT, NODE):
                yield node["metadata"]["name"] + ".txt", "x"

        bundle = gathered(
            a_snapshot(),
            Collector("hasty", Side.MANAGEMENT, run, timeout=0.1),
            Collector("patient", Side.MANAGEMENT, run, timeout=10),
        )

        assert report(bundle, "hasty").status is CollectorStatus.FAILED
        assert report(bundle, "patient").status is CollectorStatus.OK
        assert report(bundle, "patient").files == ("a.txt",)

    def test_a_server_that_does_not_know_a_kind_has_none_of_it(self, fake_api, gathered, a_snapshot):
        seen = []
        bundle = gathered(
            a_snapshot(),
            Collector("one", Side.MANAGEMENT, lambda reach: seen.append(reach.objects(Side.MANAGEMENT, EVENT)) or ()),
        )

        assert seen == [[]]
        assert report(bundle).status is CollectorStatus.OK

    def test_a_slow_answer_ends_at_the_collectors_deadline(self, fake_api, gathered, a_snapshot):
        fake_api.slow("local", "/api/v1/nodes", 1.0, {"metadata": {}, "items": []})

        def run(reach):
            yield "a.txt", "before"
            reach.objects(Side.MANAGEMENT, NODE)

        bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run, timeout=0.1))

        assert report(bundle).status is CollectorStatus.PARTIAL
        assert report(bundle).files == ("a.txt",)

    def test_one_forbidden_part_does_not_cost_the_others(self, fake_api, gathered, a_snapshot):
        fake_api.forbid("local", "/api/v1/nodes", "list", "nodes")

        def run(reach):
            with reach.tolerating():
                reach.objects(Side.MANAGEMENT, NODE)
            yield "a.txt", "the rest"

        bundle = gathered(a_snapshot(), Collector("one", Side.MANAGEMENT, run))

        assert report(bundle).status is CollectorStatus.PARTIAL
        assert report(bundle).reason == "forbidden: needs list nodes"

    def test_html_instead_of_a_list_is_a_failure_that_says_so(self, fake_api, gathered, a_snapshot):
        fake_api.answers["/k8s/clusters/local/api/v1/nodes"] = "<html>log in</html>"

        bundle = gathered(
            a_snapshot(),
            Collector("one", Side.MANAGEMENT, lambda reach: reach.objects(Side.MANAGEMENT, NODE) and ()),
        )

        assert report(bundle).status is CollectorStatus.FAILED
        assert "HTML page instead of JSON" in report(bundle).reason


class TestKinds:
    """What is left out of objects."""

    def test_copies_of_the_object_in_its_own_annotations_are_dropped(self):
        kept = PROVISIONING_CLUSTER.object(
            {
                "metadata": {
                    "name": "edge-7",
                    "managedFields": [{}],
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "yes"},
                }
            }
        )

        assert kept["metadata"] == {"name": "edge-7", "annotations": {"mine": "yes"}}
        assert (kept["apiVersion"], kept["kind"]) == ("provisioning.cattle.io/v1", "Cluster")

    def test_a_secret_in_a_manifest_is_taken_out_and_the_other_documents_stay_on_their_lines(self):
        manifest = "kind: ConfigMap\ndata: {a: b}\n---\napiVersion: v1\nkind: Secret\nstringData:\n  p: hunter2\n---\nkind: Job\n"

        kept = without_secret_documents(manifest)

        assert "hunter2" not in kept
        assert kept.splitlines()[0:2] == ["kind: ConfigMap", "data: {a: b}"]
        assert kept.splitlines()[8] == manifest.splitlines()[8] == "kind: Job"
        assert "a Secret was left out" in kept

    @pytest.mark.parametrize("manifest", ["", "---", "kind: Job", "---\nkind: Job\n", "a\n---\nb"])
    def test_a_manifest_without_secrets_stays_as_it_is(self, manifest):
        assert without_secret_documents(manifest) == manifest


def test_gather_finds_every_collector_of_the_folder_in_file_order():
    names = [collector.name for collector in gather()]

    assert names == sorted(names)
    assert {"conditions", "machines", "machine_plans", "provisioning_log", "nodes", "cni_logs", "helm", "crds"} <= set(
        names
    )


def test_two_files_that_claim_one_name_are_both_named(monkeypatch):
    from rancher_ext.evidence.collectors import cni_logs, nodes

    monkeypatch.setattr(nodes, "COLLECTOR", cni_logs.COLLECTOR)

    with pytest.raises(ValueError, match=r"collectors/cni_logs\.py and collectors/nodes\.py.*'cni_logs'"):
        gather()
