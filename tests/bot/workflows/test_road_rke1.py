"""Roads of RKE1 clusters with cures of another kind than one option: a variable, an action of Rancher's that has to settle first."""

import pytest

from rancher_ext.remediation.playbook import Step
from tests.bot.workflows.world import knowledge

pytestmark = pytest.mark.slow

FOUNDING = "rke1-canal-br-netfilter"
SIGNATURE = "flannel-br-netfilter-missing"
NAME = "edge-01"
REFRESH = Step(action="refresh-kontainer-metadata")


def config_of(world):
    return world.cluster_object(NAME)["spec"]["rancherKubernetesEngineConfig"]


def refresh_first(world):
    """The founding case's playbook, with a refresh of the metadata before its one step."""
    book = knowledge().playbooks[SIGNATURE]
    first = book.variants[0]
    longer = first.model_copy(update={"steps": (REFRESH, *first.steps)})
    books = {**knowledge().playbooks, SIGNATURE: book.model_copy(update={"variants": (longer,)})}
    object.__setattr__(world.app.parts.knowledge, "playbooks", books)


def test_an_older_rancher_with_newer_images_gives_kube_proxy_the_variable(new_world):
    world = new_world(rancher_version="v2.10.3")
    world.fleet.add(FOUNDING, NAME)
    images = {"kubernetesServicesSidecar": "mirror.example/rke-tools:v0.1.112"}
    world.change(NAME, {"spec": {"rancherKubernetesEngineConfig": {"systemImages": images}}})
    world.ask(NAME)
    world.approve(NAME)
    world.until(NAME, "resolved")
    assert config_of(world)["services"]["kubeproxy"] == {"extraEnv": ["RKE_KUBE_PROXY_BR_NETFILTER=true"]}
    (write,) = world.writes
    assert write["method"] == "PATCH"


def test_an_action_of_ranchers_is_asked_for_and_waited_for_before_the_next_step(world):
    refresh_first(world)
    world.fleet.add(FOUNDING, NAME)
    world.ask(NAME)
    plan = world.incident(NAME).plan
    # What cannot be taken back is said of the whole plan.
    assert (plan["undo"], plan["steps"][0]["place"]) == ("none", "kontainerDriver: refresh")
    world.approve(NAME)
    world.until(NAME, "resolved")
    asked, _, written, _ = [(line.what, line.place) for line in world.store.audit(world.incident(NAME).id)]
    assert asked == ("intend", "kontainerDriver: refresh")
    assert written[1].endswith("enableBrNetfilter")
    assert any("Rancher knows v1.32.2-rancher1-1" in line for line in world.timeline(NAME))


def test_a_version_that_the_metadata_never_name_stops_the_road_before_the_next_step(world):
    refresh_first(world)
    world.fleet.add(FOUNDING, NAME)
    world.change(NAME, {"spec": {"rancherKubernetesEngineConfig": {"kubernetesVersion": "v1.32.99-rancher1-1"}}})
    world.ask(NAME)
    world.approve(NAME)
    world.until(NAME, "rolled-back", within=60)
    assert "had no effect in time: Rancher does not know v1.32.99-rancher1-1" in world.incident(NAME).outcome
    assert "enableBrNetfilter" not in config_of(world)["network"]
