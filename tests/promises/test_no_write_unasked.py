"""No sequence of events, approvals, edits and failures makes a write without stored pre-image, lock and allowed decision.

The real service (watchman, desk, runbook, steps) meets a random life: between any two steps somebody approves, edits or deletes a
comment, pauses, sets a label, changes the cluster by hand, the policy is replaced, Rancher loses an answer, another worker takes the
lease, or the process dies. At the moment of every write that takes effect in Rancher it is asked: was it allowed? What is allowed is
told by a model that knows only what people did, and nothing of Drover's own books.
"""

import tempfile
from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.adapters.in_memory import InMemoryIncidents
from bot.errors import StoreError
from bot.incidents.incident import State
from bot.incidents.timeline import broken_link
from bot.knowledge import load_policy
from bot.policy.schema import Policy
from bot.workflows.desk import Heard
from bot.workflows.lease import Leases
from bot.workflows.mending import Mending
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.errors import DroverError, RancherError
from rancher_ext.remediation.action import UndoKind
from rancher_ext.remediation.plan import Plan
from tests.promises.baton import Killed, taking_turns
from tests.promises.house import WIDEST, House
from tests.promises.in_process import InProcessTransport

JAN = "token-jan:a-person-in-the-rancher-ui"
ROLES = {"maria": "write", "jan": "admin", "ann": "admin", "eve": "none"}
NEVER = Policy.model_validate({"rules": [{"when": {}, "decide": "never"}]})
POLICIES = {"shipped": load_policy(), "widest": WIDEST, "never": NEVER}
SCENARIOS = (
    "rke1-canal-br-netfilter",
    "rke1-canal-cure-fails",
    "rke2-flannel-kubelet-flag",
    "rke2-canal-crd-missing-upgrade",
)
QUIET = ("nothing",) * 8
AGREEING = ("approve maria", "approve jan", "approve ann", "approve eve")
EVENTS = (
    *QUIET, *AGREEING, "edit", "delete", "reject", "retry", "rollback", "diagnose", "pause", "resume", "opt out", "opt in",
    "auto", "policy shipped", "policy widest", "policy never", "by hand", "drop before", "drop after", "refuse", "away",
    "store fails", "other worker", "kill", "kill after", "edit @begin", "store fails @begin", "kill after @begin",
    "pause @apply", "opt out @apply", "policy never @apply", "drop after @apply", "kill after @apply", "by hand @apply",
    "other worker @apply", "rollback @prove", "kill after @take_back", "drop after @take_back",
)  # fmt: skip


class PersonsTransport(InProcessTransport):
    """Somebody who changes things in Rancher by hand."""

    def __init__(self, fleet: Any) -> None:
        super().__init__(fleet)
        self._token = TokenSource(JAN)


