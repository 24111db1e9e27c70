"""Do signatures, playbooks and policy fit each other, and is everything wrong told with its place?"""

import pytest

from bot.knowledge import load_knowledge, load_policy
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.errors import ConfigError
from rancher_ext.signatures.match import Diagnosis


@pytest.fixture(scope="module")
def shipped():
    return load_knowledge()


def test_every_playbook_mends_a_signature_there_is(shipped):
    assert set(shipped.playbooks) <= {signature.id for signature in shipped.signatures}
    assert shipped.playbooks["flannel-br-netfilter-missing"].id == "enable-br-netfilter"


def test_every_step_names_an_action_there_is(shipped):
    for book in shipped.playbooks.values():
        for variant in book.variants:
            assert {step.action for step in variant.steps} <= set(shipped.actions)


def test_a_finding_leads_to_its_playbook_and_risk(shipped, tmp_path):
    from rancher_ext.evidence.archive import open_bundle

    log = tmp_path / "kube-flannel.log"
    log.write_text(
        "E0304 09:12:31.400117       1 main.go:268] Failed to check br_netfilter: stat "
        "/proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory\n",
        encoding="utf-8",
    )
    diagnosis = shipped.diagnose(open_bundle(log))
    found = shipped.remedy_json(diagnosis)
    best = found["findings"][0]
    assert (best["signature"], best["playbook"]) == ("flannel-br-netfilter-missing", "enable-br-netfilter")
    # The highest of all its variants; a plan has the risk of the one that fits.
    assert best["risk"] == "disruptive"
    for other in found["findings"]:
        assert other["playbook"] is None or other["signature"] in shipped.playbooks


def test_nothing_to_read_is_unknown_and_no_crash(shipped):
    diagnosis = shipped.diagnose(Bundle({}))
    assert isinstance(diagnosis, Diagnosis)
    assert shipped.remedy_json(diagnosis)["findings"] == []


def test_a_users_broken_signature_stops_the_start_with_its_place(tmp_path):
    (tmp_path / "mine.yaml").write_text("id: mine\ntitle: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d: not YAML"):
        load_knowledge([tmp_path])


def test_a_playbook_for_a_signature_that_is_not_there_stops_the_start(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "id: mine\ntitle: x\nfor: [no-such-signature]\nexplain: [x]\ncure: {proof: [nodes-ready]}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml:3: there is no signature 'no-such-signature'"):
        load_knowledge([], [tmp_path])


def test_the_shipped_policy_is_the_strict_one():
    policy = load_policy()
    assert [rule.decide for rule in policy.rules] == ["never", "approve", "dry-run", "auto"]
    assert policy.brakes.clusters_at_once == 3
    assert policy.to_json()["default"]["destructive"]["needs"] == 2


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            "rules:\n  - when: {signature: flannel-br-netfilter-mising}\n    decide: never\n",
            2,
            "no signature 'flannel-br-netfilter-mising'. Did you mean 'flannel-br-netfilter-missing'?",
        ),
        (
            "rules:\n  - {when: {playbook: enable-br-netfiltr}, decide: never}\n",
            2,
            "Did you mean 'enable-br-netfilter'?",
        ),
        (
            "needed_labels:\n  replace-machin: {a: b}\n",
            2,
            "no action 'replace-machin'. Did you mean 'replace-machine'?",
        ),
    ],
)
def test_a_policy_that_names_what_does_not_exist_protects_nothing(shipped, tmp_path, text, line, says):
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_policy(tmp_path / "policy.yaml", shipped)
    assert caught.value.message.startswith(f"{tmp_path / 'policy.yaml'}:{line}: there is ")
    assert says in caught.value.message


def test_a_policy_may_name_everything_that_exists(shipped, tmp_path):
    (tmp_path / "policy.yaml").write_text(
        "rules:\n  - {when: {signature: canal-crd-missing, playbook: register-crds}, decide: never}\n"
        "needed_labels: {replace-machine: {drover.io/replace: allow}}\n",
        encoding="utf-8",
    )
    policy = load_policy(tmp_path / "policy.yaml", shipped)
    assert policy.labels_needed("replace-machine") == {"drover.io/replace": "allow"}


def test_the_shipped_policy_fits_the_shipped_catalogue(shipped):
    assert load_policy(None, shipped).brakes.canary is not None
    assert shipped.since["flannel-br-netfilter-missing"].year == 2025
