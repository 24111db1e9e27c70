"""Predicates that hold others: groups, the same node, the same pod, and what was not seen since."""

from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.bundle.facts import ConditionFact, EventFact, Facts, NodeFacts, Place, PodFacts
from rancher_ext.signatures.predicate_schema import nesting_problem
from tests.rancher_ext.signatures.asking import ask, parsed, truth
from tests.rancher_ext.signatures.builders import a_bundle

CNI = {"workload": "cni"}
BAD = {"log": "BAD", "from": CNI}
WORSE = {"log": "WORSE", "from": CNI}
KUBELET = {"log": "uninitialized", "from": {"unit": "kubelet"}}


# -- groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicate", "files", "expected"),
    [
        ({"any": [BAD, WORSE]}, {"flannel": "WORSE"}, "true"),
        ({"any": [BAD, WORSE]}, {"flannel": "fine"}, "false"),
        ({"any": [BAD, KUBELET]}, {"flannel": "fine"}, "unknown"),
        ({"any": [BAD, KUBELET]}, {"flannel": "BAD"}, "true"),
        ({"any": [BAD, WORSE], "at_least": 2}, {"flannel": "BAD"}, "false"),
        ({"any": [BAD, WORSE], "at_least": 2}, {"flannel": "BAD\nWORSE"}, "true"),
        ({"any": [BAD, WORSE]}, {"paste": "BAD"}, "true?"),
        ({"all": [BAD, WORSE]}, {"flannel": "BAD\nWORSE"}, "true"),
        ({"all": [BAD, WORSE]}, {"flannel": "BAD"}, "false"),
        ({"all": [BAD, KUBELET]}, {"flannel": "BAD"}, "unknown"),
        ({"all": [BAD, KUBELET]}, {"flannel": "fine"}, "false"),
        ({"all": [BAD, WORSE]}, {"flannel": "BAD", "paste": "WORSE"}, "true?"),
        ({"absent": {"any": [BAD, WORSE]}}, {"flannel": "fine"}, "true"),
        ({"absent": {"all": [BAD, WORSE]}}, {"flannel": "BAD"}, "true"),
    ],
)
def test_groups_join_truths(predicate, files, expected):
    assert truth(predicate, a_bundle(**files)) == expected


def test_a_group_shows_a_line_of_each_member():
    outcome = ask({"all": [BAD, WORSE]}, a_bundle(flannel="BAD 1\nBAD 2\nBAD 3\nWORSE\n"))

    assert {place.text for place in outcome.evidence} >= {"BAD 1", "WORSE"}


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ({"any": [BAD, {"any": [BAD, WORSE]}]}, "`any` stands directly inside `any`"),
        ({"absent": {"absent": BAD}}, "`absent` stands directly inside `absent`"),
        ({"absent": {"any": [BAD, {"all": [BAD, WORSE]}]}}, "more than 3 deep"),
        ({"all": [BAD, WORSE], "at_least": 1}, "`all` has no at_least"),
        ({"any": [BAD | {"if_unknown": "match"}, WORSE]}, "if_unknown belongs to"),
        ({"together": {"by": "node", "all": [{"text": "x1"}]}}, "`text` belongs to no node or pod"),
        ({"together": {"by": "node", "all": [{"absent": {"text": "x1"}}]}}, "belongs to no node or pod"),
        ({"never_since": {"of": {"node": "true"}, "since": BAD}}, "`node` happens at no time"),
    ],
)
def test_what_nobody_could_answer_is_refused(predicate, said):
    assert said in (nesting_problem(parsed(predicate)) or "")


# -- the same node, the same pod ---------------------------------------------------------------------------------------


def log(pod):
    return f"logs/kube-system/{pod}/kube-flannel.log"


