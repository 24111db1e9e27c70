"""What does `config/policy.yaml` look like? The model that guards it; every field has its meaning beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bot.policy.freeze import Freeze
from bot.policy.roles import ROLES, TEAM, Who, who_named
from rancher_ext.remediation.action import Risk, UndoKind
from rancher_ext.remediation.playbook import Duration, parse_duration
from rancher_ext.signatures.schema import Cause

__all__ = ["ROLES", "Age", "Asked", "Brakes", "Canary", "Freeze", "Need", "Policy", "Rule", "RuleWhen", "Storm"]

# What a person has to put on the Rancher cluster before these actions may touch it, whatever else is allowed.
NEEDED_LABELS: Mapping[str, Mapping[str, str]] = {"host-fix": {"drover.io/host-fix": "allow"}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _approvals(value: object) -> object:
    """`1 approval`, `2 approvals` or a number."""
    if isinstance(value, str):
        words = value.split()
        if len(words) == 2 and words[0].isdigit() and words[1] in {"approval", "approvals"}:
            return int(words[0])
        raise ValueError(f"{value!r} is not a number of approvals; write for example '1 approval'")
    return value


def _cause(value: object) -> object:
    """A rule for a cause that does not exist would never match, and a `never` would protect nothing."""
    known = [cause.value for cause in Cause]
    if value is not None and value not in known:
        near = get_close_matches(str(value), known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known causes: {', '.join(known)}."
        raise ValueError(f"there is no cause {value!r}. {hint}")
    return value


@dataclass(frozen=True)
class Age:
    """`<14d`: known for less than fourteen days. `>=14d`: for that long or longer."""

    younger: bool
    than: timedelta

    def holds(self, age: timedelta) -> bool:
        return (age < self.than) is self.younger


def _age(value: object) -> object:
    if isinstance(value, str):
        text = value.strip()
        for sign in ("<", ">="):
            if text.startswith(sign):
                return Age(sign == "<", parse_duration(text.removeprefix(sign).strip()))
        raise ValueError(f"{value!r} is no age; write for example '<14d' or '>=14d'")
    return value


def _share(value: object) -> object:
    """`25%` or a number between 0 and 1."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip().removesuffix("%")) / 100
        except ValueError:
            raise ValueError(f"{value!r} is no share of the fleet; write for example 25%") from None
    return value


def _switched_off(value: object) -> object:
    """YAML reads `off` as false."""
    return None if value is False or value == "off" else value


def _each_asked(value: object) -> object:
    """One demand or several, each a bare name or with the labels for which it holds."""
    entries = value if isinstance(value, list | tuple) else [value]
    return [{"by": entry} if isinstance(entry, str) else entry for entry in entries]


By = Annotated[str, BeforeValidator(who_named)]
Count = Annotated[int, BeforeValidator(_approvals), Field(ge=1, le=5)]


class Need(_Strict):
    """So many approvals, each by somebody with at least this role in the repository, or of this team (`team:acme/network`)."""

    needs: Count = 1
    by: By = "write"
    fresh_etcd_snapshot: Literal["never", "if-ever-initialized"] = "never"


class RuleWhen(_Strict):
    """All that is given must fit. `labels` are those of the Rancher cluster."""

    risk: Risk | None = None
    undo: UndoKind | None = None
    cause: Annotated[str | None, BeforeValidator(_cause)] = None
    signature: str | None = None
    signature_age: Annotated[Age | None, BeforeValidator(_age)] = None
    playbook: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)


class Rule(_Strict):
    """`needs` and `by` ask for more approvals, or for other people as well, than the default of the plan's risk."""

    when: RuleWhen
    decide: Literal["auto", "approve", "never", "dry-run"]
    unless: Literal["approved"] | None = None
    needs: Count | None = None
    by: By | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _narrows(self) -> Self:
        # An approval would take away a permission: fewer people in favour, more allowed.
        if self.decide == "auto" and self.unless:
            raise ValueError("`unless: approved` makes no sense with `decide: auto`; leave it out")
        if (self.needs or self.by) and self.decide != "approve" and not self.unless:
            raise ValueError(
                f"`needs` and `by` say who approves, and `decide: {self.decide}` asks nobody; leave them out"
            )
        return self


class Asked(_Strict):
    """Who may give a command, on clusters with these labels: in addition to what the command itself asks for."""

    by: By
    labels: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Needed:
    """How many people have to agree to one plan, and which people count."""

    count: int
    who: Who


class Approvals(_Strict):
    """An approval counts this long. That its comment was edited or the plan has changed voids it always."""

    expire: Duration = timedelta(hours=24)

    @model_validator(mode="before")
    @classmethod
    def _void_on_is_gone(cls, value: object) -> object:
        if isinstance(value, Mapping) and "void_on" in value:
            raise ValueError(
                "`void_on` never changed anything: an edit and a drift void an approval always. Take it out"
            )
        return value


