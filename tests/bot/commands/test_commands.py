"""Each command turns an ask into one call on the desk, and the desk's answer into a short reply."""

import sys
import types
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.authorize import Allowed, Denied, authorize
from bot.commands.command import Command, IncidentDesk, Outcome, Reply
from bot.commands.dispatch import HouseRules, Speaker, dispatch
from bot.commands.gather import CommandClash, commands, gather
from bot.commands.parse import parse
from bot.policy.roles import ROLES, Who
from bot.ports import Membership, Role

NOON = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)


DONE = Outcome(done=True)
SRE = Who(teams=("acme/sre",))


@dataclass
class Desk:
    """Notes what was asked of it."""

    asked: list = field(default_factory=list)
    outcome: Outcome = DONE

    def status_text(self, incident):
        self.asked.append(("status", incident))
        return "Mending, step 3 of 5."

    def plan_text(self, incident, playbook):
        self.asked.append(("plan", incident, playbook))
        return "The plan."

    def request_diagnosis(self, incident, by):
        self.asked.append(("diagnose", incident, by))
        return self.outcome

    def nodes_plan(self, incident):
        self.asked.append(("nodes", incident))
        return self.outcome

    def approve(self, incident, digest_prefix, *, by, role, comment_id, comment_updated_at):
        self.asked.append(("approve", incident, digest_prefix, by, role, comment_id, comment_updated_at))
        return self.outcome

    def reject(self, incident, reason, by):
        self.asked.append(("reject", incident, reason, by))
        return self.outcome

    def request_retry(self, incident, by):
        self.asked.append(("retry", incident, by))
        return self.outcome

    def request_rollback(self, incident, by, role):
        self.asked.append(("rollback", incident, by, role))
        return self.outcome

    def snooze(self, incident, lasts, by):
        self.asked.append(("snooze", incident, lasts, by))
        return self.outcome

    def unsnooze(self, incident, by):
        self.asked.append(("unsnooze", incident, by))
        return self.outcome

    def close(self, incident, reason, by):
        self.asked.append(("close", incident, reason, by))
        return self.outcome

    def pause(self, reason, by):
        self.asked.append(("pause", reason, by))
        return self.outcome

    def resume(self, by):
        self.asked.append(("resume", by))
        return self.outcome

    def logs_text(self, incident, component):
        self.asked.append(("logs", incident, component))
        return "The lines."

    def request_sweep(self, incident, by):
        self.asked.append(("sweep", incident, by))
        return self.outcome


class PlainDesk:
    """A service without the brake, the fleet and the evidence."""

    def __init__(self, desk):
        for name in ("status_text", "plan_text", "request_diagnosis", "approve", "reject"):
            setattr(self, name, getattr(desk, name))
        self.request_retry, self.request_rollback = desk.request_retry, desk.request_rollback


@pytest.fixture
def desk():
    return Desk()


def say(desk, body, role=Role.WRITE, **how):
    (parsed,) = parse(body)
    speaker = Speaker("maria", role, comment_id=77, comment_updated_at=NOON, issue=12, incident="incident:a")
    return dispatch(parsed, speaker, desk, **how)


def test_the_desk_of_these_tests_is_one():
    desk: IncidentDesk = Desk()
    assert desk.status_text("x")


class TestApprove:
    def test_it_passes_on_who_agreed_to_what_and_where_that_stands(self, desk):
        assert say(desk, "/drover approve 7f3a9c") == Reply("", reaction="rocket")
        assert desk.asked == [("approve", "incident:a", "7f3a9c", "maria", Role.WRITE, 77, NOON)]

    @pytest.mark.parametrize("typed", ["7F3A9C", "`7f3a9c`", "7f3a9c "])
    def test_it_takes_a_digest_as_people_copy_it(self, desk, typed):
        say(desk, f"/drover approve {typed}")
        assert desk.asked[0][2] == "7f3a9c"

    @pytest.mark.parametrize(
        "typed",
        ["", "7f3a9", "7f3a9g", "yes", "0x7f3a9c", "a" * 65, "7f3a9c please", "７f3a9c", "@tom #12", "7f3a9c 8a"],
    )
    def test_anything_else_is_told_what_is_expected_and_approves_nothing(self, desk, typed):
        reply = say(desk, f"/drover approve {typed}")
        assert desk.asked == []
        assert "six or more hex digits" in reply.text
        assert reply.reaction == "confused"

    def test_what_was_typed_is_quoted_as_code(self, desk):
        assert "`@tom`" in say(desk, "/drover approve @tom").text

    def test_a_refusal_of_the_desk_is_told(self, desk):
        desk.outcome = Outcome(done=False, text="That plan is no longer the one in force.")
        assert say(desk, "/drover approve 7f3a9c") == Reply("That plan is no longer the one in force.", "confused")