class Life:
    """One cluster, one incident (or several episodes), and what happens to them."""

    def __init__(self, home: Path, scenario: str, events: list[str], policy: str) -> None:
        self.house = House(home, POLICIES[policy], between=self.between, after=self.after)
        self.house.fleet.add_token(JAN, user="user-jan")
        self.person: Transport = PersonsTransport(self.house.fleet)
        self.cluster = self.house.fleet.add(scenario, "edge-01")
        self.events = deque(events)
        self.comments: dict[int, tuple[str, str]] = {}
        self.voided: list[int] = []
        self.failing_store = False
        self.dies_after = False
        self.wrongs: list[str] = []
        self.begun: dict[str, str] = {}
        self.forward = self.back = 0
        self._watch()

    # --- what happens ---

    def between(self, run: str, step: str) -> None:
        if not self.events:
            return
        event, _, name = self.events[0].partition(" @")
        # What has its step waits for it.
        if not name or name == step:
            self.events.popleft()
            self.happen(event)

    def after(self, run: str, step: str) -> None:
        if self.dies_after:
            self.dies_after = False
            raise Killed

    def happen(self, event: str) -> None:
        word, _, rest = event.partition(" ")
        faults, book = self.house.fleet.faults, self.house.book
        if word == "approve":
            self.say(rest, f"/drover approve {self.digest()[:8]}")
        elif word in {"reject", "retry", "rollback", "diagnose"}:
            self.say("jan", f"/drover {word}")
        elif word in {"edit", "delete"}:
            self.take_back_a_comment(word)
        elif event in {"pause", "resume"}:
            book.set_note("paused", event == "pause")
        elif event in {"opt out", "opt in", "auto"}:
            value = {"opt out": {"drover.io/ignore": "true"}, "opt in": {"drover.io/ignore": None}}
            self.by_hand({"metadata": {"labels": value.get(event, {"drover.io/mend": "auto"})}})
        elif word == "policy":
            self.house.policy = POLICIES[rest]
        elif event == "by hand":
            self.by_hand({"spec": {"rancherKubernetesEngineConfig": {"network": {"mtu": 1400}}}})
        elif word == "drop":
            faults.add("drop", method="PATCH", count=1, after_handling=rest == "after")
        elif event == "refuse":
            faults.add("status", method="PATCH", count=2, status=503)
        elif event == "away":
            faults.add("status", path="^/(k8s|v3)/", count=6, status=503)
        elif event == "store fails":
            self.failing_store = True
        elif event == "other worker":
            book.lease(self.key, "another-worker#incident:other", self.now, timedelta(minutes=20))
        elif event == "kill":
            raise Killed
        elif event == "kill after":
            self.dies_after = True

    def say(self, by: str, body: str) -> None:
        row = self.row
        if row is None or row.issue is None:
            return
        said = self.house.tracker.say(by, row.issue, body)
        self.comments[said.id] = (by, body)
        self.hear("created", said)

    def hear(self, action: str, said: Any) -> None:
        heard = Heard(
            action, said.issue, said.id, said.author, author_is_bot=False, body=said.body, updated_at=said.updated_at,
            edited=action != "created",
        )  # fmt: skip
        try:
            self.house.desk.hear(heard)
        except DroverError:
            return

    def take_back_a_comment(self, how: str) -> None:
        left = [number for number in self.comments if number not in self.voided]
        if not left:
            return
        number = left[-1]
        self.voided.append(number)
        if how == "edit":
            self.hear("edited", self.house.tracker.change(number, "on second thoughts, no"))
        else:
            gone = self.house.tracker.comment(number)
            self.house.tracker.withdraw(number)
            if gone is not None:
                self.hear("deleted", replace(gone, updated_at=gone.updated_at + timedelta(seconds=1)))

    def by_hand(self, patch: dict[str, Any]) -> None:
        path = f"/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{self.cluster.id}"
        try:
            self.person.request("PATCH", path, body=patch, content_type="application/merge-patch+json")
        except RancherError:
            return

    # --- what is true, without Drover's own books ---

    @property
    def now(self) -> datetime:
        return self.house.clock.now()

    @property
    def key(self) -> Any:
        return self.house.parts.ranchers["default"].reader.cluster(self.cluster.id).key

    @property
    def row(self) -> Any:
        rows = self.house.book.all(only_open=True)
        return rows[0] if rows else None

    def digest(self) -> str:
        return (self.row.plan or {}).get("digest", "000000") if self.row else "000000"

    def labels(self) -> dict[str, str]:
        management = self.person.get_json(
            f"/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{self.cluster.id}"
        )
        return dict(management["metadata"].get("labels") or {})

    def agreed(self, plan: Plan) -> bool:
        """By as many people of the role as the policy asks for, in comments that nobody touched since."""
        need = self.house.policy.need(plan.risk)
        ranks = ("none", "read", "triage", "write", "maintain", "admin")
        people = {
            by
            for number, (by, body) in self.comments.items()
            if number not in self.voided
            and body == f"/drover approve {plan.digest[:8]}"
            and ranks.index(ROLES[by]) >= ranks.index(need.by)
        }
        return len(people) >= need.needs

    def may_begin(self, row: Any, plan: Plan) -> str:
        """Why this plan must not begin now; empty when it may."""
        if self.house.policy is NEVER:
            return "the policy says never"
        labels = self.labels()
        by_itself = plan.undo is not UndoKind.NONE and (
            self.house.policy is WIDEST or (labels.get("drover.io/mend") == "auto" and plan.risk == "safe")
        )
        if self.back and not self.agreed(plan):
            return "a cure failed here before, and nobody agreed"
        if not by_itself and not self.agreed(plan):
            return "nobody agreed"
        return self.may_write()

    def may_write(self) -> str:
        if self.house.policy is NEVER:
            return "the policy says never"
        if self.house.book.note("paused", default=False):
            return "Drover is paused"
        if self.labels().get("drover.io/ignore") == "true":
            return "the cluster has opted out"
        return ""

    # --- at the moment of a write ---

    def _watch(self) -> None:
        house, life = self.house, self
        recording, updating, saving = house.fleet.record, house.book.update, house.book.save_preimage

        def record(entry: Any) -> None:
            recording(entry)
            if entry["tookEffect"] and entry["user"] != "user-jan" and "selfsubject" not in str(entry["path"]):
                life.judge(entry)

        def update(identifier: str, now: datetime, **changes: Any) -> Any:
            before = house.book.get(identifier)
            if changes.get("state") is State.REMEDIATING and before.state is not State.REMEDIATING:
                plan = Plan.from_json(before.plan)
                life.begun[identifier] = plan.digest
                life.expect(not (why := life.may_begin(before, plan)), f"it began, though {why}")
            return updating(identifier, now, **changes)

        def save(*given: Any) -> None:
            if life.failing_store:
                life.failing_store = False
                raise StoreError("the database is away", cure="Wait.")
            saving(*given)

        house.fleet.record, house.book.update, house.book.save_preimage = record, update, save

    def expect(self, holds: bool, otherwise: str) -> None:
        """An assertion that outlives the step's own handling of errors."""
        if not holds:
            self.wrongs.append(f"{self.now:%H:%M:%S} {otherwise}")

    def judge(self, entry: Any) -> None:
        what, book, row = f"{entry['method']} {entry['path']}", self.house.book, self.row
        if row is None:
            self.wrongs.append(f"{what}: no incident is open")
            return
        last = book.audit(row.id)[-1] if book.audit(row.id) else None
        self.expect(
            last is not None and last.what in {"intend", "intend-undo"}, f"{what}: no intention in the audit trail"
        )
        digest = self.begun.get(row.id, "")
        self.expect((row.id, digest) in book._preimages, f"{what}: no pre-image of plan {digest[:6]}")
        holder, _, until = book._leases.get(self.key, ("", 0, self.now))
        self.expect(holder.endswith(f"#{row.id}"), f"{what}: the lock is held by {holder or 'nobody'}")
        self.expect(until > self.now, f"{what}: the lock has run out")
        if last is not None and last.what == "intend":
            self.forward += 1
            self.expect(row.state is State.REMEDIATING, f"{what}: while {row.state}")
            self.expect((row.decision or {}).get("decision") == "allow", f"{what}: decision {row.decision}")
            self.expect(not (why := self.may_write()), f"{what}: though {why}")
        else:
            self.back += 1
            self.expect(row.state is State.ROLLING_BACK, f"{what}: undo while {row.state}")
            self.expect(self.forward > 0, f"{what}: undo of nothing")

    # --- from the first look on ---

    def live(self, rounds: int) -> None:
        for _ in range(rounds):
            try:
                self.house.watchman.sweep(self.house.server)
            except RancherError:
                self.house.fleet.faults.clear()
            self.house.engine.run_until(self.now + timedelta(minutes=10))
            # What is left happens while nothing runs, too.
            if self.events and not self.events[0].startswith("kill") and "@" not in self.events[0]:
                self.happen(self.events.popleft())

    def check(self) -> None:
        book = self.house.book
        assert self.wrongs == []
        assert self.house.engine.bugs == []
        assert broken_link(book.audit()) is None
        done = [record for record in book.audit() if record.what in {"write", "undo"}]
        assert len(done) >= len({record.place for record in done})
        intended = [record for record in book.audit() if record.what.startswith("intend")]
        assert len(intended) >= self.forward + self.back, "a write that the audit trail does not know"


