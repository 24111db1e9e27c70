"""Whole roads of RKE2 and K3s clusters: found, explained, approved, mended and proved, by playbooks of several steps."""

import pytest

pytestmark = pytest.mark.slow

NAME = "edge-01"


def steps_of(world):
    return [step["action"] for step in world.incident(NAME).plan["steps"]]


@pytest.mark.parametrize(
    ("scenario", "actions"),
    [
        ("rke2-flannel-kubelet-flag", ["inject-kubelet-parameters"]),
        ("k3s-flannel-cloud-uninitialized", ["set-machine-config"]),
        ("rke2-canal-crd-missing-upgrade", ["register-crds", "restart-cni-pods"]),
        ("rke1-flannel-podcidr-not-assigned", ["set-rke1-service-argument"]),
    ],
)
def test_it_is_mended_with_an_approval(world, scenario, actions):
    world.fleet.add(scenario, NAME)
    world.ask(NAME)
    assert steps_of(world) == actions
    assert world.writes == []
    # A change that restarts something asks for more than a change that does not.
    world.approve(NAME, by="jan")
    world.until(NAME, "resolved", within=90)
    assert world.store.mending_now() == 0


def test_deleting_nodes_needs_two_administrators_and_a_snapshot_first(world):
    world.fleet.add("rke2-canal-cidr-exhausted", NAME)
    world.ask(NAME)
    assert steps_of(world)[-1] == "remove-stale-node"
    world.approve(NAME, by="jan")
    assert world.state(NAME) == "awaiting-approval"
    assert world.writes == []
