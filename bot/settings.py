"""How is Drover configured? Environment `DROVER_*` (or `DROVER_*_FILE` for secrets), then `drover.yaml`, then defaults.

All problems are reported together; each names its source, what is wrong, and a valid example. A `Settings` value is passed to
whoever needs it: nothing reads the environment later.
"""

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.errors import SettingsError, StoreError
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.yaml_lines import Problem, YamlFile, read_yaml
from rancher_ext.detection import Limits, Scope
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.remediation.playbook import Duration, Ranges

# name -> a valid example, for the error text and `drover doctor`. Those with SECRET may come from a file.
VARIABLES: Mapping[str, str] = {
    "RANCHER_URL": "https://rancher.example",
    "RANCHER_TOKEN": "token-abcde:secret",
    "RANCHER_CA_FILE": "/etc/drover/rancher-ca.pem",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_REPOSITORY": "acme/fleet",
    "GITHUB_TOKEN": "ghp_…",
    "GITHUB_APP_ID": "123456",
    "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----…",
    "GITHUB_WEBHOOK_SECRETS": "new-secret,old-secret",
    "HOOK_TOKENS": "token-one,token-two",
    "PAGE_TOKENS": "token-one,token-two",
    "TRUSTED_PROXY_HEADER": "X-Forwarded-User",
    "DATABASE_URL": "postgresql://drover:password@host/drover",
    "HOME": "/var/lib/drover",
    "PUBLIC_URL": "https://drover.example",
    "EXECUTOR_ID": "drover-0",
    "POLICY_FILE": "/etc/drover/policy.yaml",
    "SIGNATURE_DIRS": "/etc/drover/signatures",
    "PLAYBOOK_DIRS": "/etc/drover/playbooks",
    "CONFIG_DIR": "/etc/drover",
    "DRY_RUN": "true",
    "LISTEN": "127.0.0.1:8080",
    "LOG_FORMAT": "json",
    # For the demo and for tests: policy time runs this many times faster, counted from this moment (seconds since 1970).
    "CLOCK_SPEED": "60",
    "CLOCK_ORIGIN": "1764000000.0",
}
SECRETS = frozenset(
    {
        "RANCHER_TOKEN",
        "GITHUB_TOKEN",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_WEBHOOK_SECRETS",
        "HOOK_TOKENS",
        "PAGE_TOKENS",
        "DATABASE_URL",
    }
)


# A whole sweep of a large fleet takes seconds; more often than this nobody learns anything new.
SHORTEST_SWEEP = timedelta(seconds=10)


@dataclass(frozen=True)
class RancherSettings:
    """One Rancher server. `token` is empty where `token_file` is read instead, again whenever it changes."""

    name: str
    url: str
    token: str = field(repr=False, default="")
    token_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True)
class GitHubSettings:
    api_url: str
    repository: str
    token: str = field(repr=False, default="")
    app_id: str = ""
    app_private_key: str = field(repr=False, default="")