PODS = (
    PodFacts("canal-aaaaa", "kube-system", "w1", "CrashLoopBackOff", 1, 2, 9),
    PodFacts("canal-bbbbb", "kube-system", "w2", "Running", 2, 2, 0),
    PodFacts("canal-ccccc", "kube-system", "w3", "Running", 2, 2, 0),
)
NODES = (
    NodeFacts("w1", "False", (ConditionFact("node", "w1", "Ready", "False", "KubeletNotReady", "x"),)),
    NodeFacts("w2", "False", (ConditionFact("node", "w2", "Ready", "False", "KubeletNotReady", "x"),)),
    NodeFacts("w3", "True", (ConditionFact("node", "w3", "Ready", "True", "KubeletReady", "x"),)),
)
EVENTS = (
    EventFact("back-off", "Warning", "BackOff", "Pod", "canal-aaaaa", "kube-system", 7),
    EventFact("rebooted", "Warning", "Rebooted", "Node", "w3", None, 1),
)
FACTS = Facts(nodes=NODES, pods=PODS, events=EVENTS)
LOGS = Bundle.of({log("canal-aaaaa"): "BAD\n", log("canal-bbbbb"): "fine\n", log("canal-ccccc"): "BAD\n"})


def together(*predicates, on="node", **more):
    return {"together": {"by": on, "all": list(predicates)}, **more}


NOT_READY = {"node": 'ready == "False"'}
CRASHING = {"pod": 'status == "CrashLoopBackOff"', "of": CNI}


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (together(BAD, NOT_READY), "true"),
        (together(BAD, NOT_READY, at_least=2), "false"),
        (together(BAD, {"absent": NOT_READY}), "true"),
        (together(BAD, {"absent": NOT_READY}, {"event": {"reason": "Rebooted"}}), "true"),
        (together(CRASHING, {"event": {"reason": "Rebooted"}}), "false"),
        (together(CRASHING, {"event": {"reason": "BackOff"}}), "true"),
        (together(BAD, share=">60%"), "true"),
        (together(BAD, share=">70%"), "false"),
        (together({"condition": {"of": "node", "type": "Ready", "status": "False"}}, at_least=2), "true"),
        (together({"condition": {"of": "node", "type": "Ready", "status": "False"}}, BAD, at_least=2), "false"),
        (together({"any": [CRASHING, {"event": {"kind": "Node", "reason": "Rebooted"}}]}, at_least=2), "true"),
        (together(BAD, CRASHING, on="pod"), "true"),
        (together(BAD, {"pod": "ready == total"}, on="pod"), "true"),
        (together(BAD, {"event": {"reason": "BackOff"}}, {"pod": "ready == total"}, on="pod"), "false"),
        (together(BAD, NOT_READY, on="pod"), "true"),
        # Nobody collected a kubelet's log, so that no node can be asked.
        (together(KUBELET, NOT_READY), "unknown"),
    ],
)
def test_evidence_is_joined_by_node_and_by_pod(predicate, expected):
    assert truth(predicate, LOGS, FACTS) == expected


def test_two_halves_on_different_nodes_are_no_whole():
    """The point of a join: each half alone is true."""
    elsewhere = Bundle.of({log("canal-ccccc"): "BAD\n", log("canal-aaaaa"): "fine\n", log("canal-bbbbb"): "fine\n"})

    assert truth({"all": [BAD, NOT_READY]}, elsewhere, FACTS) == "true"
    assert truth(together(BAD, NOT_READY), elsewhere, FACTS) == "false"


def test_a_node_whose_log_was_not_collected_is_unknown_not_spared():
    half = Bundle.of({log("canal-ccccc"): "BAD\n"})

    assert truth(together(BAD, NOT_READY), half, FACTS) == "unknown"


def test_a_node_log_belongs_to_its_node():
    bundle = Bundle.of({"logs/kubelet/w1.log": "cni uninitialized\n", "logs/kubelet/w3.log": "fine\n"})

    assert truth(together(KUBELET, BAD), Bundle.of({**dict.fromkeys([log("canal-aaaaa")], "BAD\n"), "logs/kubelet/w1.log": "cni uninitialized\n"}), FACTS) == "true"  # fmt: skip
    assert truth(together(KUBELET, {"node": 'ready == "True"'}), bundle, FACTS) == "false"


# -- never since -------------------------------------------------------------------------------------------------------

FAILED = {"log": "sandbox failed", "from": {"unit": "kubelet"}}
WORKED = {"log": "sandbox made", "from": {"unit": "kubelet"}}


def never(since=FAILED, of=WORKED, **more):
    return {"never_since": {"of": of, "since": since, **more}}


