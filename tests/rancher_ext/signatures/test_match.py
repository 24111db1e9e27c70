import json

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.bundle.facts import ClusterFacts, ConditionFact, DaemonSetFacts, Facts, NodeFacts, Place, PodFacts
from rancher_ext.signatures.match import diagnose
from rancher_ext.signatures.schema import Verdict
from tests.rancher_ext.signatures.builders import FLANNEL_LOG, a_bundle, a_signature

BROKEN = a_bundle(flannel="BROKEN\n")


def confidence(signature, bundle=BROKEN, facts=None):
    best = diagnose(bundle, [signature], facts).best
    return best.confidence if best else None


def cluster(**fields):
    return Facts(cluster=ClusterFacts(**fields))


def test_a_finding_shows_the_lines_that_made_it():
    [finding] = diagnose(a_bundle(flannel="fine\nso BROKEN\n"), [a_signature()]).findings

    assert (finding.signature, finding.confidence) == ("sample", 0.8)
    assert [(line.source, line.line, line.text) for line in finding.evidence] == [(FLANNEL_LOG, 2, "so BROKEN")]


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ({"all": [{"text": "BROKEN"}, {"text": "MISSING"}]}, False),
        ({"all": [{"text": "BROKEN"}, {"node": "ready == 'False'"}]}, False),
        ({"all": [{"text": "BROKEN"}, {"node": "ready == 'False'", "if_unknown": "match"}]}, True),
        ({"all": [{"text": "BROKEN"}, {"absent": {"text": "CURED"}}]}, True),
        ({"any": [{"text": "MISSING"}, {"text": "BROKEN"}]}, True),
        ({"all": [{"text": "BROKEN"}], "any": [{"text": "MISSING"}]}, False),
        ({"any": [{"text": "BROKEN"}], "none": [{"text": "BROK"}]}, False),
        ({"any": [{"text": "BROKEN"}], "none": [{"node": "ready == 'True'"}]}, True),
        ({"all": [{"absent": {"text": "CURED"}}]}, False),
    ],
)
def test_all_any_and_none(when, found):
    """The last one: an absence alone is no evidence, and a finding without a line does not exist."""
    assert bool(diagnose(BROKEN, [a_signature(when=when)]).findings) is found


def test_unknown_exclusions_lower_confidence_and_say_what_is_missing():
    signature = a_signature(
        when={"any": [{"text": "BROKEN"}], "none": [{"node": "ready == 'True'"}]}, surer_with=["lsmod"]
    )

    [finding] = diagnose(BROKEN, [signature]).findings

    assert finding.confidence < 0.8
    assert finding.missing == ("the nodes in full (`kubectl get nodes -o yaml`)", "lsmod")
    known = Facts(nodes=(NodeFacts("w1", "False"),))
    assert confidence(signature, BROKEN, known) == 0.8


def test_a_pasted_line_counts_less_than_one_whose_origin_is_known():
    signature = a_signature(when={"any": [{"log": "BROKEN", "from": {"workload": "cni"}}]})

    assert confidence(signature) == 0.8
    assert confidence(signature, a_bundle(paste="BROKEN")) == pytest.approx(0.68)
    assert "where the pasted lines come from" in diagnose(a_bundle(paste="BROKEN"), [signature]).best.missing


def test_supports_raise_and_contradictions_lower_confidence():
    supported = a_signature(supports=[{"text": "BROK"}, {"text": "MISSING"}])
    contradicted = a_signature(contradicts=[{"text": "BROK"}])

    assert confidence(supported) == pytest.approx(0.857)
    assert confidence(contradicted) == pytest.approx(0.48)
    assert confidence(a_signature(supports=[{"text": "BROK"}] * 30, confidence=0.99)) == 0.99


def test_what_speaks_against_a_finding_is_shown():
    signature = a_signature(contradicts=[{"text": "but CURED"}, {"node": "ready == 'True'"}], surer_with=["lsmod"])

    best = diagnose(a_bundle(flannel="BROKEN\nbut CURED\n"), [signature]).best

    assert [(line.line, line.text) for line in best.against] == [(2, "but CURED")]
    # What its own author asks for comes before what would only add to it.
    assert best.missing == ("lsmod", "the nodes in full (`kubectl get nodes -o yaml`)")


