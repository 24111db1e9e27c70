"""Every setting: what it means, what is wrong with it, and that no secret is ever said."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import SECRETS, VARIABLES, load_settings
from rancher_ext.fleet.cni import Cni

TOKEN = "token-abcde:very-secret"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIsecret\n-----END RSA PRIVATE KEY-----"


@pytest.fixture
def load(tmp_path):
    """Settings from these variables (without `DROVER_`), with nothing of the machine's own in them."""
    base = {"CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path / "home")}

    def loaded(**variables):
        given = {f"DROVER_{name}": str(value) for name, value in (base | variables).items() if value is not None}
        return load_settings(given)

    return loaded


@pytest.fixture
def problems(load):
    def found(**variables):
        with pytest.raises(SettingsError) as caught:
            load(**variables)
        return caught.value.problems

    return found


@pytest.fixture
def user_file(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "config").mkdir(exist_ok=True)
        path = tmp_path / "config" / "drover.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_any_setting_everything_has_a_default(load, tmp_path):
    settings = load()
    assert settings.ranchers == ()
    assert settings.github is None
    assert (settings.listen_host, settings.listen_port, settings.log_format) == ("127.0.0.1", 8080, "text")
    assert settings.database_url == f"sqlite:///{tmp_path}/home/drover.sqlite"
    assert settings.executor_id
    assert not settings.dry_run
    assert (settings.clock_speed, settings.clock_origin) == (1.0, None)
    assert settings.policy_file is None
    assert settings.limits.scope.cnis == {Cni.FLANNEL, Cni.CANAL}
    assert settings.sweep_every == timedelta(minutes=5)


def test_every_variable_with_a_good_value(load, tmp_path):
    for name in ("ca.pem", "policy.yaml"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    for name in ("one", "two", "books"):
        (tmp_path / name).mkdir()
    settings = load(
        RANCHER_URL="https://rancher.example/",
        RANCHER_TOKEN=TOKEN,
        RANCHER_CA_FILE=tmp_path / "ca.pem",
        GITHUB_API_URL="https://ghe.example/api/v3/",
        GITHUB_REPOSITORY="acme/fleet",
        GITHUB_APP_ID="123",
        GITHUB_APP_PRIVATE_KEY=KEY,
        GITHUB_WEBHOOK_SECRETS="new, old,",
        HOOK_TOKENS="a\nb",
        PAGE_TOKENS="p",
        TRUSTED_PROXY_HEADER="X-User",
        DATABASE_URL="postgresql://drover:pw@db/drover",
        PUBLIC_URL="https://drover.example/",
        EXECUTOR_ID="drover-0",
        POLICY_FILE=tmp_path / "policy.yaml",
        SIGNATURE_DIRS=f"{tmp_path}/one:{tmp_path}/two",
        PLAYBOOK_DIRS=tmp_path / "books",
        DRY_RUN="Yes",
        LISTEN="[::1]:9000",
        LOG_FORMAT="json",
        CLOCK_SPEED="60",
        CLOCK_ORIGIN="1764000000.5",
    )
    (rancher,) = settings.ranchers
    assert (rancher.name, rancher.url, rancher.token, rancher.ca_file) == (
        "default",
        "https://rancher.example",
        TOKEN,
        tmp_path / "ca.pem",
    )
    assert (settings.github.api_url, settings.github.repository, settings.github.app_id) == (
        "https://ghe.example/api/v3",
        "acme/fleet",
        "123",
    )
    assert settings.github.app_private_key == KEY
    assert settings.github_webhook_secrets == ("new", "old")
    assert settings.hook_tokens == ("a", "b")
    assert settings.page_tokens == ("p",)
    assert settings.public_url == "https://drover.example"
    assert settings.database_url == "postgresql://drover:pw@db/drover"
    assert (settings.executor_id, settings.trusted_proxy_header) == ("drover-0", "X-User")
    assert settings.policy_file == tmp_path / "policy.yaml"
    assert settings.signature_dirs == (tmp_path / "one", tmp_path / "two")
    assert settings.playbook_dirs == (tmp_path / "books",)
    assert settings.dry_run
    assert (settings.listen_host, settings.listen_port) == ("::1", 9000)
    assert (settings.log_format, settings.clock_speed, settings.clock_origin) == ("json", 60.0, 1764000000.5)


R = {"RANCHER_URL": "https://rancher.example", "RANCHER_TOKEN": TOKEN}
G = {"GITHUB_REPOSITORY": "acme/fleet", "GITHUB_TOKEN": "ghp_x"}


@pytest.mark.parametrize(
    ("variables", "source", "says"),
    [
        ({**R, "RANCHER_URL": "rancher.example"}, "DROVER_RANCHER_URL", "does not begin with http:// or https://"),
        ({**R, "RANCHER_URL": "https://"}, "DROVER_RANCHER_URL", "names no host"),
        ({**R, "RANCHER_URL": "https://h:port"}, "DROVER_RANCHER_URL", "is not an address"),
        ({**R, "RANCHER_URL": "https://u:pw@h"}, "DROVER_RANCHER_URL", "holds a user or password"),
        ({"RANCHER_URL": "https://h"}, "DROVER_RANCHER_TOKEN", "is not set, but DROVER_RANCHER_URL is"),
        ({**R, "RANCHER_CA_FILE": "/nowhere/ca.pem"}, "DROVER_RANCHER_CA_FILE", "/nowhere/ca.pem is not a file"),
        ({**G, "GITHUB_API_URL": "api.github.com"}, "DROVER_GITHUB_API_URL", "does not begin with http"),
        ({**G, "GITHUB_REPOSITORY": "fleet"}, "DROVER_GITHUB_REPOSITORY", "'fleet' is not owner/name"),
        ({**G, "GITHUB_REPOSITORY": "acme/"}, "DROVER_GITHUB_REPOSITORY", "'acme/' is not owner/name"),
        ({**G, "GITHUB_REPOSITORY": "a/b/c"}, "DROVER_GITHUB_REPOSITORY", "'a/b/c' is not owner/name"),
        ({"GITHUB_REPOSITORY": "acme/fleet"}, "DROVER_GITHUB_REPOSITORY", "neither DROVER_GITHUB_TOKEN nor"),
        (
            {"GITHUB_REPOSITORY": "acme/fleet", "GITHUB_APP_ID": "1"},
            "DROVER_GITHUB_REPOSITORY",
            "DROVER_GITHUB_APP_PRIVATE_KEY",
        ),
        (
            {"GITHUB_REPOSITORY": "acme/fleet", "GITHUB_APP_ID": "my-app", "GITHUB_APP_PRIVATE_KEY": KEY},
            "DROVER_GITHUB_APP_ID",
            "'my-app' is not a number",
        ),
        ({"GITHUB_TOKEN": "ghp_x"}, "DROVER_GITHUB_TOKEN", "is set, but DROVER_GITHUB_REPOSITORY is not"),
        ({"PUBLIC_URL": "drover.example"}, "DROVER_PUBLIC_URL", "does not begin with http"),
        ({"POLICY_FILE": "/nowhere/policy.yaml"}, "DROVER_POLICY_FILE", "/nowhere/policy.yaml is not a file"),
        ({"SIGNATURE_DIRS": "/nowhere"}, "DROVER_SIGNATURE_DIRS", "/nowhere is not a folder"),
        ({"PLAYBOOK_DIRS": "/nowhere"}, "DROVER_PLAYBOOK_DIRS", "/nowhere is not a folder"),
        ({"DRY_RUN": "perhaps"}, "DROVER_DRY_RUN", "'perhaps' is neither yes nor no"),
        ({"LISTEN": "8080"}, "DROVER_LISTEN", "'8080' is not host:port"),
        ({"LISTEN": ":8080"}, "DROVER_LISTEN", "is not host:port"),
        ({"LISTEN": "127.0.0.1:http"}, "DROVER_LISTEN", "is not host:port"),
        ({"LISTEN": "127.0.0.1:65536"}, "DROVER_LISTEN", "is not host:port"),
        ({"LISTEN": "127.0.0.1:²"}, "DROVER_LISTEN", "is not host:port"),
        ({"LOG_FORMAT": "xml"}, "DROVER_LOG_FORMAT", "'xml' is not one of text, json"),
        ({"CLOCK_SPEED": "fast"}, "DROVER_CLOCK_SPEED", "'fast' is not a number"),
        ({"CLOCK_SPEED": "0"}, "DROVER_CLOCK_SPEED", "not a number above 0"),
        ({"CLOCK_SPEED": "-1"}, "DROVER_CLOCK_SPEED", "not a number above 0"),
        ({"CLOCK_SPEED": "nan"}, "DROVER_CLOCK_SPEED", "not a number above 0"),
        ({"CLOCK_ORIGIN": "yesterday"}, "DROVER_CLOCK_ORIGIN", "'yesterday' is not a number"),
        ({"HOME": "~no-such-user-here/x"}, "DROVER_HOME", "there is no such user"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_an_example(problems, variables, source, says):
    (problem,) = problems(**variables)
    assert problem.startswith(f"{source}: ")
    assert says in problem
    assert "(example: " in problem


def test_all_problems_are_told_together(problems):
    found = problems(RANCHER_URL="x", LISTEN="y", DRY_RUN="z", LOGFORMAT="json", POLICY_FILE="/nowhere")
    assert [problem.split(":")[0] for problem in sorted(found)] == [
        "DROVER_DRY_RUN",
        "DROVER_LISTEN",
        "DROVER_LOGFORMAT",
        "DROVER_POLICY_FILE",
        "DROVER_RANCHER_TOKEN",
        "DROVER_RANCHER_URL",
    ]


def test_the_error_says_how_many_and_each_on_its_line(load):
    with pytest.raises(SettingsError) as caught:
        load(LISTEN="y", DRY_RUN="z")
    first, *rest = caught.value.message.splitlines()
    assert first == "2 settings are wrong:"
    assert len(rest) == 2
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RANCHER_ULR", "DROVER_RANCHER_URL"),
        ("GITHUB_TOKENS", "DROVER_GITHUB_TOKEN"),
        ("POLICY", "DROVER_POLICY_FILE"),
        ("LISTEN_FILE", None),
        ("QQQQQQQQQ", None),
    ],
)
def test_an_unknown_variable_is_a_mistake_and_the_near_one_is_named(problems, name, near):
    (problem,) = problems(**{name: "x"})
    assert problem.startswith(f"DROVER_{name}: is not a setting of Drover")
    if near:
        assert problem.endswith(f"did you mean {near}?")


def test_variables_of_others_are_none_of_our_business(tmp_path):
    load_settings({"RANCHER_URL": "nonsense", "XDROVER_Y": "1", "DROVER_HOME": str(tmp_path)})


class TestSecretsInFiles:
    @pytest.mark.parametrize("name", sorted(SECRETS - {"RANCHER_TOKEN", "DATABASE_URL"}))
    def test_every_secret_may_come_from_a_file(self, load, tmp_path, name):
        (tmp_path / "secret").write_text("the-value\n", encoding="utf-8")
        rest = {"GITHUB_REPOSITORY": "acme/fleet"} if name.startswith("GITHUB_") else {}
        if name == "GITHUB_APP_PRIVATE_KEY":
            rest["GITHUB_APP_ID"] = "1"
        elif rest and name != "GITHUB_TOKEN":
            rest["GITHUB_TOKEN"] = "x"
        settings = load(**rest, **{f"{name}_FILE": tmp_path / "secret"})
        values = {
            "GITHUB_TOKEN": settings.github and settings.github.token,
            "GITHUB_APP_PRIVATE_KEY": settings.github and settings.github.app_private_key,
            "GITHUB_WEBHOOK_SECRETS": settings.github_webhook_secrets,
            "HOOK_TOKENS": settings.hook_tokens,
            "PAGE_TOKENS": settings.page_tokens,
        }
        assert values[name] in {"the-value", ("the-value",)}

    def test_the_database_address_too(self, load, tmp_path):
        (tmp_path / "secret").write_text("postgresql://u:p@h/d\n", encoding="utf-8")
        assert load(DATABASE_URL_FILE=tmp_path / "secret").database_url == "postgresql://u:p@h/d"

    def test_the_rancher_token_file_is_read_again_later_so_its_path_is_kept(self, load, tmp_path):
        (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
        (rancher,) = load(RANCHER_URL="https://h", RANCHER_TOKEN_FILE=tmp_path / "token").ranchers
        assert (rancher.token, rancher.token_file) == ("", tmp_path / "token")

    def test_a_variable_and_its_file_together_are_ambiguous(self, problems, tmp_path):
        (tmp_path / "token").write_text("x", encoding="utf-8")
        (problem,) = problems(HOOK_TOKENS="y", HOOK_TOKENS_FILE=tmp_path / "token")
        assert problem == "DROVER_HOOK_TOKENS: is set, and so is DROVER_HOOK_TOKENS_FILE: keep one of them"

    def test_a_file_that_is_missing_or_no_text_is_named(self, problems, tmp_path):
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00secret")
        (missing,) = problems(HOOK_TOKENS_FILE=tmp_path / "missing")
        assert missing.startswith(f"DROVER_HOOK_TOKENS_FILE: {tmp_path}/missing cannot be read: No such file")
        (binary,) = problems(HOOK_TOKENS_FILE=tmp_path / "binary")
        assert f"{tmp_path}/binary cannot be read: not text" in binary
        (folder,) = problems(HOOK_TOKENS_FILE=tmp_path)
        assert "cannot be read: Is a directory" in folder


class TestFile:
    def test_the_users_file_needs_only_what_differs(self, load, user_file):
        user_file("limits: {no_progress: 30m}\nscope:\n  cni: [flannel]\nhooks: {alertmanager_labels: [rancher]}\n")
        settings = load()
        assert settings.limits.no_progress == timedelta(minutes=30)
        assert settings.limits.hold == timedelta(seconds=60)
        assert settings.limits.scope.cnis == {Cni.FLANNEL}
        assert [str(each) for each in settings.limits.scope.kubernetes] == [
            str(each) for each in load().limits.scope.kubernetes
        ]
        assert settings.alertmanager_labels == ("rancher",)

    def test_environment_then_the_users_file_then_the_shipped_one(self, load, user_file):
        assert load().github is None
        user_file("github: {repository: acme/from-file, api_url: https://ghe.example/api/v3}\n")
        settings = load(GITHUB_TOKEN="x")
        assert (settings.github.repository, settings.github.api_url) == (
            "acme/from-file",
            "https://ghe.example/api/v3",
        )
        settings = load(GITHUB_TOKEN="x", GITHUB_REPOSITORY="acme/from-env")
        assert settings.github.repository == "acme/from-env"

    def test_several_rancher_servers(self, load, user_file):
        user_file(
            "ranchers:\n  - {name: eu, url: https://eu.example/, token_file: /run/eu, ca_file: /etc/eu.pem}\n"
            "  - {name: us, url: https://us.example, token_file: /run/us}\n"
        )
        eu, us = load().ranchers
        assert (eu.name, eu.url, eu.token_file, eu.ca_file) == (
            "eu",
            "https://eu.example",
            Path("/run/eu"),
            Path("/etc/eu.pem"),
        )
        assert us.ca_file is None

    def test_the_environments_rancher_wins_over_the_list(self, load, user_file):
        user_file("ranchers:\n  - {name: eu, url: https://eu.example, token_file: /run/eu}\n")
        (rancher,) = load(**R).ranchers
        assert (rancher.name, rancher.url) == ("default", "https://rancher.example")

    def test_a_policy_beside_the_users_file_is_taken(self, load, user_file, tmp_path):
        user_file("")
        (tmp_path / "config" / "policy.yaml").write_text("", encoding="utf-8")
        (tmp_path / "config" / "signatures").mkdir()
        (tmp_path / "config" / "playbooks").mkdir()
        settings = load()
        assert settings.policy_file == tmp_path / "config" / "policy.yaml"
        assert settings.signature_dirs == (tmp_path / "config" / "signatures",)
        assert settings.playbook_dirs == (tmp_path / "config" / "playbooks",)

    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ("limits:\n  no_progress: soon\n", 2, "'soon' is not a duration; write for example 90s"),
            ("limits:\n  no_progress: 0s\n", 2, "must be longer than nothing"),
            ("limits:\n  no_progres: 10m\n", 2, "Extra inputs are not permitted"),
            ("swep: {every: 5m}\n", 1, "Extra inputs are not permitted"),
            ("# a comment\nscope:\n  cni: [calico-ng]\n", 3, "'flannel'"),
            ("scope:\n  kubernetes: ['new']\n", 2, "new"),
            ("scope:\n  distributions: [rke9]\n", 2, "rke1"),
            ("sweep:\n  every: 0s\n", 2, "write for example 5m"),
            ("evidence: {keep: 0d}\n", 1, "must be longer than nothing"),
            ("ranchers:\n  - {name: EU West, url: https://x, token_file: /t}\n", 2, "should match pattern"),
            ("ranchers:\n  - {name: eu, url: x.example, token_file: /t}\n", 2, "does not begin with http"),
            ("ranchers:\n  - name: eu\n    url: https://x\n", 2, "Field required"),
            ("github: {repository: a/b, api_url: ghe}\n", 1, "does not begin with http"),
            ("limits: {hold: 1m}\nlimits: {hold: 2m}\n", 2, "the key 'limits' stands here twice"),
            ("limits: [\n", 2, "not YAML"),
            ("- a\n", 1, "settings are a mapping"),
            ("just text\n", 1, "settings are a mapping"),
        ],
    )
    def test_a_problem_in_the_file_has_its_line(self, problems, user_file, text, line, says):
        path = user_file(text)
        (problem,) = problems()
        assert problem.startswith(f"{path}:{line}: ")
        assert says in problem

    def test_problems_of_file_and_environment_come_together(self, problems, user_file):
        path = user_file("sweep: {every: never}\nlimits: {hold: x}\n")
        found = problems(LISTEN="y")
        assert len(found) == 3
        assert {problem.split(" ")[0] for problem in found} == {"DROVER_LISTEN:", f"{path}:1:", f"{path}:2:"}

    def test_two_servers_of_one_name_would_share_their_incidents(self, problems, user_file):
        user_file(
            "ranchers:\n  - {name: eu, url: https://a, token_file: /a}\n  - {name: eu, url: https://b, token_file: /b}\n"
        )
        (problem,) = problems()
        assert "two servers have one name" in problem

    def test_a_file_that_is_no_text(self, problems, user_file):
        path = user_file("")
        path.write_bytes(b"\xff\xfe\x00")
        (problem,) = problems()
        assert problem.startswith(f"{path}:1: not YAML")


class TestSecretsStayUnsaid:
    SECRETS = {  # noqa: RUF012 - read only
        "RANCHER_TOKEN": "token-abcde:s3cr3t-one",
        "GITHUB_TOKEN": "ghp_s3cr3t-two",
        "GITHUB_APP_PRIVATE_KEY": "s3cr3t-three",
        "GITHUB_WEBHOOK_SECRETS": "s3cr3t-four,s3cr3t-five",
        "HOOK_TOKENS": "s3cr3t-six",
        "PAGE_TOKENS": "s3cr3t-seven",
        "DATABASE_URL": "postgresql://drover:s3cr3t-eight@db/drover",
    }

    def test_not_in_the_repr_of_settings(self, load):
        assert set(self.SECRETS) == set(SECRETS)
        settings = load(
            **self.SECRETS, RANCHER_URL="https://rancher.example", GITHUB_REPOSITORY="acme/fleet", GITHUB_APP_ID="1"
        )
        assert settings.ranchers[0].token == "token-abcde:s3cr3t-one"
        for shown in (repr(settings), str(settings), f"{settings.ranchers}", f"{settings.github}"):
            assert "s3cr3t" not in shown

    def test_not_in_an_error_about_something_else(self, load):
        with pytest.raises(SettingsError) as caught:
            load(**self.SECRETS, RANCHER_URL="nonsense", GITHUB_REPOSITORY="nonsense", LISTEN="nonsense")
        assert "s3cr3t" not in str(caught.value) + repr(caught.value) + caught.value.cure

    @pytest.mark.parametrize("name", ["RANCHER_URL", "GITHUB_API_URL", "PUBLIC_URL"])
    def test_not_when_it_was_pasted_into_an_address(self, load, name):
        rest = G if name == "GITHUB_API_URL" else {"RANCHER_TOKEN": "x"}
        for value in ("token-abcde:s3cr3t", "https://user:s3cr3t@host"):
            with pytest.raises(SettingsError) as caught:
                load(**rest, **{name: value})
            assert "s3cr3t" not in str(caught.value)


def test_the_examples_are_themselves_valid(load, tmp_path):
    """What an error recommends must work."""
    needs_file = {"RANCHER_CA_FILE", "POLICY_FILE", "SIGNATURE_DIRS", "PLAYBOOK_DIRS", "CONFIG_DIR", "HOME"}
    load(**{name: example for name, example in VARIABLES.items() if name not in needs_file})
