"""What a person reads in a terminal after an analysis."""

import pytest

from bot.cli.findings import print_diagnosis


def a_finding(signature="br-netfilter", **fields):
    return {
        "signature": signature,
        "title": f"Title of {signature}",
        "confidence": 0.95,
        "because": "Because.",
        "advice": "Load it.",
        "evidence": [{"source": "a.log", "line": 3, "text": "so BROKEN"}],
        "against": [],
        "affected": None,
        "explainedBy": None,
        "missing": [],
        "playbook": None,
        "risk": None,
        "references": [],
        **fields,
    }


@pytest.fixture
def printed(capsys):
    def show(*findings, **fields):
        found = {"verdict": "cni-failure", "cluster": {}, "findings": list(findings), "collectors": [], **fields}
        print_diagnosis(found)
        return capsys.readouterr().out

    return show


def test_the_cause_stands_first_and_what_follows_from_it_is_called_a_symptom(printed):
    text = printed(
        a_finding(),
        a_finding("rival", confidence=0.9),
        a_finding("symptom", explainedBy="br-netfilter", confidence=0.99),
    )

    assert "Cause     Title of br-netfilter (95% sure)\n" in text
    assert "Or        Title of rival (90% sure)\n" in text
    assert "Symptom   Title of symptom (follows from br-netfilter)\n" in text
    assert "99%" not in text


def test_nodes_and_what_speaks_against_it(printed):
    text = printed(
        a_finding(
            affected={"text": "all 12 el10 nodes, none elsewhere"},
            against=[{"source": "nodes.txt", "line": 9, "text": "w1 Ready"}],
        )
    )

    assert "Where     all 12 el10 nodes, none elsewhere\n" in text
    assert "Against   nodes.txt:9\n          w1 Ready\n" in text


def test_what_is_not_decided_is_said_with_the_reason(printed):
    text = printed(
        a_finding(),
        a_finding("rival"),
        undecided={"signatures": ["br-netfilter", "rival"], "why": "both rest on the same lines"},
    )

    assert "Undecided between this and rival: both rest on the same lines.\n" in text


def test_moments_stand_in_a_column(printed):
    moments = [
        {"when": "2025-03-04 09:11:31 UTC", "text": "kubelet on w1: no network", "alike": 2},
        {"when": "Mar 04 09:12:00", "text": "cluster: Waiting is Unknown", "alike": 0},
    ]

    assert (
        "When      2025-03-04 09:11:31 UTC  kubelet on w1: no network (and 2 alike)\n"
        "          Mar 04 09:12:00          cluster: Waiting is Unknown\n"
    ) in printed(a_finding(), timeline=moments)
    assert "When" not in printed(a_finding(), timeline=moments[:1])
    assert "          and 4 more moments in the JSON\n" in printed(a_finding(), timeline=moments * 6)


@pytest.mark.parametrize(
    ("verdict", "confidence", "said"),
    [("cni-failure", 0.95, False), ("cni-failure", 0.7, True), ("unknown", 0.95, True)],
)
def test_wishes_are_told_where_it_is_not_sure_enough(printed, verdict, confidence, said):
    text = printed(a_finding(confidence=confidence, missing=["lsmod of the node"]), verdict=verdict)

    assert ("Surer     lsmod of the node\n" in text) is said
