"""What does `config/policy.yaml` look like? The model that guards it; every field has its meaning beside it."""

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bot.policy.roles import ROLES, role_named
from rancher_ext.remediation.action import Risk, UndoKind
from rancher_ext.remediation.playbook import Duration
from rancher_ext.signatures.schema import Cause

__all__ = ["ROLES", "Brakes", "Need", "Policy", "Rule", "RuleWhen"]


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


class Need(_Strict):
    """So many approvals, each by somebody with at least this role in the repository."""

    needs: Annotated[int, BeforeValidator(_approvals), Field(ge=1, le=5)] = 1
    by: Annotated[str, BeforeValidator(role_named)] = "write"
    fresh_etcd_snapshot: Literal["never", "if-ever-initialized"] = "never"


class RuleWhen(_Strict):
    """All that is given must fit. `labels` are those of the Rancher cluster."""

    risk: Risk | None = None
    undo: UndoKind | None = None
    cause: Annotated[str | None, BeforeValidator(_cause)] = None
    signature: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)


class Rule(_Strict):
    when: RuleWhen
    decide: Literal["auto", "approve", "never", "dry-run"]
    unless: Literal["approved"] | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _narrows(self) -> Self:
        # An approval would take away a permission: fewer people in favour, more allowed.
        if self.decide == "auto" and self.unless:
            raise ValueError("`unless: approved` makes no sense with `decide: auto`; leave it out")
        return self


class Approvals(_Strict):
    """`void_on` may say so, and changes nothing: an edit and a drift void an approval always."""

    expire: Duration = timedelta(hours=24)
    void_on: tuple[Literal["edit", "drift"], ...] = ("edit", "drift")


class Brakes(_Strict):
    """Stop acting when too much is ill: at most so many clusters are being mended at once."""

    clusters_at_once: int = Field(default=3, ge=1)


class Policy(_Strict):
    default: Mapping[Risk, Need] = Field(
        default_factory=lambda: {
            Risk.SAFE: Need(needs=1, by="write"),
            Risk.DISRUPTIVE: Need(needs=1, by="maintain"),
            Risk.DESTRUCTIVE: Need(needs=2, by="admin", fresh_etcd_snapshot="if-ever-initialized"),
        }
    )
    rules: tuple[Rule, ...] = ()
    approvals: Approvals = Approvals()
    brakes: Brakes = Brakes()
    opt_out: str = "drover.io/ignore"

    def need(self, risk: Risk) -> Need:
        """What this risk needs; a risk that the file leaves out needs what the next higher one does."""
        for level in list(Risk)[risk.rank :]:
            if level in self.default:
                return self.default[level]
        return Need(needs=2, by="admin", fresh_etcd_snapshot="if-ever-initialized")

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