class TestOthers:
    def test_status_is_told(self, desk):
        assert say(desk, "/drover status", Role.READ).text == "Mending, step 3 of 5."

    @pytest.mark.parametrize(
        ("typed", "playbook"),
        [
            ("", None),
            ("enable-br-netfilter", "enable-br-netfilter"),
            ("`vxlan-module-missing`", "vxlan-module-missing"),
        ],
    )
    def test_a_plan_is_shown_by_name_or_as_it_stands(self, desk, typed, playbook):
        assert say(desk, f"/drover plan {typed}", Role.READ).text == "The plan."
        assert desk.asked == [("plan", "incident:a", playbook)]

    def test_two_names_are_one_too_many(self, desk):
        assert "one playbook" in say(desk, "/drover plan a b").text
        assert desk.asked == []

    def test_a_reason_is_passed_on_as_typed(self, desk):
        say(desk, "/drover reject not during the *fair*", Role.TRIAGE)
        assert desk.asked == [("reject", "incident:a", "not during the *fair*", "maria")]

    @pytest.mark.parametrize(
        ("typed", "call"),
        [
            ("diagnose", ("diagnose", "incident:a", "maria")),
            ("retry", ("retry", "incident:a", "maria")),
            ("rollback", ("rollback", "incident:a", "maria", Role.WRITE)),
            ("reject", ("reject", "incident:a", "", "maria")),
            ("unsnooze", ("unsnooze", "incident:a", "maria")),
            ("sweep", ("sweep", "incident:a", "maria")),
            ("pause", ("pause", "", "maria")),
            ("pause until the *fair* is over", ("pause", "until the *fair* is over", "maria")),
            ("close it is being rebuilt", ("close", "incident:a", "it is being rebuilt", "maria")),
            ("snooze 2h", ("snooze", "incident:a", timedelta(hours=2), "maria")),
            ("snooze `7D`", ("snooze", "incident:a", timedelta(days=7), "maria")),
        ],
    )
    def test_requests_reach_the_desk(self, desk, typed, call):
        assert say(desk, f"/drover {typed}").reaction == "rocket"
        assert desk.asked == [call]

    def test_asking_the_nodes_begins_with_their_plan(self, desk):
        desk.outcome = Outcome(True, "The plan of the probe.")
        assert say(desk, "/drover diagnose `nodes`", Role.TRIAGE) == Reply("The plan of the probe.", reaction="+1")
        assert desk.asked == [("nodes", "incident:a")]

    def test_what_cannot_be_diagnosed_so_is_told(self, desk):
        assert "`/drover diagnose nodes`" in say(desk, "/drover diagnose node 1").text
        assert desk.asked == []

    def test_going_on_needs_more_than_stopping(self, desk):
        assert say(desk, "/drover resume", Role.WRITE).reaction == "-1"
        assert say(desk, "/drover resume", Role.MAINTAIN).reaction == "rocket"
        assert desk.asked == [("resume", "maria")]

    @pytest.mark.parametrize("typed", ["", "soon", "0s", "31d", "-2h", "2h 3h", "99999d", "<b>", "2"])
    def test_a_snooze_without_an_end_is_none(self, desk, typed):
        reply = say(desk, f"/drover snooze {typed}")
        assert desk.asked == []
        assert reply.reaction == "confused"
        assert "`/drover snooze 90m`" in reply.text
        assert "<b>" not in reply.text.replace("`<b>`", "")

    def test_a_closing_without_a_reason_is_none(self, desk):
        assert "Why?" in say(desk, "/drover close").text
        assert desk.asked == []

    @pytest.mark.parametrize(("typed", "component"), [("", ""), ("flannel", "flannel"), ("`kubelet`", "kubelet")])
    def test_logs_are_asked_for_by_component(self, desk, typed, component):
        assert say(desk, f"/drover logs {typed}").text == "The lines."
        assert desk.asked == [("logs", "incident:a", component)]

    def test_what_a_service_has_not_is_not_offered(self, desk):
        """Neither in the help nor when it is typed; everything else works."""
        plain = PlainDesk(desk)
        assert "/drover snooze" in say(desk, "/drover help").text
        assert "/drover snooze" not in say(plain, "/drover help").text
        assert say(plain, "/drover snooze 2h").text == "`/drover snooze` is not in this version of Drover."
        assert say(desk, "/drover preflight edge-07 v1.33.1+rke2r1").reaction == "confused"
        assert say(plain, "/drover status").text == "Mending, step 3 of 5."

    def test_help_lists_every_command_with_usage_and_role(self, desk):
        text = say(desk, "/drover help", Role.READ).text
        for command in commands().values():
            assert (f"| `{command.usage}` | {command.help} |" in text) is (command.name != "preflight")
        assert "| **write** |" in text
        assert "**" not in say(desk, "/drover help", Role.ADMIN).text