@dataclass(frozen=True)
class Settings:
    """Everything, checked. Times are policy time."""

    ranchers: tuple[RancherSettings, ...] = ()
    github: GitHubSettings | None = None
    github_webhook_secrets: tuple[str, ...] = field(repr=False, default=())
    hook_tokens: tuple[str, ...] = field(repr=False, default=())
    page_tokens: tuple[str, ...] = field(repr=False, default=())
    trusted_proxy_header: str = ""
    home: Path = Path()
    database_url: str = field(repr=False, default="")
    public_url: str = ""
    executor_id: str = ""
    policy_file: Path | None = None
    signature_dirs: tuple[Path, ...] = ()
    playbook_dirs: tuple[Path, ...] = ()
    dry_run: bool = False
    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    log_format: str = "text"
    clock_speed: float = 1.0
    clock_origin: float | None = None
    limits: Limits = field(default_factory=Limits)
    sweep_every: timedelta = timedelta(minutes=5)
    alertmanager_labels: tuple[str, ...] = ("cluster_id", "cluster", "cluster_name")
    keep_evidence: timedelta = timedelta(days=30)

    @property
    def evidence_dir(self) -> Path:
        return self.home / "evidence"

    def make_home(self) -> None:
        """The folder for database and evidence. Raises StoreError when it cannot be made."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {self.home}: {error.strerror}",
                cure="Set DROVER_HOME to a folder that this user may write.",
            ) from error


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class _ScopeFile(_Strict):
    cni: tuple[Cni, ...] = (Cni.FLANNEL, Cni.CANAL)
    kubernetes: Ranges = ("1.32",)  # type: ignore[assignment]  # the validator runs on defaults, too
    distributions: tuple[Distribution, ...] = tuple(Distribution)
    labels: Mapping[str, str] = Field(default_factory=dict)
    ignore_label: str = "drover.io/ignore"
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True)


def _not_all_the_time(value: timedelta) -> timedelta:
    if value < SHORTEST_SWEEP:
        raise ValueError(f"less than {SHORTEST_SWEEP.seconds}s would only keep Rancher busy; write for example 5m")
    return value


def _some_time(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("must be longer than nothing; write for example 10m")
    return value


def _address(value: str) -> str:
    if problem := url_problem(value):
        raise ValueError(problem + "; write for example https://rancher.example")
    return value.rstrip("/")


class _SweepFile(_Strict):
    every: Annotated[Duration, AfterValidator(_not_all_the_time)] = timedelta(minutes=5)


class _LimitsFile(_Strict):
    no_progress: Annotated[Duration, AfterValidator(_some_time)] = timedelta(minutes=10)
    hold: Duration = timedelta(seconds=60)
    settle: Duration = timedelta(minutes=5)


class _HooksFile(_Strict):
    alertmanager_labels: tuple[str, ...] = ("cluster_id", "cluster", "cluster_name")


class _EvidenceFile(_Strict):
    keep: Annotated[Duration, AfterValidator(_some_time)] = timedelta(days=30)


class _RancherFile(_Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    url: Annotated[str, AfterValidator(_address)]
    token_file: Path
    ca_file: Path | None = None


class _GitHubFile(_Strict):
    api_url: Annotated[str, AfterValidator(_address)] = "https://api.github.com"
    repository: str


class SettingsFile(_Strict):
    """`drover.yaml`."""

    scope: _ScopeFile = _ScopeFile()
    limits: _LimitsFile = _LimitsFile()
    sweep: _SweepFile = _SweepFile()
    hooks: _HooksFile = _HooksFile()
    evidence: _EvidenceFile = _EvidenceFile()
    ranchers: tuple[_RancherFile, ...] = ()
    github: _GitHubFile | None = None


def url_problem(value: str) -> str:
    """What is wrong with this address, or nothing. It does not quote it: a token pasted into the wrong place stays unsaid."""
    if not value.startswith(("http://", "https://")):
        return "does not begin with http:// or https://"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if not host:
        return "names no host"
    if parts.username or parts.password:
        return "holds a user or password; give the token by its own setting"
    return ""


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read everything once. Raises SettingsError with all problems."""
    reader = _Reader(os.environ if environment is None else environment)
    settings = reader.settings()
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def settings(self) -> Settings:
        self._reject_unknown()
        config_dir = self._folder("CONFIG_DIR", ".config/drover")
        file = self._file(config_dir / "drover.yaml")
        home = self._folder("HOME", ".local/share/drover")
        host, port = self._listen()
        policy = self.value("POLICY_FILE")
        own_policy = config_dir / "policy.yaml"
        database = self.value("DATABASE_URL") or f"sqlite:///{home / 'drover.sqlite'}"
        return Settings(
            ranchers=self._ranchers(file),
            github=self._github(file),
            github_webhook_secrets=self._list("GITHUB_WEBHOOK_SECRETS"),
            hook_tokens=self._list("HOOK_TOKENS"),
            page_tokens=self._list("PAGE_TOKENS"),
            trusted_proxy_header=self.value("TRUSTED_PROXY_HEADER"),
            home=home,
            database_url=database,
            public_url=self._url("PUBLIC_URL").rstrip("/"),
            # A SQLite file serves one process, so its name may be constant: a container's host name changes at every update,
            # and whoever has another name finds nothing of what was begun.
            executor_id=self.value("EXECUTOR_ID")
            or ("drover" if database.startswith("sqlite") else socket.gethostname()),
            policy_file=self._existing("POLICY_FILE") if policy else (own_policy if own_policy.is_file() else None),
            signature_dirs=self._folders("SIGNATURE_DIRS", config_dir / "signatures"),
            playbook_dirs=self._folders("PLAYBOOK_DIRS", config_dir / "playbooks"),
            dry_run=self._yes("DRY_RUN"),
            listen_host=host,
            listen_port=port,
            log_format=self._choice("LOG_FORMAT", ("text", "json")),
            clock_speed=self._number("CLOCK_SPEED", 1.0),
            clock_origin=self._number("CLOCK_ORIGIN", 0.0) or None,
            limits=_limits(file),
            sweep_every=file.sweep.every,
            alertmanager_labels=file.hooks.alertmanager_labels,
            keep_evidence=file.evidence.keep,
        )

    def value(self, name: str) -> str:
        """The variable, or the content of the file that `…_FILE` names."""
        variable = f"DROVER_{name}"
        path = self._environment.get(f"{variable}_FILE", "") if name in SECRETS else ""
        if not path:
            return self._environment.get(variable, "").strip()
        if self._environment.get(variable):
            self._wrong(variable, f"is set, and so is {variable}_FILE: keep one of them", "")
        try:
            return self._expanded(f"{variable}_FILE", path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            self._wrong(f"{variable}_FILE", f"{path} cannot be read: {reason}", "a file that holds the value alone")
            return ""

    def _wrong(self, source: str, what: str, example: str) -> None:
        self.problems.append(f"{source}: {what}" + (f" (example: {example})" if example else ""))

    def _reject_unknown(self) -> None:
        known = {f"DROVER_{name}" for name in VARIABLES} | {f"DROVER_{name}_FILE" for name in SECRETS}
        for name in sorted(self._environment):
            if name.startswith("DROVER_") and name not in known:
                near = get_close_matches(name, known, n=1)
                self._wrong(name, "is not a setting of Drover" + (f"; did you mean {near[0]}?" if near else ""), "")

    def _file(self, path: Path) -> SettingsFile:
        """The user's file over the shipped one, section by section."""
        merged: dict[str, Any] = {}
        documents: list[YamlFile] = []
        for candidate in (shipped_config_dir() / "drover.yaml", path):
            if not candidate.is_file():
                continue
            document = read_yaml(candidate)
            if isinstance(document, Problem):
                self.problems.append(str(document))
                continue
            if not isinstance(document.value, Mapping | None):
                self.problems.append(f"{candidate}:1: settings are a mapping (example: sweep: {{every: 5m}})")
                continue
            for section, value in (document.value or {}).items():
                known = merged.get(section)
                merged[section] = (
                    {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value
                )
            self.problems += [str(problem) for problem in document.duplicates()]
            documents.append(document)
        try:
            return SettingsFile.model_validate(merged)
        except ValidationError as error:
            self.problems += sorted({str(problem) for problem in documents[-1].problems(error)})
            return SettingsFile()

    def _ranchers(self, file: SettingsFile) -> tuple[RancherSettings, ...]:
        if file.ranchers and not self.value("RANCHER_URL"):
            names = [entry.name for entry in file.ranchers]
            if len(set(names)) != len(names):
                self._wrong("drover.yaml ranchers", "two servers have one name", "names are unique")
            return tuple(
                RancherSettings(
                    entry.name,
                    entry.url,
                    token_file=self._expanded("drover.yaml ranchers", entry.token_file),
                    ca_file=self._expanded("drover.yaml ranchers", entry.ca_file) if entry.ca_file else None,
                )
                for entry in file.ranchers
            )
        url = self._url("RANCHER_URL")
        if not url:
            return ()
        token_file = self._environment.get("DROVER_RANCHER_TOKEN_FILE", "")
        token = self.value("RANCHER_TOKEN")
        if not token and not token_file:
            self._wrong("DROVER_RANCHER_TOKEN", "is not set, but DROVER_RANCHER_URL is", VARIABLES["RANCHER_TOKEN"])
        ca_file = self._existing("RANCHER_CA_FILE") if self.value("RANCHER_CA_FILE") else None
        return (
            RancherSettings(
                "default",
                url,
                "" if token_file else token,
                self._expanded("DROVER_RANCHER_TOKEN_FILE", token_file) if token_file else None,
                ca_file,
            ),
        )

    def _github(self, file: SettingsFile) -> GitHubSettings | None:
        repository = self.value("GITHUB_REPOSITORY") or (file.github.repository if file.github else "")
        if not repository:
            for name in ("GITHUB_TOKEN", "GITHUB_APP_ID"):
                if self.value(name):
                    self._wrong(f"DROVER_{name}", "is set, but DROVER_GITHUB_REPOSITORY is not", "acme/fleet")
            return None
        if repository.count("/") != 1 or not all(repository.split("/")):
            self._wrong("DROVER_GITHUB_REPOSITORY", f"{repository!r} is not owner/name", VARIABLES["GITHUB_REPOSITORY"])
        token, app, key = self.value("GITHUB_TOKEN"), self.value("GITHUB_APP_ID"), self.value("GITHUB_APP_PRIVATE_KEY")
        if not token and not (app and key):
            what = (
                "is set, but neither DROVER_GITHUB_TOKEN nor DROVER_GITHUB_APP_ID with DROVER_GITHUB_APP_PRIVATE_KEY is"
            )
            self._wrong("DROVER_GITHUB_REPOSITORY", what, "DROVER_GITHUB_TOKEN_FILE=/run/secrets/github-token")
        if app and not (app.isascii() and app.isdigit()):
            self._wrong("DROVER_GITHUB_APP_ID", f"{app!r} is not a number", VARIABLES["GITHUB_APP_ID"])
        url = self._url("GITHUB_API_URL") or (file.github.api_url if file.github else "https://api.github.com")
        return GitHubSettings(url.rstrip("/"), repository, token, app, key)

    def _url(self, name: str) -> str:
        value = self.value(name)
        if value and (problem := url_problem(value)):
            self._wrong(f"DROVER_{name}", problem, VARIABLES[name])
        return value.rstrip("/")

    def _list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.value(name).replace("\n", ",").split(",") if part.strip())

    def _folders(self, name: str, own: Path) -> tuple[Path, ...]:
        given = [self._expanded(f"DROVER_{name}", part) for part in self.value(name).split(os.pathsep) if part]
        for folder in given:
            if not folder.is_dir():
                self._wrong(f"DROVER_{name}", f"{folder} is not a folder", VARIABLES[name])
        return (*([own] if own.is_dir() else []), *given)

    def _folder(self, name: str, default: str) -> Path:
        return self._expanded(f"DROVER_{name}", self.value(name) or f"~/{default}")

    def _expanded(self, source: str, path: str | Path) -> Path:
        try:
            return Path(path).expanduser()
        except RuntimeError:
            self._wrong(source, f"{path}: there is no such user, or no home folder", "/var/lib/drover")
            return Path(path)

    def _existing(self, name: str) -> Path | None:
        path = self._expanded(f"DROVER_{name}", self.value(name))
        if not path.is_file():
            self._wrong(f"DROVER_{name}", f"{path} is not a file", VARIABLES[name])
            return None
        return path

    def _yes(self, name: str) -> bool:
        value = self.value(name).lower()
        if value not in {"", "0", "1", "true", "false", "yes", "no"}:
            self._wrong(f"DROVER_{name}", f"{value!r} is neither yes nor no", VARIABLES[name])
        return value in {"1", "true", "yes"}

    def _choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.value(name) or choices[0]
        if value not in choices:
            self._wrong(f"DROVER_{name}", f"{value!r} is not one of {', '.join(choices)}", choices[-1])
        return value

    def _number(self, name: str, default: float) -> float:
        value = self.value(name)
        try:
            number = float(value) if value else default
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0 or (value and not number):
            self._wrong(f"DROVER_{name}", f"{value!r} is not a number above 0", VARIABLES[name])
            return default
        return number

    def _listen(self) -> tuple[str, int]:
        value = self.value("LISTEN") or "127.0.0.1:8080"
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            self._wrong("DROVER_LISTEN", f"{value!r} is not host:port", VARIABLES["LISTEN"])
            return "127.0.0.1", 8080
        return host.strip("[]"), int(port)


def _limits(file: SettingsFile) -> Limits:
    return Limits(
        no_progress=file.limits.no_progress,
        hold=file.limits.hold,
        settle=file.limits.settle,
        scope=Scope(
            cnis=frozenset(file.scope.cni),
            distributions=frozenset(file.scope.distributions),
            kubernetes=tuple(file.scope.kubernetes),
            ignore_label=file.scope.ignore_label,
            only_labels=tuple(sorted(file.scope.labels.items())),
        ),
    )
