"""Does nothing run on nodes without the label, exactly the reviewed script with it, and nothing of it stays afterwards?"""

import subprocess

import pytest
import yaml

from rancher_ext.client.changes import FieldMoved
from rancher_ext.remediation.action import UndoKind
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.change import is_back
from rancher_ext.remediation.host_fix import FIXES, daemon_set
from tests.rancher_ext.remediation.world import (
    carry_out,
    config,
    edit,
    freeze,
    inside,
    planned,
    refused,
    send,
    settled,
    the_cluster,
    undo,
)

REACHED = ("v2.11.3", "rke2-canal-healthy")
UNREACHED = ("v2.11.3", "rke2-canal-never-connected")
PATH = "/apis/apps/v1/namespaces/kube-system/daemonsets"


def allow(look, **annotations):
    identity = look().snapshot.identity
    metadata = {"labels": {"drover.io/host-fix": "allow"}, "annotations": annotations}
    for path in (
        f"/apis/management.cattle.io/v3/clusters/{identity.id}",
        f"/apis/provisioning.cattle.io/v1/namespaces/{identity.namespace}/clusters/{identity.name}",
    ):
        send(look, "PATCH", path, {"metadata": metadata})


@pytest.fixture
def allowed(rancher):
    def start(scenario=REACHED):
        look = rancher(*scenario)
        freeze(look) if scenario == REACHED else None
        allow(look)
        return look

    return start


@pytest.mark.parametrize("scenario", [REACHED, UNREACHED])
@pytest.mark.parametrize("action", ["host-fix", "end-host-fix"])
def test_without_the_label_nothing_runs_on_nodes(rancher, scenario, action):
    assert "without the label drover.io/host-fix=allow" in refused(rancher(*scenario), action, fix="load-modules")


def test_only_what_stands_in_the_list(allowed):
    look = allowed()
    assert "understands fix: checksum-offload-off, load-modules" in refused(look, "host-fix", fix="rm -rf /")
    assert "understands fix" in refused(look, "host-fix", fix="load-modules", script="x")


def test_it_says_honestly_that_it_cannot_be_undone():
    assert gather()["host-fix"].undo is UndoKind.NONE


class TestDirectly:
    def test_the_daemon_set_runs_the_script_in_the_hosts_root_and_is_taken_out(self, allowed):
        look = allowed()
        step, end = planned(look, "host-fix", fix="load-modules"), planned(look, "end-host-fix", fix="load-modules")
        assert "modprobe br_netfilter" in step.diff
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        made = inside(look, "GET", f"{PATH}/drover-host-fix-load-modules")
        pod = made["spec"]["template"]["spec"]
        assert pod["initContainers"][0]["command"][:4] == ["chroot", "/host", "/bin/sh", "-c"]
        assert pod["tolerations"] == [{"operator": "Exists"}]
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["automountServiceAccountToken"] is False
        assert carry_out(look, end) == [True]
        assert carry_out(look, end) == [False]
        assert not [each for each in names(look) if each.startswith("drover-")]
        # The plan is undone from its end: there is nothing to make again, and nothing to take out.
        assert undo(look, end) == [False]
        assert undo(look, step) == [False]

    def test_a_failed_cure_takes_it_out_too(self, allowed):
        look = allowed()
        step, end = planned(look, "host-fix", fix="load-modules"), planned(look, "end-host-fix", fix="load-modules")
        carry_out(look, step)
        assert undo(look, end) == [False]
        assert undo(look, step) == [True]
        assert not [each for each in names(look) if each.startswith("drover-")]

    def test_the_image_is_that_of_the_cni_which_the_nodes_have(self, allowed):
        look = allowed()
        image = next(
            container["image"]
            for container in inside(look, "GET", f"{PATH}/rke2-canal")["spec"]["template"]["spec"]["containers"]
            if "flannel" in container["name"]
        )
        assert f"image: {image}" in planned(look, "host-fix", fix="load-modules").diff
        allow(look, **{"drover.io/host-fix-image": "registry.example/tools:1"})
        assert "image: registry.example/tools:1" in planned(look, "host-fix", fix="load-modules").diff

    def test_done_when_it_has_run_on_every_node(self, allowed):
        look = allowed()
        step = planned(look, "host-fix", fix="load-modules")
        assert "is not there yet" in settled(look, step).seen
        carry_out(look, step)
        for ready, holds in ((0, False), (2, False), (3, True)):
            status = {"status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": ready}}
            inside(look, "PATCH", f"{PATH}/drover-host-fix-load-modules/status", status)
            assert settled(look, step).holds is holds

    def test_one_that_somebody_changed_is_not_deleted(self, allowed):
        look = allowed()
        step, end = planned(look, "host-fix", fix="load-modules"), planned(look, "end-host-fix", fix="load-modules")
        carry_out(look, step)
        inside(
            look,
            "PATCH",
            f"{PATH}/drover-host-fix-load-modules",
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": "team"}}},
        )
        with pytest.raises(FieldMoved, match="not as Drover made it"):
            carry_out(look, end)

    @pytest.mark.parametrize("way", ["end", "undo"])
    def test_what_admission_rewrote_is_still_ours_and_goes(self, allowed, way):
        """A registry of its own, a toleration more: privileged pods must not stay because of that."""
        look = allowed()
        step, end = planned(look, "host-fix", fix="load-modules"), planned(look, "end-host-fix", fix="load-modules")
        carry_out(look, step)
        pod = {"tolerations": [{"operator": "Exists"}, {"key": "added", "operator": "Exists"}]}
        template = {"spec": {"template": {"metadata": {"labels": {"team": "platform"}}, "spec": pod}}}
        inside(look, "PATCH", f"{PATH}/drover-host-fix-load-modules", template)
        assert (carry_out(look, end) if way == "end" else undo(look, step)) == [True]
        assert (carry_out(look, end) if way == "end" else undo(look, step)) == [False]
        assert is_back(look(), step.writes[0])

    def test_a_remainder_of_an_earlier_run_is_taken_out_first(self, allowed):
        look = allowed()
        carry_out(look, planned(look, "host-fix", fix="load-modules"))
        assert "is there already" in refused(look, "host-fix", fix="load-modules")


