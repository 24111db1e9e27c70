"""What exactly is approved? The digest covers what matters and nothing else, and a plan survives storage."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from rancher_ext.catalogue.playbooks import load_playbooks
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.client.changes import Place, Value
from rancher_ext.errors import Forbidden
from rancher_ext.remediation.action import NotNeeded, Risk, UndoKind
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.change import Call
from rancher_ext.remediation.plan import Explanation, Plan, make_plan
from rancher_ext.remediation.playbook import Step

SIGNATURE = "flannel-br-netfilter-missing"
BOOK = load_playbooks({path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")})[SIGNATURE]
DRAIN = Step(action="set-cluster-drain")


def planned(look, book=BOOK):
    return make_plan(book, SIGNATURE, look(), gather())


def change(look, patch):
    url = f"{look.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
    headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
    requests.patch(url, json=patch, headers=headers, timeout=10).raise_for_status()


def network(**options):
    return {"spec": {"rancherKubernetesEngineConfig": {"network": options}}}


def test_the_founding_cases_plan(rancher):
    look = rancher()
    plan = planned(look)
    assert isinstance(plan, Plan)
    (step,) = plan.steps
    (write,) = step.writes
    assert write.place.path == ("spec", "rancherKubernetesEngineConfig", "network", "enableBrNetfilter")
    assert write.before == Value(present=False)
    assert write.after == Value(present=True, value=True)
    assert write.uid == plan.cluster_uid
    assert step.diff == " rancherKubernetesEngineConfig:\n   network:\n     plugin: canal\n+    enableBrNetfilter: true"
    assert "3 nodes" in step.effect
    assert (plan.risk, plan.undo, plan.undo_on_failure) == (Risk.SAFE, UndoKind.EXACT, True)
    assert plan.within > plan.soak > timedelta()
    assert look.fleet.journal == type(look.fleet.journal)()  # planning writes nothing


@pytest.mark.parametrize(
    ("version", "fits"),
    [("v2.9.8", True), ("v2.10.3", False), ("v2.11.0-alpha7", False), ("v2.11.0-alpha8", True), ("v2.11.3", True)],
)
def test_by_ranchers_version(rancher, version, fits):
    made = planned(rancher(version))
    assert isinstance(made, Plan if fits else Explanation)
    if not fits:
        assert "uses rancher/rke-tools:v0.1.110, and only rke-tools v0.1.111 and newer know the variable" in made.why
        assert any("modprobe br_netfilter" in step for step in made.steps)
        assert made.to_json()["steps"] == list(BOOK.explain)


def test_an_older_rancher_with_newer_images_gets_the_variable(rancher):
    look = rancher("v2.10.3")
    change(
        look,
        {"spec": {"rancherKubernetesEngineConfig": {"systemImages": {"kubernetesServicesSidecar": "r/t:v0.1.111"}}}},
    )
    plan = planned(look)
    assert isinstance(plan, Plan)
    (write,) = plan.steps[0].writes
    assert write.place.path[-2:] == ("kubeproxy", "extraEnv")
    assert write.after.value == ["RKE_KUBE_PROXY_BR_NETFILTER=true"]


def test_another_distribution_is_explained(rancher):
    rke1 = BOOK.model_copy(update={"variants": BOOK.variants[:1]})
    made = make_plan(rke1, SIGNATURE, rancher("v2.12.0", "rke2-canal-never-connected")(), gather())
    assert isinstance(made, Explanation)
    assert "no variant of enable-br-netfilter fits rke2" in made.why


def test_what_needs_a_label_is_explained_without_it(rancher):
    made = planned(rancher("v2.12.0", "rke2-canal-never-connected"))
    assert isinstance(made, Explanation)
    assert "nothing runs on its nodes without the label drover.io/host-fix=allow" in made.why


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (network(enableBrNetfilter=True), "enableBrNetfilter is already true: setting it again changes nothing"),
        (network(plugin="calico"), "its network plugin is neither canal nor flannel"),
        ({"spec": {"clusterTemplateRevisionId": "cattle-global-data:ctr-1"}}, "it follows a cluster template"),
    ],
)
def test_what_cannot_be_planned_says_why(rancher, patch, why):
    look = rancher()
    change(look, patch)
    made = planned(look)
    assert isinstance(made, Explanation)
    assert why in made.why


class TestDigest:
    def test_the_same_facts_have_the_same_digest(self, rancher):
        look = rancher()
        assert planned(look).digest == planned(look).digest
        assert len(planned(look).digest) == 64
        assert planned(look).digest.startswith(planned(look).short)

    @pytest.mark.parametrize(
        "patch",
        [
            {"metadata": {"labels": {"team": "blue"}, "annotations": {"x": "y"}}},
            {"spec": {"description": "changed"}},
            network(mtu=1400),
            network(options={"canal_iface": "eth1"}),
        ],
        ids=["labels", "description", "a sibling", "a nested sibling"],
    )
    def test_untouched_fields_and_versions_are_not_drift(self, rancher, patch):
        look = rancher()
        before = planned(look)
        change(look, patch)
        assert planned(look).digest == before.digest

    @pytest.mark.parametrize("patch", [network(enableBrNetfilter=False), network(plugin="flannel")])
    def test_the_touched_value_and_the_preconditions_are(self, rancher, patch):
        look = rancher()
        before = planned(look)
        change(look, patch)
        assert planned(look).digest != before.digest

    def test_every_covered_value_changes_it(self, rancher):
        plan = planned(rancher())
        (step,) = plan.steps
        (write,) = step.writes
        other_place = Place(write.place.resource, "", "c-other", write.place.path)

        def with_write(**changes):
            return replace(plan, steps=(replace(step, writes=(replace(write, **changes),)),))

        others = [
            replace(plan, cluster_uid="another"),
            replace(plan, playbook="another"),
            replace(plan, playbook_version="another"),
            replace(plan, steps=()),
            replace(plan, steps=(step, step)),
            with_write(uid="another"),
            with_write(place=other_place),
            with_write(place=replace(write.place, path=("spec", "x"))),
            with_write(downstream=True),
            replace(plan, steps=(replace(step, writes=(write, write)),)),
            replace(plan, steps=(replace(step, writes=(Call("cluster", "c-1", "backupEtcd"),)),)),
            with_write(before=Value(present=True, value=False)),
            with_write(before=Value(present=True, value=None)),
            with_write(after=Value(present=True, value=1)),
            with_write(after=Value(present=True, value="true")),
            replace(plan, steps=(replace(step, diff=step.diff + "\n"),)),
        ]
        digests = {plan.digest, *(other.digest for other in others)}
        assert len(digests) == len(others) + 1

    def test_the_order_of_the_steps_counts(self, rancher):
        plan = planned(rancher())
        (step,) = plan.steps
        (write,) = step.writes
        other = replace(step, writes=(replace(write, after=Value(present=True, value=False)),))
        assert replace(plan, steps=(step, other)).digest != replace(plan, steps=(other, step)).digest

    def test_words_and_times_do_not_count(self, rancher):
        plan = planned(rancher())
        (step,) = plan.steps
        same = replace(plan, title="x", within=timedelta(1), steps=(replace(step, title="y", effect="z"),))
        assert same.digest == plan.digest


def answering(answer):
    """The one action of the founding case, with another preview."""
    (action,) = [action for name, action in gather().items() if name == "set-rke1-network-option"]

    def preview(*_):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return {**gather(), action.name: replace(action, preview=preview)}


def test_a_right_that_is_missing_leads_to_the_steps_for_a_person(rancher):
    forbidden = Forbidden("clusters is forbidden", status=403)
    made = make_plan(BOOK, SIGNATURE, rancher()(), answering(forbidden))
    assert isinstance(made, Explanation)
    assert "needs a right that the token has not: clusters is forbidden" in made.why


def test_where_nothing_has_to_be_done_there_is_no_plan(rancher):
    made = make_plan(BOOK, SIGNATURE, rancher()(), answering(NotNeeded("it is there already")))
    assert isinstance(made, Explanation)
    assert made.why.startswith("it is there already; nothing runs on its nodes without the label")


def test_what_has_nothing_to_do_is_named_beside_the_steps(rancher):
    look = rancher()
    (variant, *_) = BOOK.variants
    two = BOOK.model_copy(update={"variants": (variant.model_copy(update={"steps": (*variant.steps, DRAIN)}),)})
    plan = make_plan(two, SIGNATURE, look(), gather())
    assert [step.action for step in plan.steps] == ["set-rke1-network-option"]
    assert plan.done == (("set-cluster-drain", "no drain stands in the way of changes"),)
    assert not plan.etcd_saved
    assert replace(plan, done=()).digest == plan.digest
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_survives_storage(rancher):
    plan = planned(rancher())
    stored = json.loads(json.dumps(plan.to_json()))
    assert Plan.from_json(stored) == plan
    assert Plan.from_json(stored).digest == plan.digest == stored["digest"]