class TestUnknown:
    def test_a_slip_gets_a_hint(self, desk):
        assert say(desk, "/drover aprove 7f3a9c").text == (
            "There is no command `aprove`. Did you mean `/drover approve`?"
        )

    def test_something_else_is_sent_to_help(self, desk):
        assert "`/drover help`" in say(desk, "/drover xyzzy").text

    @pytest.mark.parametrize("typed", ["@tom", "#12", "<img>", "a`b", "x" * 500])
    def test_it_is_quoted_harmlessly_and_shortly(self, desk, typed):
        text = say(desk, f"/drover {typed}").text
        assert len(text) < 150
        assert text.startswith("There is no command `")

    def test_a_stranger_makes_us_write_nothing(self, desk):
        assert say(desk, "/drover xyzzy", Role.NONE) is None
        assert say(desk, "/drover status", Role.NONE) == Reply("", reaction="-1")
        assert desk.asked == []


LEAST = {
    "approve": Role.WRITE,
    "close": Role.WRITE,
    "diagnose": Role.TRIAGE,
    "help": Role.READ,
    "logs": Role.TRIAGE,
    "pause": Role.WRITE,
    "plan": Role.READ,
    "preflight": Role.READ,
    "reject": Role.TRIAGE,
    "resume": Role.MAINTAIN,
    "retry": Role.WRITE,
    "rollback": Role.WRITE,
    "snooze": Role.TRIAGE,
    "status": Role.READ,
    "sweep": Role.TRIAGE,
    "unsnooze": Role.TRIAGE,
}