def run(scenario: str, events: list[str], policy: str, rounds: int = 9) -> Life:
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patching:
        life = Life(Path(home), scenario, events, policy)
        with taking_turns(life.house.engine, patching):
            life.live(rounds)
        return life


def settled(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


LIVES = st.lists(st.sampled_from(EVENTS), max_size=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settled(6)
@given(st.sampled_from(SCENARIOS[:2]), LIVES, st.sampled_from(["shipped", "widest"]))
def test_a_few_lives(scenario, events, policy):
    run(scenario, events, policy).check()


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@settled(60)
@given(st.sampled_from(SCENARIOS), LIVES, st.sampled_from(["shipped", "widest"]))
def test_many_lives(scenario, events, policy):
    run(scenario, events, policy).check()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("scenario", "events", "forward", "back"),
    [
        ("rke1-canal-br-netfilter", ["nothing"] * 6 + ["approve maria"], 1, 0),
        ("rke1-canal-br-netfilter", ["nothing"] * 6 + ["approve maria", "edit"], 0, 0),
        ("rke1-canal-br-netfilter", ["nothing"] * 6 + ["approve eve"], 0, 0),
        ("rke1-canal-cure-fails", ["nothing"] * 6 + ["approve maria"], 1, 1),
        ("rke1-canal-br-netfilter", ["auto"], 1, 0),
        ("rke1-canal-br-netfilter", ["auto", "opt out"], 0, 0),
        ("rke1-canal-br-netfilter", ["auto", "opt out @apply"], 0, 0),
        ("rke1-canal-br-netfilter", ["auto", "kill after @apply"], 1, 0),
        ("rke1-canal-br-netfilter", ["auto", "drop after @apply"], 1, 0),
        ("rke1-canal-br-netfilter", ["auto", "nothing", "nothing", "store fails"], 1, 0),
    ],
)
def test_the_machine_writes_where_it_may(scenario, events, forward, back):
    """A property of a life in which nothing is ever written would hold for nothing."""
    life = run(scenario, events, "shipped")
    life.check()
    assert (life.forward, life.back) == (forward, back)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("broken", "says"),
    [("lock", "the lock is held by nobody"), ("pre-image", "no pre-image"), ("decision", "opted out")],
)
def test_the_model_sees_a_write_that_was_not_allowed(broken, says, monkeypatch):
    """The judge is worth something only if it convicts."""
    if broken == "lock":
        monkeypatch.setattr(Leases, "take", lambda *_: 1)
        monkeypatch.setattr(Leases, "keep", lambda *_: 1)
    elif broken == "pre-image":
        monkeypatch.setattr(InMemoryIncidents, "save_preimage", lambda *_: None)
        monkeypatch.setattr(InMemoryIncidents, "preimage", lambda *_: [])
    else:
        monkeypatch.setattr(Mending, "_still_allowed", lambda *_, **__: None)
    life = run("rke1-canal-br-netfilter", ["auto", "opt out @apply"] if broken == "decision" else ["auto"], "shipped")
    assert life.forward
    assert any(says in wrong for wrong in life.wrongs)
