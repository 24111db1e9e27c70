"""What may stand in `policy.yaml`, and what is said about the rest? With file and line, all problems together."""

import pytest

from bot.knowledge import load_policy
from bot.policy.roles import Who
from rancher_ext.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    def loaded(text: str):
        (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
        return load_policy(tmp_path / "policy.yaml")

    return loaded


def test_an_empty_file_is_the_strict_default(load):
    policy = load("# nothing\n")
    assert policy.rules == ()
    assert policy.brakes.clusters_at_once == 3


def test_durations_and_approvals_are_read_as_people_write_them(load):
    policy = load(
        "default:\n  safe: {needs: 2 approvals, by: Maintain}\napprovals: {expire: 90m}\nbrakes: {clusters_at_once: 1}\n"
    )
    need = next(iter(policy.default.values()))
    assert (need.needs, need.by) == (2, "maintain")
    assert policy.approvals.expire.total_seconds() == 5400


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("default:\n  safe: {needs: 0}\n", 2, "greater than or equal to 1"),
        ("default:\n  safe: {needs: some approvals}\n", 2, "write for example '1 approval'"),
        ("default:\n  safe: {by: owner}\n", 2, "'owner' is not a role; choose one of read, triage"),
        ("default:\n  safe: {by: 'team:acme'}\n", 2, "names no team; write for example team:acme/network"),
        ("default:\n  safe: {by: 'team:acme/a b'}\n", 2, "names no team"),
        ("default:\n  safe: {by: 'team:../x'}\n", 2, "names no team"),
        ("commands:\n  pause: owner\n", 2, "'owner' is not a role"),
        ("commands:\n  retry:\n  - maintain\n  - {by: root}\n", 4, "'root' is not a role"),
        ("commands:\n  pause: {labels: {environment: production}}\n", 2, "Field required"),
        ("commands:\n  pause: {by: admin, label: {a: b}}\n", 2, "Extra inputs are not permitted"),
        ("commands:\n  paus: admin\n", 2, "there is no command 'paus'. Did you mean 'pause'?"),
        (
            "commands:\n  pause: maintain\n  resume:\n  - admin\n  - {by: write, labels: {site: edge}}\n",
            5,
            "`/drover resume` needs the role maintain in any case, and write is less",
        ),
        ("commands:\n  approve: triage\n", 2, "a policy asks for more than a command does, never for less"),
        ("rules:\n  - {when: {}, decide: never, by: admin}\n", 2, "`decide: never` asks nobody"),
        ("rules:\n  - {when: {}, decide: auto, needs: 2}\n", 2, "`decide: auto` asks nobody"),
        ("default:\n  save: {needs: 1}\n", 2, "'safe', 'disruptive' or 'destructive'"),
        ("rules:\n  - when: {risk: safe}\n    decide: maybe\n", 3, "'auto', 'approve', 'never' or 'dry-run'"),
        ("rules:\n  - when: {rsik: safe}\n    decide: auto\n", 2, "Extra inputs are not permitted"),
        ("rules:\n  - decide: auto\n", 2, "Field required"),
        ("rules:\n  - {when: {}, decide: auto, unless: approved}\n", 2, "makes no sense with `decide: auto`"),
        ("approvals: {expire: soon}\n", 1, "write for example 90s, 20m, 24h or 14d"),
        ("brakes:\n  clusters_at_once: 0\n", 2, "greater than or equal to 1"),
        (
            "approvals:\n  expire: 24h\n  void_on: [edit]\n",
            1,
            "an edit and a drift void an approval always. Take it out",
        ),
        ("brakes:\n  storm: {share: 250%}\n", 2, "less than or equal to 1"),
        ("brakes:\n  storm: {share: much%}\n", 2, "write for example 25%"),
        ("brakes:\n  canary: {proven_for: ever}\n", 2, "write for example 90s"),
        ("brakes:\n  per_signature_per_hour: 0\n", 2, "greater than or equal to 1"),
        ("rules:\n  - {when: {signature_age: 14d}, decide: auto}\n", 2, "write for example '<14d'"),
        ("freeze:\n  - {from: fri 18:00, to: '06:00'}\n", 2, "`from` is a time of the week and `to` is a time of day"),
        ("freeze:\n  - {from: '25:00', to: '06:00'}\n", 2, "no time of day"),
        (
            "freeze:\n  - {from: '18:00', to: '06:00', zone: Europe/Berlyn}\n",
            2,
            "there is no time zone 'Europe/Berlyn'",
        ),
        ("freeze:\n  - {days: fri-sonntag, zone: UTC}\n", 2, "'sonntag' is no day"),
        ("freeze:\n  - {from: 2026-12-27, to: 2026-12-20}\n", 2, "`to` is not later than `from`"),
        ("freeze:\n  - {reason: always}\n", 2, "a freeze needs `days`, or `from` and `to`"),
        ("opt_out: x\nopt_out: y\n", 2, "the key 'opt_out' stands here twice"),
        ("- a\n- b\n", 1, "valid dictionary"),
        ("rules: [\n", 2, "not YAML"),
    ],
)
def test_a_problem_names_file_and_line(load, tmp_path, text, line, says):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.message.startswith(f"{tmp_path / 'policy.yaml'}:{line}: ")
    assert says in caught.value.message
    assert "without one Drover does not start" in caught.value.cure


def test_who_may_command_is_said_in_one_word_or_by_label(load):
    policy = load(
        "commands:\n  pause: Maintain\n  retry: {by: maintain, labels: {environment: production}}\n"
        "  sweep:\n  - write\n  - {by: 'team:Acme/SRE', labels: {site: edge}}\n  approve: team:acme/dba\n"
    )
    here = {"environment": "production", "site": "edge"}
    assert policy.who_may("pause", {}) == Who("maintain")
    assert (policy.who_may("retry", {}), policy.who_may("retry", here)) == (Who(), Who("maintain"))
    assert policy.who_may("sweep", here) == Who("write", ("acme/sre",))
    assert policy.who_may("status", here) == Who()
    assert policy.teams == ("acme/dba", "acme/sre")
    assert policy.approving_teams == ("acme/dba",)


def test_where_the_labels_are_unknown_everything_is_asked_that_may_hold(load):
    policy = load("commands:\n  retry: [{by: admin, labels: {a: b}}, {by: 'team:acme/sre', labels: {a: c}}]\n")
    assert policy.who_may("retry", None) == Who("admin", ("acme/sre",))
    assert policy.who_may("retry", {}) == Who()


def test_a_cause_that_does_not_exist_would_silently_never_match(load):
    """A `never` for a misspelt cause would protect nothing."""
    with pytest.raises(ConfigError, match=r":2: .*Did you mean 'kernel-module-missing'"):
        load("rules:\n  - {when: {cause: kernel-module-mising}, decide: never}\n")


def test_all_problems_come_together(load):
    with pytest.raises(ConfigError) as caught:
        load("brakes: {clusters_at_once: 0}\nrules:\n  - {when: {}, decide: perhaps}\n")
    assert [line.split(":")[1] for line in caught.value.message.splitlines()] == ["1", "3"]


def test_a_policy_that_cannot_be_read_is_an_error_and_never_a_default(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(tmp_path / "missing.yaml")