class TestAuthorize:
    def test_every_command_asks_for_the_role_it_is_known_for(self):
        assert {name: command.who for name, command in commands().items()} == LEAST

    @pytest.mark.parametrize("name", LEAST)
    @pytest.mark.parametrize("role", Role)
    def test_the_role_decides(self, name, role):
        decision = authorize(commands()[name], role)
        assert isinstance(decision, Allowed if role >= LEAST[name] else Denied)

    def test_a_denial_names_what_is_needed_and_what_there_is(self, desk):
        reply = say(desk, "/drover approve 7f3a9c", Role.TRIAGE)
        assert reply.text == "`/drover approve` needs the role write in this repository; you have triage."
        assert reply.reaction == "-1"
        assert desk.asked == []

    def test_an_installation_may_ask_for_more(self, desk):
        house = HouseRules({"approve": Who("maintain")}.get)
        assert say(desk, "/drover approve 7f3a9c", house=house).text == (
            "`/drover approve` needs the role maintain in this repository; you have write."
        )
        assert desk.asked == []

    @given(
        role=st.sampled_from(Role),
        asked=st.builds(Who, st.sampled_from(ROLES), st.sampled_from([(), ("acme/sre",)])),
        name=st.sampled_from(sorted(LEAST)),
        seen=st.builds(Membership, st.booleans(), st.sampled_from(["", "it is hidden"])),
    )
    def test_but_never_for_less(self, role, asked, name, seen):
        """Whatever is asked, and whatever is seen of a team: the command's own role is needed, and an unknown is a no."""
        if isinstance(authorize(commands()[name], role, asked, lambda _: seen), Allowed):
            assert role >= LEAST[name]
            assert role >= Role[asked.role.upper()]
            assert not asked.teams or (seen.member and not seen.unseen)

    def test_a_team_may_be_asked_for(self, desk):
        house = HouseRules(lambda _: SRE, lambda team: Membership(team == "acme/sre"))
        assert say(desk, "/drover retry", house=house).reaction == "rocket"
        other = HouseRules(lambda _: SRE, lambda _: Membership(member=False))
        assert say(desk, "/drover retry", house=other) == Reply(
            "`/drover retry` needs somebody in the team `acme/sre`; you are not in it.", "-1"
        )
        assert len(desk.asked) == 1

    def test_who_is_in_a_team_that_cannot_be_seen_is_nobody_and_that_is_said(self, desk):
        unseen = HouseRules(lambda _: SRE, lambda _: Membership(member=False, unseen="the *scope* read:org is missing"))
        said = say(desk, "/drover retry", Role.ADMIN, house=unseen).text
        assert "cannot see who is: the \\*scope\\* read:org is missing." in said
        assert "nobody counts as a member" in said
        assert desk.asked == []
        assert say(desk, "/drover retry", house=HouseRules(lambda _: SRE)).reaction == "-1"

    def test_a_team_is_looked_up_for_those_alone_who_have_the_role(self, desk):
        def look(team):
            raise AssertionError(team)

        house = HouseRules(lambda _: SRE, look)
        assert "the role write" in say(desk, "/drover retry", Role.TRIAGE, house=house).text
        assert say(desk, "/drover retry", Role.NONE, house=house) == Reply("", "-1")

    def test_a_denial_says_when_more_may_have_been_asked_than_holds(self, desk):
        house = HouseRules(lambda _: Who("admin"), unsure=lambda _: "The labels are unknown.")
        assert say(desk, "/drover retry", house=house).text.endswith("you have write. The labels are unknown.")
        assert say(desk, "/drover retry", Role.TRIAGE, house=house).text.endswith("you have triage.")

    def test_the_help_shows_what_the_policy_asks_for(self, desk):
        asked = {"retry": Who("maintain"), "sweep": SRE}
        text = say(desk, "/drover help", house=HouseRules(lambda name: asked.get(name, Who()))).text
        assert (
            "| `/drover retry` | Start over: new evidence, a new plan, and the approvals it needs. | **maintain** |"
            in text
        )
        assert "| triage, team `acme/sre` |" in text


class TestGather:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        folder = tmp_path / "some_commands"
        folder.mkdir()
        (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)

        def write(**files):
            for name, command in files.items():
                (folder / f"{name}.py").write_text(
                    "from bot.commands.command import Command, Reply\nfrom bot.ports import Role\n"
                    f"COMMAND = Command({command!r}, lambda ask, desk: Reply(), Role.READ, '/drover x', 'x')\n"
                    if command
                    else "\n"
                )
            import some_commands

            return some_commands

        yield write
        for name in [name for name in sys.modules if name.startswith("some_commands")]:
            del sys.modules[name]

    def test_commands_come_in_file_order(self, package):
        assert list(gather(package(b="two", a="one"))) == ["one", "two"]

    def test_two_files_with_one_name_are_both_named(self, package):
        with pytest.raises(CommandClash, match=r"a\.py and b\.py both claim `/drover x`"):
            gather(package(a="x", b="x"))

    def test_a_file_without_a_command_is_named(self, package):
        with pytest.raises(CommandClash, match=r"odd\.py ends in no COMMAND"):
            gather(package(odd=None))

    def test_ours_are_all_there_and_cannot_be_changed(self):
        assert list(commands()) == sorted(LEAST)
        with pytest.raises(TypeError):
            commands()["x"] = None

    def test_names_and_usages_agree(self):
        for name, command in commands().items():
            assert isinstance(command, Command)
            assert command.usage.startswith(f"/drover {name}")
            assert isinstance(command.run, types.FunctionType)