def test_a_finding_names_its_nodes():
    nodes = (NodeFacts("w1", kernel="6.12-1.el10"), NodeFacts("w2", kernel="5.14-1.el9"))
    bundle = Bundle.of({"logs/kubelet/w1.log": "BROKEN\n", "logs/kubelet/w2.log": "fine\n"})

    finding = diagnose(bundle, [a_signature()], Facts(nodes=nodes)).to_json()["findings"][0]

    assert finding["affected"]["text"] == "the one el10 node, w1, none elsewhere"
    assert diagnose(BROKEN, [a_signature()]).to_json()["findings"][0]["affected"] is None


def undecided(*signatures, bundle=BROKEN):
    return diagnose(bundle, signatures).undecided


def test_two_causes_of_the_same_lines_both_stand_and_it_is_said():
    one = a_signature("one", confidence=0.8, surer_with=["lsmod"])
    other = a_signature("other", confidence=0.75, cause="image-pull", surer_with=["crictl images"])

    diagnosis = diagnose(BROKEN, [other, one])

    assert [finding.signature for finding in diagnosis.findings] == ["one", "other"]
    assert diagnosis.undecided.signatures == ("one", "other")
    assert diagnosis.undecided.why == "both rest on the same lines. What would tell: lsmod; crictl images"
    assert diagnosis.to_json()["undecided"] == {
        "signatures": ["one", "other"],
        "why": "both rest on the same lines. What would tell: lsmod; crictl images",
    }


def test_lines_of_their_own_are_another_reason():
    one = a_signature("one", when={"any": [{"text": "BROKEN"}]})
    two = a_signature("two", when={"any": [{"text": "TORN"}]}, cause="image-pull")
    both = a_signature("both", when={"all": [{"text": "BROKEN"}, {"text": "TORN"}]}, cause="certificate")
    bundle = a_bundle(flannel="BROKEN\nTORN\n")

    assert "neither follows from the other" in undecided(one, two, bundle=bundle).why
    assert "they share lines" in undecided(both, two, bundle=bundle).why


def test_it_is_decided_where_one_is_clearly_better_or_explains_the_other():
    best = a_signature("best", confidence=0.9)

    assert undecided(best) is None
    assert undecided(best, a_signature("worse", confidence=0.7, cause="image-pull")) is None
    assert (
        undecided(
            best.model_copy(update={"explains": ("symptom",)}),
            a_signature("symptom", cause="image-pull", confidence=0.9),
        )
        is None
    )
    # Two words for one cause, with lines of their own, leave nothing to decide.
    two_words = a_signature("two-words", confidence=0.9, when={"all": [{"text": "BROKEN"}, {"text": "TORN"}]})
    assert undecided(best, two_words, bundle=a_bundle(flannel="BROKEN\nTORN\n")) is None
    assert (
        undecided(a_signature("hint", confidence=0.2), a_signature("hint2", confidence=0.2, cause="image-pull")) is None
    )


def test_every_quoted_line_is_masked():
    signature = a_signature(contradicts=[{"text": "secret"}])
    line = "2025-03-04T09:11:31Z BROKEN secret"

    document = (
        diagnose(a_bundle(flannel=line + "\n"), [signature])
        .masked(lambda text: text.replace("secret", "***"))
        .to_json()
    )

    assert document["timeline"]
    assert document["findings"][0]["against"]
    assert "secret" not in json.dumps(document)


