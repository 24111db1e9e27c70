"""Which playbooks are there, which variant fits, and what is said of one that is wrong? With file and line."""

import os
import subprocess
import sys

import pytest

from rancher_ext.catalogue.playbooks import load_playbooks, risk_of
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.errors import ConfigError
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import Risk
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.playbook import Playbook
from tests.builders import a_cluster

# Beside the real ones one that no shipped playbook mends.
SIGNATURES = {path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")} | {"vxlan-module-lost"}
FOUNDING = "flannel-br-netfilter-missing"
GOOD = """\
id: load-vxlan
title: Load vxlan
for: [vxlan-module-lost]
variants:
  - when: {distributions: [rke1]}
    steps:
      - {action: set-rke1-network-option, with: {enableBrNetfilter: true}}
explain: ['modprobe vxlan']
cure: {proof: [nodes-ready, cluster-active]}
"""


@pytest.fixture
def load(tmp_path):
    def loaded(text: str, name: str = "load-vxlan.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load_playbooks(SIGNATURES, [tmp_path])

    return loaded


def test_the_shipped_playbook_mends_the_founding_case():
    book = load_playbooks(SIGNATURES)[FOUNDING]
    assert book.id == "enable-br-netfilter"
    actions = gather()
    # Where Rancher has a field for it the cure is a safe one; only elsewhere the nodes themselves have to be touched.
    assert [
        max((actions[step.action].risk for step in variant.steps), key=lambda risk: risk.rank)
        for variant in book.variants
    ] == [
        Risk.SAFE,
        Risk.SAFE,
        Risk.DISRUPTIVE,
    ]
    assert book.on_failure == "undo"
    assert {"nodes-ready", "cluster-active"} <= set(book.cure.proof)


@pytest.mark.parametrize(
    ("rancher", "fits"),
    [
        ("v2.9.7", False),
        ("v2.9.8", True),
        ("v2.9.9", True),
        ("v2.10.0", False),
        ("v2.10.3", False),
        ("v2.10.4", True),
        ("v2.11.0-alpha7", False),
        ("v2.11.0-alpha8", True),
        ("v2.11.0-rc1", True),
        ("v2.11.0", True),
        ("v2.11.3", True),
        ("v2.12.0-alpha1", False),
        ("v2.12.0", False),
        ("v2.11-head", False),
        (None, False),
    ],
)
def test_the_field_exists_from_these_versions_on_and_an_unknown_version_fits_nothing(rancher, fits):
    book = load_playbooks(SIGNATURES)[FOUNDING]
    cluster = a_cluster(distribution=Distribution.RKE1)
    object.__setattr__(cluster, "rancher", Version.parse(rancher))
    by_field = [
        variant for variant in book.variants_for(cluster) if variant.steps[0].action == "set-rke1-network-option"
    ]
    assert bool(by_field) is fits


@pytest.mark.parametrize(
    ("rancher", "fits"),
    [
        ("v2.8.5", True),
        ("v2.9.7", True),
        ("v2.9.8", False),
        ("v2.10.3", True),
        ("v2.10.4", False),
        ("v2.11.0-alpha7", True),
        ("v2.11.0-alpha8", False),
        ("v2.11.3", False),
        ("v2.12.0", False),
        (None, False),
    ],
)
def test_before_the_field_the_variable_is_given_to_kube_proxy(rancher, fits):
    cluster = a_cluster(distribution=Distribution.RKE1)
    object.__setattr__(cluster, "rancher", Version.parse(rancher))
    variants = load_playbooks(SIGNATURES)[FOUNDING].variants_for(cluster)
    assert any(variant.steps[0].action == "set-rke1-service-env" for variant in variants) is fits


@pytest.mark.parametrize(
    "distribution", [Distribution.RKE2, Distribution.K3S, Distribution.KUBEADM, Distribution.UNKNOWN]
)
def test_other_distributions_have_no_variant(distribution):
    cluster = a_cluster(distribution=distribution)
    object.__setattr__(cluster, "rancher", Version.parse("v2.11.3"))
    variants = load_playbooks(SIGNATURES)[FOUNDING].variants_for(cluster)
    assert not any(step.action.startswith("set-rke1") for variant in variants for step in variant.steps)


def test_the_first_variant_that_fits_is_taken(load):
    two = GOOD.replace(
        "explain:",
        "  - when: {cni: [canal], kubernetes: '>=1.32'}\n    steps: [{action: set-rke1-network-option, with: {b: 1}}]\nexplain:",
    )
    book = load(two)["vxlan-module-lost"]
    rke1, rke2 = a_cluster(distribution=Distribution.RKE1), a_cluster()
    assert book.variants_for(rke1)[0] is book.variants[0]
    assert book.variants_for(rke2)[0] is book.variants[1]
    assert book.variants_for(a_cluster(cni=Cni.FLANNEL)) == ()
    assert book.variants_for(a_cluster(kubernetes="v1.31.9+rke2r1")) == ()
    assert book.variants_for(a_cluster(kubernetes=None)) == ()


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("for: [vxlan-module-lost]", "for: [vxlan-module-lots]"), 3, "Did you mean 'vxlan-module-lost'?"),
        (("action: set-rke1-network-option", "action: set-rke1-network-optoin"), 7, "there is no action"),
        (("for: [vxlan-module-lost]", "for: []"), 3, "at least 1 item"),
        (("id: load-vxlan", "id: Load VXLAN"), 1, "should match pattern"),
        (("title: Load vxlan", "titel: Load vxlan"), 1, "title: Field required"),
        (("[rke1]", "[rke9]"), 5, "'rke1'"),
        (("distributions: [rke1]", "rancher: 'new'"), 5, "'new'"),
        (("nodes-ready,", "nodes-redy,"), 9, "nodes-ready"),
        (("[nodes-ready, cluster-active]}", "[]}"), 9, "at least 1 item"),
        (("cluster-active]}", "cluster-active], within: soon}"), 9, "write for example 90s, 20m"),
        (("explain: ['modprobe vxlan']", "explain: []"), 8, "at least 1 item"),
        (("id: load-vxlan\n", "id: load-vxlan\nid: other\n"), 2, "stands here twice"),
    ],
)
def test_a_problem_names_its_line(load, tmp_path, change, line, says):
    assert change[0] in GOOD
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(*change))
    assert f"{tmp_path / 'load-vxlan.yaml'}:{line}: " in caught.value.message
    assert says in caught.value.message
    assert caught.value.cure


