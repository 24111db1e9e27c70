"""The documents that reach a cluster: they read, run beside a dead network, and hold the key in one place only."""

from types import SimpleNamespace

import pytest

from rancher_ext.probe.manifest import Offer, image_for, masked, probe_manifest
from rancher_ext.remediation.manifests import block_diff

OFFER = Offer("https://drover.example", "0123456789abcdef", b"k" * 32, "drover:1")


def document(kind):
    (found,) = [each for each in probe_manifest(OFFER).documents if each["kind"] == kind]
    return found


def test_the_pods_come_up_where_the_network_does_not():
    pod = document("DaemonSet")["spec"]["template"]["spec"]

    assert pod["hostNetwork"]
    assert pod["dnsPolicy"] == "Default"
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["containers"][0]["image"] == "drover:1"
    assert pod["containers"][0]["args"] == ["probe"]


def test_the_pods_can_write_nothing():
    pod = document("DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["privileged"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
    verbs = {
        verb for kind in ("Role", "ClusterRole") for rule in document(kind)["rules"] for verb in rule["verbs"]
    }  # fmt: skip
    assert verbs <= {"get", "list"}
    assert "secrets" not in str([document(kind)["rules"] for kind in ("Role", "ClusterRole")])


def test_the_key_stands_in_the_secret_and_in_nothing_that_people_read():
    manifest = probe_manifest(OFFER)

    assert manifest.text.count(OFFER.key.hex()) == 1
    assert document("Secret")["stringData"]["PROBE_KEY"] == OFFER.key.hex()
    assert OFFER.key.hex() not in masked(block_diff([manifest]), OFFER.key)
    assert OFFER.key.hex() not in repr(OFFER)
    assert probe_manifest(OFFER) == manifest
    assert not manifest.stays


@pytest.mark.parametrize(
    ("annotations", "registry", "default", "image"),
    [
        ({}, "", "drover:1", "drover:1"),
        ({}, "registry.corp:5000", "drover:1", "registry.corp:5000/drover:1"),
        ({}, "registry.corp", "other.corp/tools/drover:1", "other.corp/tools/drover:1"),
        ({}, "registry.corp", "tools/drover:1", "registry.corp/tools/drover:1"),
        ({"drover.io/probe-image": "mine/probe:2"}, "registry.corp", "drover:1", "mine/probe:2"),
    ],
)
def test_the_image_comes_from_where_the_cluster_pulls_all_its_images(annotations, registry, default, image):
    target = SimpleNamespace(snapshot=SimpleNamespace(annotations=annotations))
    item = {"spec": {"rkeConfig": {"machineGlobalConfig": {"system-default-registry": registry}}}}

    assert image_for(target, item, default) == image