@pytest.mark.parametrize(
    ("where", "facts", "found"),
    [
        ({"distributions": ["rke2"]}, {"distribution": "rke1"}, False),
        ({"distributions": ["rke2"]}, {"distribution": "rke2"}, True),
        ({"distributions": ["rke2"]}, {}, True),
        ({"cni": ["canal"]}, {"cni": "calico"}, False),
        ({"cni": ["canal"]}, {}, True),
        ({"kubernetes": ">=1.32 <1.33"}, {"kubernetes": "v1.32.2-rancher1-1"}, True),
        ({"kubernetes": ">=1.32 <1.33"}, {"kubernetes": "v1.31.9+rke2r1"}, False),
        ({"kubernetes": [">=1.30 <1.31", ">=1.32"]}, {"kubernetes": "v1.33.1"}, True),
        ({"kubernetes": ">=1.32"}, {"kubernetes": "not a version"}, True),
        ({"rancher": ">=2.10.4 <2.11"}, {"rancher": "v2.11.0-alpha7"}, False),
        ({"rancher": ">=2.10.4 <2.11"}, {"rancher": "v2.10.5"}, True),
    ],
)
def test_applies_excludes_on_known_values_only(where, facts, found):
    assert bool(diagnose(BROKEN, [a_signature(applies=where)], cluster(**facts)).findings) is found


def test_an_operating_system_excludes_when_every_node_is_known():
    signature = a_signature(applies={"os": "windows"})
    linux, unknown = NodeFacts("a", os="linux"), NodeFacts("b")

    assert not diagnose(BROKEN, [signature], Facts(nodes=(linux,))).findings
    assert diagnose(BROKEN, [signature], Facts(nodes=(linux, unknown))).findings
    assert diagnose(BROKEN, [signature], Facts(nodes=(linux, NodeFacts("c", os="windows")))).findings


def test_what_is_normal_for_young_nodes_is_no_finding_there():
    signature = a_signature(minutes=2)

    assert not diagnose(BROKEN, [signature], Facts(nodes=(NodeFacts("a", age=60),))).findings
    assert diagnose(BROKEN, [signature], Facts(nodes=(NodeFacts("a", age=60), NodeFacts("b", age=600)))).findings
    assert diagnose(BROKEN, [signature], Facts(nodes=(NodeFacts("a", age=60), NodeFacts("b")))).findings


def order(*signatures):
    return [finding.signature for finding in diagnose(BROKEN, signatures).findings]


def test_causes_come_before_their_symptoms_whatever_their_confidence():
    cause = a_signature("cause", confidence=0.6, explains=["symptom"])
    symptom = a_signature("symptom", confidence=0.9)

    assert order(symptom, cause) == ["cause", "symptom"]
    assert diagnose(BROKEN, [symptom, cause]).findings[1].explained_by == "cause"


def test_a_mere_hint_explains_nothing():
    assert order(a_signature("symptom", confidence=0.9), a_signature("hint", confidence=0.2, explains=["symptom"])) == [
        "symptom",
        "hint",
    ]


def test_two_that_explain_each_other_are_ranked_by_confidence():
    assert order(a_signature("a", confidence=0.5, explains=["b"]), a_signature("b", explains=["a"])) == ["b", "a"]


def test_equal_confidence_prefers_the_more_specific_and_then_the_name():
    specific = a_signature("z-specific", when={"all": [{"text": "BROKEN"}, {"text": "BROK"}]})

    assert order(a_signature("b"), a_signature("a"), specific) == ["z-specific", "a", "b"]


@pytest.mark.parametrize(
    ("fields", "facts", "verdict"),
    [
        ({}, {}, Verdict.CNI_FAILURE),
        ({}, {"cni": "canal"}, Verdict.CNI_FAILURE),
        ({}, {"cni": "calico"}, Verdict.OTHER_FAILURE),
        ({"cause": "other-cni"}, {}, Verdict.OTHER_FAILURE),
        ({"cause": "healthy-lookalike"}, {}, Verdict.OTHER_FAILURE),
        ({"verdict": "healthy"}, {}, Verdict.HEALTHY),
        ({"confidence": 0.2}, {}, Verdict.UNKNOWN),
        ({"when": {"all": [{"text": "MISSING"}]}}, {}, Verdict.UNKNOWN),
    ],
)
def test_the_best_finding_gives_the_verdict(fields, facts, verdict):
    diagnosis = diagnose(BROKEN, [a_signature(**fields)], cluster(**facts))

    assert diagnosis.verdict is verdict
    assert diagnosis.summary
    if verdict is Verdict.CNI_FAILURE:
        assert diagnosis.best.evidence