class Canary(_Strict):
    """The first cluster that gets a cure has to be healed by it, soak included, before others get it. That holds for so long."""

    proven_for: Duration = timedelta(hours=24)


class Storm(_Strict):
    """When more than `clusters`, or at least `at_least` that are more than `share` of the fleet, became stuck within `within`,
    something larger is wrong: nothing begins by itself until that is over.
    """

    clusters: int = Field(default=20, ge=1)
    share: Annotated[float, BeforeValidator(_share), Field(gt=0, le=1)] = 0.25
    at_least: int = Field(default=10, ge=1)
    within: Duration = timedelta(minutes=30)


class Brakes(_Strict):
    """Stop acting when too much is ill. They hold back what would begin; what has begun is finished."""

    clusters_at_once: int = Field(default=3, ge=1)
    per_signature_per_hour: int = Field(default=6, ge=1, le=100)
    per_playbook_per_hour: int = Field(default=12, ge=1, le=100)
    canary: Annotated[Canary | None, BeforeValidator(_switched_off)] = Canary()
    storm: Annotated[Storm | None, BeforeValidator(_switched_off)] = Storm()
    demote_after: int = Field(default=2, ge=1, le=50)


class Policy(_Strict):
    default: Mapping[Risk, Need] = Field(
        default_factory=lambda: {
            Risk.SAFE: Need(needs=1, by="write"),
            Risk.DISRUPTIVE: Need(needs=1, by="maintain"),
            Risk.DESTRUCTIVE: Need(needs=2, by="admin", fresh_etcd_snapshot="if-ever-initialized"),
        }
    )
    rules: tuple[Rule, ...] = ()
    commands: Mapping[str, Annotated[tuple[Asked, ...], BeforeValidator(_each_asked)]] = Field(default_factory=dict)
    approvals: Approvals = Approvals()
    brakes: Brakes = Brakes()
    freeze: tuple[Freeze, ...] = ()
    opt_out: str = "drover.io/ignore"
    opt_in: Mapping[str, str] = Field(default_factory=dict)
    needed_labels: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)

    def need(self, risk: Risk) -> Need:
        """What this risk needs; a risk that the file leaves out needs what the next higher one does."""
        for level in list(Risk)[risk.rank :]:
            if level in self.default:
                return self.default[level]
        return Need(needs=2, by="admin", fresh_etcd_snapshot="if-ever-initialized")

    def needed(self, risk: Risk, labels: Mapping[str, str], rule: Rule | None = None) -> Needed:
        """Whose approvals a plan needs where this rule decides. All that asks for somebody holds: nothing takes away from it.

        What is asked of `/drover approve` holds for every approval, however it was given.
        """
        need = self.need(risk)
        who = Who.named(need.by) & self.who_may("approve", labels)
        if rule is None:
            return Needed(need.needs, who)
        return Needed(max(need.needs, rule.needs or 0), who & (Who.named(rule.by) if rule.by else Who()))

    def who_may(self, command: str, labels: Mapping[str, str] | None) -> Who:
        """What the file asks of those who give this command. `labels` None: nobody knows them, so all that could hold does."""
        who = Who()
        for asked in self.commands.get(command, ()):
            if labels is None or all(labels.get(name) == value for name, value in asked.labels.items()):
                who &= Who.named(asked.by)
        return who

    def asks_by_label(self, command: str) -> bool:
        """Is it asked of some clusters only, so that their labels have to be known?"""
        return any(asked.labels for asked in self.commands.get(command, ()))

    @property
    def approving_teams(self) -> tuple[str, ...]:
        """The teams whose members' approvals may be asked for."""
        named = [need.by for need in self.default.values()]
        named += [rule.by for rule in self.rules if rule.by]
        named += [asked.by for asked in self.commands.get("approve", ())]
        return tuple(dict.fromkeys(by.removeprefix(TEAM) for by in named if by.startswith(TEAM)))

    @property
    def teams(self) -> tuple[str, ...]:
        """Every team that the file names."""
        named = [asked.by for each in self.commands.values() for asked in each]
        commanding = (by.removeprefix(TEAM) for by in named if by.startswith(TEAM))
        return tuple(dict.fromkeys((*self.approving_teams, *commanding)))

    def labels_needed(self, action: str) -> Mapping[str, str]:
        """What the file asks for, on top of what always holds: a file cannot take away a label that guards the nodes."""
        return {**self.needed_labels.get(action, {}), **NEEDED_LABELS.get(action, {})}

    def to_json(self) -> dict[str, Any]:
        shown = self.model_dump(mode="json", exclude={"freeze"})
        return shown | {"freeze": [window.to_json() for window in self.freeze]}
