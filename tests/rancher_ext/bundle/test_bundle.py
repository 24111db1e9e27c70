import json
from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.bundle import MANIFEST, Bundle, Manifest, RedactionEntry
from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus

MANIFEST_OF_EDGE = Manifest(
    cluster_id="c-8xk2p",
    cluster_name="edge-07",
    cluster_uid="5d0c",
    rancher="main",
    distribution="rke1",
    cni="canal",
    kubernetes="v1.32.2-rancher1-1",
    rancher_version="v2.10.3",
    collected_at=datetime(2025, 3, 4, 9, 53, tzinfo=UTC),
    collectors=(CollectorReport("logs", CollectorStatus.FORBIDDEN, "needs pods/log", 0.4, ("logs/a.log",)),),
    redactions=(RedactionEntry("jwt", "events.txt", 2),),
)


def test_a_manifest_survives_the_way_through_json():
    assert Manifest.from_json(json.loads(json.dumps(MANIFEST_OF_EDGE.to_json()))) == MANIFEST_OF_EDGE


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"schema": 2, "cluster": {}},
        {"schema": 1},
        {"schema": 1, "cluster": {}, "collectedAt": "yesterday"},
        {"schema": 1, "cluster": {}, "collectors": [{"name": "x", "status": "great"}]},
        {"schema": 1, "cluster": {}, "collectors": ["x"]},
        {"schema": 1, "cluster": {}, "redactions": [{"rule": "x"}]},
        {"manifest_version": 3, "name": "somebody else's"},
    ],
)
def test_another_tools_manifest_is_no_manifest_of_ours(document):
    assert Manifest.from_json(document) is None


def test_a_bundle_lists_its_files_in_path_order_and_opens_them_lazily():
    bundle = Bundle.of({"pods.txt": "b", "events.txt": b"a\n", "logs/kubelet/n1.log": "c"})

    assert list(bundle) == ["events.txt", "logs/kubelet/n1.log", "pods.txt"]
    assert bundle["events.txt"].read_bytes() == b"a\n"
    assert bundle["logs/kubelet/n1.log"].read_bytes(0) == b""
    assert bundle.size == 4
    assert "nodes.txt" not in bundle


def test_the_manifest_is_also_a_file():
    bundle = Bundle.of({"events.txt": ""}, MANIFEST_OF_EDGE)

    assert Manifest.from_json(json.loads(bundle[MANIFEST].read_bytes())) == MANIFEST_OF_EDGE
    assert [report.name for report in bundle.collectors] == ["logs"]
    again = bundle.with_manifest(Manifest(cluster_id="c-other"))
    assert json.loads(again[MANIFEST].read_bytes())["cluster"]["id"] == "c-other"
    assert bundle.manifest == MANIFEST_OF_EDGE