READY = NodeFacts("w1", "True")
CANAL = PodFacts("canal-4tz9k", "kube-system", status="Running", ready=2, total=2)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (Facts(nodes=(READY,), pods=(CANAL,)), Verdict.HEALTHY),
        (Facts(nodes=(READY,), daemonsets=(DaemonSetFacts("canal", desired=3, ready=3),)), Verdict.HEALTHY),
        (Facts(nodes=(READY,), daemonsets=(DaemonSetFacts("canal", desired=3, ready=2),)), Verdict.UNKNOWN),
        (Facts(nodes=(READY,), cluster=ClusterFacts(distribution="k3s")), Verdict.HEALTHY),
        (Facts(nodes=(READY,)), Verdict.UNKNOWN),
        (Facts(nodes=(READY, NodeFacts("w2")), pods=(CANAL,)), Verdict.UNKNOWN),
        (Facts(nodes=(READY,), pods=(CANAL, PodFacts("canal-b", ready=1, total=2))), Verdict.UNKNOWN),
        (Facts(nodes=(READY,), pods=(CANAL,), conditions=(ConditionFact("cluster", "c", "Connected", "False"),)), Verdict.UNKNOWN),
        (Facts(pods=(CANAL,)), Verdict.UNKNOWN),
        (Facts(), Verdict.UNKNOWN),
    ],
)  # fmt: skip
def test_healthy_needs_proof(facts, verdict):
    assert diagnose(a_bundle(flannel="fine"), [a_signature()], facts).verdict is verdict


def test_unknown_says_what_would_help():
    missing = diagnose(Bundle.of({}), [a_signature()], Facts(nodes=(READY,))).missing

    assert not any("nodes with" in line for line in missing)
    assert any("logs of the Flannel or Canal pods" in line for line in missing)


def test_the_json_is_the_contract():
    manifest = Manifest(cluster_id="c-m-abc", collectors=(CollectorReport("logs", CollectorStatus.OK),))
    bundle = Bundle.of({FLANNEL_LOG: "BROKEN\n"}, manifest)
    facts = cluster(id="c-m-abc", distribution="rke2", cni="canal", kubernetes="v1.32.2+rke2r1")
    diagnosis = diagnose(bundle, [a_signature()], facts)

    document = json.loads(json.dumps(diagnosis.to_json(lambda finding: (f"mend-{finding.signature}", "safe"))))

    assert document["schema"] == 1
    assert document["verdict"] == "cni-failure"
    assert document["cluster"] | {"name": None} == {
        "id": "c-m-abc",
        "name": None,
        "distribution": "rke2",
        "cni": "canal",
        "kubernetes": "v1.32.2+rke2r1",
    }
    [finding] = document["findings"]
    assert {key: finding[key] for key in ("signature", "cause", "confidence", "title", "evidence", "playbook", "risk", "references")} == {
        "signature": "sample",
        "cause": "kernel-module-missing",
        "confidence": 0.8,
        "title": "Something is wrong here",
        "evidence": [{"source": FLANNEL_LOG, "line": 1, "text": "BROKEN"}],
        "playbook": "mend-sample",
        "risk": "safe",
        "references": ["https://example.com/x"],
    }  # fmt: skip
    assert document["collectors"] == [{"name": "logs", "status": "ok", "reason": None}]
    assert diagnosis.to_json()["findings"][0]["playbook"] is None


def test_evidence_is_capped_and_says_each_line_once():
    signature = a_signature(when={"all": [{"text": f"BROK{end}", "at_least": 1} for end in ("E", "EN", "")]})

    evidence = diagnose(a_bundle(flannel="BROKEN\n" * 50), [signature]).best.evidence

    assert len(evidence) <= 8
    assert len({(line.source, line.line) for line in evidence}) == len(evidence)


def test_object_evidence_is_quoted_by_its_place():
    facts = Facts(nodes=(NodeFacts("w1", "False", at=Place("nodes.txt", 3, "w1 NotReady")),))

    [line] = diagnose(Bundle.of({}), [a_signature(when={"all": [{"node": 'ready == "False"'}]})], facts).best.evidence

    assert (line.source, line.line, line.text) == ("nodes.txt", 3, "w1 NotReady")
