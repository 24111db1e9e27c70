"""Is there an answer for every known cause, is every human step usable, and is nothing destructive done without a copy of etcd?"""

import re

import pytest

from rancher_ext.catalogue.playbooks import load_playbooks
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.fleet.cni import Cni
from rancher_ext.remediation.action import Risk
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.plan import SNAPSHOT

FOLDER = shipped_config_dir() / "playbooks"
SIGNATURES = {path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")}
BOOKS = {book.id: book for book in load_playbooks(SIGNATURES).values()}
# Causes for which there is nothing to say beyond the finding itself.
WITHOUT = frozenset[str]()


def test_every_signature_has_an_answer():
    answered = {signature for book in BOOKS.values() for signature in book.signatures}
    assert SIGNATURES - answered == WITHOUT


def test_a_playbook_is_found_by_the_name_of_its_file():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(BOOKS)


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
class TestEach:
    def test_a_person_gets_whole_commands(self, book):
        assert len(book.explain) >= 2
        assert len(set(book.explain)) == len(book.explain)
        for step in book.explain:
            assert step.count("`") % 2 == 0, step
            assert step.rstrip().endswith((".", ")", "?")), step
        assert any("`" in step for step in book.explain)

    def test_commands_exist_where_they_are_pasted(self, book):
        """RKE2 and K3s put no crictl into the path, and without its configuration it asks another runtime."""
        for step in book.explain:
            for command in re.findall(r"`([^`]+)`", step):
                for found in re.finditer(r"\bcrictl (?!--config)", command):
                    assert command[: found.start()].endswith("k3s "), command
                assert not re.search(r"/bin/crictl(?! --config /var/lib/rancher/rke2/agent/etc/crictl\.yaml)", command)

    def test_no_command_stops_the_network_of_all_nodes_at_once(self, book):
        for step in book.explain:
            assert not re.search(r"delete pods? -l k8s-app=(canal|flannel)", step), step
            assert not re.search(r"drain <node>(?! --ignore-daemonsets)", step), step

    def test_what_destroys_needs_a_network_that_drover_knows(self, book):
        """A wrong finding on a cluster with Calico or Cilium must cost no machine."""
        actions = gather()
        for variant in book.variants:
            if any(actions[step.action].risk is Risk.DESTRUCTIVE for step in variant.steps):
                assert set(variant.when.cni) == {Cni.CANAL, Cni.FLANNEL}

    def test_who_may_use_a_host_fix_learns_of_its_label(self, book):
        if any(step.action == "host-fix" for variant in book.variants for step in variant.steps):
            assert any("drover.io/host-fix=allow" in step for step in book.explain)

    def test_a_cure_is_proved_by_nodes_and_rancher(self, book):
        assert {"nodes-ready", "cluster-active"} <= set(book.cure.proof)
        assert book.cure.soak < book.cure.within

    def test_etcd_is_saved_before_anything_destructive(self, book):
        actions = gather()
        for variant in book.variants:
            names = [step.action for step in variant.steps]
            harmful = [index for index, name in enumerate(names) if actions[name].risk is Risk.DESTRUCTIVE]
            if harmful:
                assert SNAPSHOT in names[: harmful[0]], names

    def test_a_variant_for_every_cluster_comes_last(self, book):
        catch_all = [variant.when.model_fields_set == set() for variant in book.variants]
        assert not any(catch_all[:-1])