class TestByTheNode:
    def test_the_block_goes_in_and_out_and_leaves_peoples_text(self, allowed):
        look = allowed(UNREACHED)
        theirs = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"
        edit(look, additionalManifest=theirs)
        before = the_cluster(look)["spec"]
        step, end = planned(look, "host-fix", fix="load-modules"), planned(look, "end-host-fix", fix="load-modules")
        assert "delivers it (additionalManifest)" in step.effect
        carry_out(look, step)
        (_, made) = yaml.safe_load_all(config(look)["additionalManifest"])
        assert made["metadata"]["name"] == "drover-host-fix-load-modules"
        # Somebody writes behind it meanwhile.
        edit(look, additionalManifest=config(look)["additionalManifest"] + "---\nkind: Namespace\n")
        assert carry_out(look, end) == [True]
        assert config(look)["additionalManifest"] == theirs + "---\nkind: Namespace\n"
        edit(look, additionalManifest=theirs)
        assert carry_out(look, end) == [False]
        assert undo(look, end) == [False]
        assert undo(look, step) == [False]
        assert the_cluster(look)["spec"] == before

    def test_it_waits_until_somebody_can_see_whether_it_ran(self, allowed):
        look = allowed(UNREACHED)
        step = planned(look, "host-fix", fix="load-modules")
        carry_out(look, step)
        seen = settled(look, step)
        assert not seen.holds
        assert "when the cluster connects" in seen.seen

    def test_the_registry_of_an_air_gapped_cluster_is_used(self, allowed):
        look = allowed(UNREACHED)
        edit(look, machineGlobalConfig={"system-default-registry": "registry.example:5000"})
        assert (
            "image: registry.example:5000/rancher/mirrored-library-busybox"
            in planned(look, "host-fix", fix="load-modules").diff
        )


class TestScripts:
    @pytest.mark.parametrize("name", sorted(FIXES))
    def test_each_is_a_script_that_a_shell_reads(self, name):
        (document,) = daemon_set(name, "image").documents
        script = document["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
        assert script.startswith("set -eu\n")
        subprocess.run(["sh", "-n", "-c", script], check=True)

    def test_files_are_renamed_and_never_deleted_and_a_second_run_finds_nothing(self, tmp_path):
        for file in (
            "10-canal.conflist",
            "10-flannel.conflist",
            "00-multus.conf",
            "10-calico.conflist",
            "05-cilium.conf",
        ):
            (tmp_path / file).write_text(file)
        script = "set -eu\n" + FIXES["set-aside-foreign-config"].script.replace("/etc/cni/net.d", str(tmp_path))
        for _ in range(2):
            subprocess.run(["sh", "-c", script], check=True)
            assert {path.name for path in tmp_path.iterdir()} == {
                "10-canal.conflist",
                "10-flannel.conflist",
                # An addition to the network, and somebody's wish.
                "00-multus.conf",
                "10-calico.conflist.drover-set-aside",
                "05-cilium.conf.drover-set-aside",
            }

    @pytest.mark.parametrize(
        ("address", "deleted"), [("10.42.1.1/24", False), ("10.42.7.1/24", True), ("10.42.1.1/25", True)]
    )
    def test_only_a_bridge_with_another_address_goes(self, address, deleted, tmp_path):
        (tmp_path / "cni0").mkdir()
        (tmp_path / "subnet.env").write_text("FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\n")
        tool = tmp_path / "ip"
        line = f"4: cni0    inet {address} brd 10.42.1.255 scope global cni0"
        tool.write_text(f'#!/bin/sh\nif [ "$1" = -o ]; then echo "{line}"; else echo "$@" >> {tmp_path}/done; fi\n')
        tool.chmod(0o755)
        script = FIXES["remove-stale-bridge"].script.replace("/sys/class/net", str(tmp_path))
        script = script.replace("/run/flannel/subnet.env", str(tmp_path / "subnet.env"))
        subprocess.run(["sh", "-c", f"set -eu\nPATH={tmp_path}:$PATH\n{script}"], check=True)
        assert (tmp_path / "done").exists() is deleted

    @pytest.mark.parametrize("missing", ["br_netfilter", "overlay", "vxlan", None])
    def test_a_module_that_cannot_be_loaded_is_a_fix_that_failed(self, missing, tmp_path):
        tool = tmp_path / "modprobe"
        tool.write_text(f'#!/bin/sh\n[ "$1" != "{missing}" ]\n')
        tool.chmod(0o755)
        (document,) = daemon_set("load-modules", "image").documents
        script = document["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
        script = script.replace("/etc/modules-load.d", str(tmp_path / "modules-load.d"))
        done = subprocess.run(["sh", "-c", f"PATH={tmp_path}:$PATH\n{script}"], check=False)
        assert (done.returncode == 0) is (missing is None)
        assert (tmp_path / "modules-load.d/90-drover.conf").exists() is (missing is None)

    def test_what_people_review_has_no_references_inside(self):
        for name in FIXES:
            assert "&id" not in daemon_set(name, "image").text

    def test_no_script_loads_anything_from_elsewhere(self):
        for fix in FIXES.values():
            assert not any(word in fix.script for word in ("curl", "wget", "http", "rm -r", "eval", "systemctl"))


def names(look):
    return [each["metadata"]["name"] for each in inside(look, "GET", PATH)["items"]]