def stamped(*lines):
    return "".join(f"2025-03-04T09:{minute:02}:00Z {text}\n" for minute, text in lines)


BAD_LINE, GOOD_LINE = "sandbox failed", "sandbox made"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (stamped((1, BAD_LINE), (2, BAD_LINE)), "true"),
        (stamped((1, GOOD_LINE), (2, BAD_LINE)), "true"),
        (stamped((1, BAD_LINE), (2, GOOD_LINE)), "false"),
        (stamped((1, BAD_LINE), (2, GOOD_LINE), (3, BAD_LINE)), "false"),
        # Without stamps the order of the lines tells.
        (f"{GOOD_LINE}\n{BAD_LINE}\n", "true"),
        (f"{BAD_LINE}\n{GOOD_LINE}\n", "false"),
        (stamped((1, "something else")), "false"),
    ],
)
def test_one_success_after_the_first_failure_decides(text, expected):
    """A hundred errors of a start say less than one success after them."""
    assert truth(never(), a_bundle(kubelet=text)) == expected


def test_a_success_that_repeats_is_followed_to_its_last_line():
    many = "".join(f"2025-03-04T08:{minute:02}:00Z {GOOD_LINE}\n" for minute in range(50))

    assert truth(never(), a_bundle(kubelet=many + stamped((1, BAD_LINE)))) == "true"
    assert truth(never(), a_bundle(kubelet=stamped((0, BAD_LINE)) + many.replace("T08", "T10"))) == "false"
    late = many + stamped((1, BAD_LINE), (2, GOOD_LINE))
    assert truth(never(), a_bundle(kubelet=late)) == "false"


def test_it_is_unknown_where_a_success_could_not_have_been_seen():
    of = {"log": "sandbox made", "from": {"unit": "containerd"}}

    assert truth(never(of=of), a_bundle(kubelet=stamped((1, BAD_LINE)))) == "unknown"
    assert truth(never(), a_bundle(events="x")) == "unknown"


def test_a_failure_may_have_to_last():
    text = stamped((1, BAD_LINE), (9, BAD_LINE))

    assert truth(never(lasting="8m"), a_bundle(kubelet=text)) == "true"
    assert truth(never(lasting="9m"), a_bundle(kubelet=text)) == "false"
    assert truth(never(lasting="1m"), a_bundle(kubelet=f"{BAD_LINE}\n{BAD_LINE}\n")) == "unknown"


def test_each_node_is_asked_for_itself():
    """A success on one node excuses no other."""
    bundle = Bundle.of(
        {"logs/kubelet/w1.log": stamped((1, BAD_LINE), (2, BAD_LINE)), "logs/kubelet/w2.log": stamped((5, GOOD_LINE))}
    )

    assert truth(never(), bundle) == "false"
    assert truth(never(by="node"), bundle) == "true"
    assert truth(never(by="node") | {"at_least": 2}, bundle) == "false"


def test_clocks_that_cannot_be_compared_leave_it_open():
    """klog has no zone: an hour against a container runtime's stamp in UTC tells nothing."""
    since = {"log": "BAD", "from": CNI}
    bundle = a_bundle(
        flannel="E0304 09:11:31.401117       1 main.go:268] BAD\n", kubelet="2025-03-04T10:00:00Z sandbox made\n"
    )

    assert truth(never(since=since), bundle) == "unknown"
    days_later = a_bundle(
        flannel="E0304 09:11:31.401117       1 main.go:268] BAD\n", kubelet="2025-03-06T10:00:00Z sandbox made\n"
    )
    assert truth(never(since=since), days_later) == "false"


def recovered(**more):
    return {"seen_since": {"of": WORKED, "since": FAILED, **more}}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"kubelet": stamped((1, BAD_LINE), (2, GOOD_LINE))}, "true"),
        ({"kubelet": stamped((1, BAD_LINE), (2, GOOD_LINE), (3, BAD_LINE))}, "true"),
        ({"kubelet": stamped((1, GOOD_LINE), (2, BAD_LINE))}, "false"),
        # Nothing failed: nothing was overcome. `absent: never_since` would say yes here.
        ({"kubelet": stamped((1, GOOD_LINE))}, "false"),
        ({"kubelet": stamped((1, "something else"))}, "false"),
        ({"events": "x"}, "unknown"),
        ({"paste": f"{BAD_LINE}\n{GOOD_LINE}\n"}, "unknown"),
    ],
)
def test_a_failure_that_was_overcome_is_no_failure_any_more(files, expected):
    assert truth(recovered(), a_bundle(**files)) == expected