def test_a_good_one_is_loaded_beside_the_shipped_ones(load):
    shipped = {book.id for book in load_playbooks(SIGNATURES).values()}
    assert {book.id for book in load(GOOD).values()} == shipped | {"load-vxlan"}


def test_all_problems_of_all_files_come_together(load, tmp_path):
    (tmp_path / "a.yaml").write_text("id: [", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace("rke1]", "rke9]"), "b.yaml")
    files = {line.split(":")[0].rsplit("/", 1)[1] for line in caught.value.message.splitlines()}
    assert files == {"a.yaml", "b.yaml", "c.yaml"}


def test_two_playbooks_for_one_signature_are_refused_and_both_named(load):
    with pytest.raises(ConfigError, match=r"load-vxlan\.yaml:3: .*'enable-br-netfilter' already mends"):
        load(GOOD.replace("vxlan-module-lost", "flannel-br-netfilter-missing"))


def test_a_users_file_takes_the_place_of_the_shipped_one_of_its_name(load):
    books = load(GOOD.replace("vxlan-module-lost", "flannel-br-netfilter-missing"), "enable-br-netfilter.yaml")
    assert books["flannel-br-netfilter-missing"].id == "load-vxlan"


def test_a_playbook_that_only_explains_has_no_risk(load):
    start, end = GOOD.index("variants:"), GOOD.index("explain:")
    assert risk_of(load(GOOD[:start] + GOOD[end:])["vxlan-module-lost"]) is None


class TestVersion:
    def test_it_changes_with_the_content(self, load):
        one = load(GOOD)["vxlan-module-lost"].version
        assert load(GOOD)["vxlan-module-lost"].version == one
        for change in (
            ("enableBrNetfilter: true", "enableBrNetfilter: false"),
            ("[rke1]", "[rke2]"),
            ("cluster-active]", "cluster-active], soak: 6m"),
        ):
            assert load(GOOD.replace(*change))["vxlan-module-lost"].version != one

    def test_comments_and_layout_do_not_change_it(self, load):
        one = load(GOOD)["vxlan-module-lost"].version
        assert (
            load("# why\n" + GOOD.replace("for: [vxlan-module-lost]", "for:\n  - vxlan-module-lost"))[
                "vxlan-module-lost"
            ].version
            == one
        )

    def test_it_is_the_same_in_every_process(self):
        """An approval must survive a restart."""
        code = (
            "from rancher_ext.catalogue.playbooks import load_playbooks;"
            "from rancher_ext.catalogue.shipped import shipped_config_dir;"
            "ids = {path.stem for path in (shipped_config_dir() / 'signatures').glob('*.yaml')};"
            f"print(load_playbooks(ids)[{FOUNDING!r}].version)"
        )
        seen = {
            subprocess.run(
                [sys.executable, "-c", code],
                env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(seen) == 1
        assert isinstance(load_playbooks(SIGNATURES)[FOUNDING], Playbook)
