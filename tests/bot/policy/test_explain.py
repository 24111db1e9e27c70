"""Does the explanation name every rule and brake, and say the same as the decision?"""

from dataclasses import replace

from bot.policy.decide import Allow, Elsewhere, NeedsApproval, Wait, decide
from bot.policy.explain import explain
from bot.policy.schema import Policy
from rancher_ext.remediation.action import Risk
from tests.bot.policy.test_decide import AUTO, SHIPPED, approved, facts


def lines(policy, given):
    return {line.name: line for line in explain(policy, given).lines}


def test_every_rule_and_every_brake_is_named_with_its_verdict():
    given = facts(labels=AUTO, actions=("host-fix",), risk=Risk.SAFE)
    told = lines(SHIPPED, given)
    assert list(told) == [
        "dry-run", "opt-out", "label for host-fix", "rule 1", "rule 2", "rule 3", "rule 4", "approvals", "snooze", "undo",
        "failed-before", "undecided", "storm", "demotion", "canary-failed", "pause", "cluster", "clusters-at-once",
        "signature-per-hour", "playbook-per-hour", "canary",
    ]  # fmt: skip
    assert told["label for host-fix"].verdict == "refuses"
    assert (told["rule 3"].verdict, told["rule 4"].verdict) == ("no", "decides")
    assert told["rule 1"].text == (
        "never for risk destructive, label environment=production: nothing destructive happens to a production cluster by Drover's hand"
    )
    assert told["rule 3"].text.startswith("dry-run, unless approved for signature younger than 14 d: ")


def test_without_a_rule_that_fits_the_default_decides():
    told = lines(SHIPPED, facts())
    assert told["default"].verdict == "decides"
    assert told["approvals"].verdict == "missing"
    assert told["approvals"].text == "0 of 1 with the role write or higher"
    assert (
        lines(SHIPPED, facts(approvals=[approved()]))["approvals"].text == "1 of 1 with the role write or higher: maria"
    )


def test_numbers_stand_here_that_the_issue_does_not_repeat():
    told = lines(SHIPPED, facts(mending_now=2, elsewhere=Elsewhere(signature_begun=4, stuck_lately=7, fleet=90)))
    assert told["clusters-at-once"].text == "2 of 3 clusters are being mended"
    assert told["signature-per-hour"].text == "4 of 6 cures of the same signature have begun within an hour"
    assert told["storm"].text == "7 of 90 clusters became stuck within 30 min"


def test_what_narrows_the_answer_is_what_matters():
    for given in (
        facts(labels=AUTO),
        facts(labels=AUTO, paused=True),
        facts(labels=AUTO, failed_before=True),
        facts(approvals=[approved()], elsewhere=Elsewhere(goes_first="edge-01")),
        facts(dry_run=True),
    ):
        explained = explain(SHIPPED, given)
        assert explained.decision == decide(SHIPPED, given)
        matters = {line.verdict for line in explained.lines if line.matters}
        match explained.decision:
            case Allow():
                assert not matters - {"decides", "missing"}
            case Wait():
                assert "holds" in matters
            case NeedsApproval():
                assert {"missing"} <= matters
            case _:
                assert "refuses" in matters


def test_json_holds_decision_and_lines():
    said = explain(Policy(), replace(facts(), paused=True)).to_json()
    assert said["decision"] == "needs-approval"
    assert {
        "name": "pause",
        "verdict": "holds",
        "text": "Drover is paused: `drover resume` on its machine lets it act again",
    } in said["lines"]