def test_both_halves_of_an_overcome_failure_are_shown():
    outcome = ask(recovered(), a_bundle(kubelet=stamped((1, BAD_LINE), (2, GOOD_LINE))))

    assert [place.line for place in outcome.evidence] == [1, 2]


def test_every_node_has_to_overcome_it_for_itself():
    bundle = Bundle.of(
        {
            "logs/kubelet/w1.log": stamped((1, BAD_LINE), (3, GOOD_LINE)),
            "logs/kubelet/w2.log": stamped((2, BAD_LINE)),
        }
    )

    assert truth(recovered(by="node"), bundle) == "true"
    assert truth(recovered(by="node") | {"at_least": 2}, bundle) == "false"
    # Of those that failed, not of all there are.
    assert truth(recovered(by="node") | {"share": ">=100%"}, bundle) == "false"
    assert truth(recovered(by="node") | {"share": ">=50%"}, bundle) == "true"


def event(reason, age, kind="Pod", name="coredns-1"):
    return EventFact("m", "Warning", reason, kind, name, None, 1, age, Place("events.txt", age, f"{age}s {reason}"))


def test_events_are_ordered_by_their_age():
    question = {
        "never_since": {
            "of": {"event": {"reason": "Started"}},
            "since": {"event": {"reason": "FailedCreatePodSandBox"}},
        }
    }

    def asked(*events):
        return truth(question, None, Facts(events=events))

    assert asked(event("FailedCreatePodSandBox", 600), event("Started", 900)) == "true"
    assert asked(event("FailedCreatePodSandBox", 600), event("Started", 30)) == "false"
    assert asked(event("Started", 30)) == "false"


def test_an_empty_listing_of_events_is_an_answer():
    question = {"never_since": {"of": {"event": {"reason": "Started"}}, "since": FAILED}}
    bundle = a_bundle(kubelet=stamped((1, BAD_LINE)))

    assert truth(question, bundle, Facts(listed=frozenset({"Event"}))) == "true"
    assert truth(question, bundle, Facts()) == "unknown"
    joined = together({"absent": {"event": {"reason": "Rebooted"}}}, NOT_READY)
    assert truth(joined, None, Facts(nodes=NODES, listed=frozenset({"Event"}))) == "true"
    assert truth(joined, None, Facts(nodes=NODES)) == "unknown"


def test_events_and_logs_meet_where_the_collection_has_a_time():
    question = never(of={"event": {"reason": "Started"}})
    collected = Manifest(collected_at=datetime(2025, 3, 4, 10, 0, tzinfo=UTC))
    text = {"logs/kubelet/w1.log": stamped((30, BAD_LINE))}

    def asked(age, manifest):
        return truth(question, Bundle.of(text, manifest), Facts(events=(event("Started", age),)))

    assert asked(600, collected) == "false"
    assert asked(3600, collected) == "true"
    assert asked(600, None) == "unknown"


# -- events in time ----------------------------------------------------------------------------------------------------

OFTEN = EventFact(
    "m", "Warning", "BackOff", "Pod", "p", None, 312, 4440,
    Place("events.txt", 2, "kube-system   3s (x312 over 74m)   Warning   BackOff   pod/p   m"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("where", "fact", "expected"),
    [
        ({"within": "10m"}, event("BackOff", 300), "true"),
        ({"within": "10m"}, event("BackOff", 900), "false"),
        ({"before": "10m"}, event("BackOff", 900), "true"),
        ({"before": "10m", "within": "12m"}, event("BackOff", 900), "false"),
        # Of an event that repeats, the last time counts, not the first.
        ({"within": "1m"}, OFTEN, "true"),
        ({"within": "1m"}, EventFact("m", "Warning", "BackOff"), "true?"),
    ],
)
def test_events_within_a_time(where, fact, expected):
    assert truth({"event": {"reason": "BackOff", **where}}, None, Facts(events=(fact,))) == expected
