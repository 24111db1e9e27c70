"""What may a predicate of a signature ask?

Each predicate is a mapping with one key that names it. Nothing here matches anything: `predicates.py` answers, with the help of
`patterns.py` and `expressions.py`.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator


class Strict(BaseModel):
    """A key that nobody knows is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, (str, Mapping, BaseModel)) else value


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class Workload(StrEnum):
    """Which part of the cluster a pod is. The names each distribution gives it stand in `bundle/origin.py`."""

    CNI = "cni"
    OTHER_CNI = "other-cni"
    CALICO_KUBE_CONTROLLERS = "calico-kube-controllers"
    KUBE_PROXY = "kube-proxy"
    CLUSTER_AGENT = "cluster-agent"
    NODE_AGENT = "node-agent"
    HELM_INSTALL = "helm-install"
    NETWORK_DEPLOY_JOB = "network-deploy-job"
    KUBE_APISERVER = "kube-apiserver"
    KUBE_CONTROLLER_MANAGER = "kube-controller-manager"
    CLOUD_CONTROLLER_MANAGER = "cloud-controller-manager"
    COREDNS = "coredns"
    ETCD = "etcd"
    INGRESS = "ingress"


Workloads = Annotated[tuple[Workload, ...], BeforeValidator(as_tuple), Field(min_length=1)]

DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_seconds(text: str) -> int:
    """`5m`, `1h30m`, `2d` in seconds; raises ValueError with an example."""
    if not text or DURATION.sub("", text):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 5m, 1h30m or 2d")
    return sum(int(number) * _SECONDS[unit] for number, unit in DURATION.findall(text))


class From(Strict):
    """Where a log line has to come from. Every key given must fit; a list of these means any of them."""

    workload: Workloads | None = None
    namespace: OneOrMore | None = None
    container: OneOrMore | None = None
    unit: OneOrMore | None = None
    node: str | None = Field(default=None, description="pattern on the node's name")
    previous: bool | None = Field(default=None, description="only the previous run's log, or only the current one's")


Froms = Annotated[tuple[From, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class Of(Strict):
    """Which pods or DaemonSets an expression is asked of."""

    workload: Workloads | None = None
    namespace: OneOrMore | None = None
    name: str | None = Field(default=None, description="pattern on the name")


SHARE = re.compile(r"(>=|>|<=|<)\s*(\d{1,3})\s*%")


class Asked(Strict):
    """What every predicate may say besides its question."""

    at_least: int | None = Field(
        default=None, ge=1, description="how many lines, events, pods, nodes or objects have to fit"
    )
    if_unknown: Literal["no-match", "match"] = Field(
        default="no-match",
        description="in `all`: what happens when the evidence does not tell. `match` lets it pass with lower confidence",
    )

    @property
    def needed(self) -> int:
        return self.at_least or 1


class Shared(Asked):
    """A question asked of each pod or node, whose answers are counted."""

    share: str | None = Field(default=None, description="share of those whose answer is known, for example '>50%'")

    @field_validator("share")
    @classmethod
    def _share_is_a_comparison(cls, value: str | None) -> str | None:
        if value is not None and not SHARE.fullmatch(value):
            raise ValueError(f"{value!r} is not a share; write for example '>50%' or '>=90%'")
        return value


class LogPredicate(Asked):
    """A line of a log file."""

    log: OneOrMore
    from_: Froms | None = Field(default=None, alias="from")


TextPlace = Literal["events", "nodes", "pods", "conditions", "helm", "logs", "other"]


class TextPredicate(Asked):
    """A line of any text in the bundle: events, conditions, logs, helm output, pasted text."""

    text: OneOrMore
    in_: Annotated[tuple[TextPlace, ...], BeforeValidator(as_tuple)] | None = Field(default=None, alias="in")


class ConditionWhere(Strict):
    of: Literal["cluster", "machine", "node", "object", "any"] = "any"
    type: OneOrMore | None = None
    status: Literal["True", "False", "Unknown"] | None = None
    reason: OneOrMore | None = None
    message: str | None = Field(default=None, description="pattern on the message")

    @field_validator("status", mode="before")
    @classmethod
    def _yaml_booleans(cls, value: Any) -> Any:
        return str(value) if isinstance(value, bool) else value


class ConditionPredicate(Asked):
    """A condition of the Rancher cluster, a machine, a node or another object."""

    condition: ConditionWhere


class EventWhere(Strict):
    type: Literal["Normal", "Warning"] | None = None
    reason: OneOrMore | None = None
    kind: OneOrMore | None = None
    name: str | None = Field(default=None, description="pattern on the object's name")
    message: str | None = Field(default=None, description="pattern on the message")
    within: str | None = Field(
        default=None, description="last seen at most this long before the evidence was collected"
    )
    before: str | None = Field(
        default=None, description="last seen at least this long before the evidence was collected"
    )

    @field_validator("within", "before")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration_seconds(value)
        return value


class EventPredicate(Asked):
    """An event. `at_least` counts occurrences, `(x312 over 74m)` included."""

    event: EventWhere


class PodPredicate(Shared):
    """An expression (CEL) that is asked of one pod at a time."""

    pod: str
    of: Of | None = None


class NodePredicate(Shared):
    """An expression (CEL) that is asked of one node at a time."""

    node: str


class DaemonSetPredicate(Shared):
    """An expression (CEL) that is asked of one DaemonSet at a time."""

    daemonset: str
    of: Of | None = None


class ObjectWhere(Strict):
    kind: str
    name: str | None = Field(default=None, description="pattern on the name")
    namespace: OneOrMore | None = None
    where: str | None = Field(default=None, description="expression (CEL) on `object`")


class ObjectPredicate(Asked):
    """An API object of a kind, optionally with an expression on its fields."""

    object: ObjectWhere


class CountWhere(Strict):
    of: "Predicate"
    at_least: int | None = Field(default=None, ge=0)
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a count needs at_least, at_most or both")
        return self


class CountPredicate(Asked):
    """How often another predicate fits, between two bounds."""

    count: CountWhere


class AgeWhere(Strict):
    of: Literal["node", "pod"]
    where: str | None = Field(default=None, description="expression (CEL): only of those nodes or pods")
    more_than: str | None = None
    less_than: str | None = None

    @field_validator("more_than", "less_than")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration_seconds(value)
        return value

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.more_than is None and self.less_than is None:
            raise ValueError("an age needs more_than, less_than or both")
        return self


class AgePredicate(Asked):
    """How old nodes or pods are."""

    age: AgeWhere


class AbsentPredicate(Asked):
    """Another predicate is known not to fit. Without the evidence that could show it, this is unknown."""

    absent: "Predicate"


class AnyOfPredicate(Asked):
    """One of these fits, or `at_least` of them."""

    any: Annotated[tuple["Predicate", ...], Field(min_length=2)]


class AllOfPredicate(Asked):
    """All of these fit. For the alternatives of an `any`."""

    all: Annotated[tuple["Predicate", ...], Field(min_length=2)]


class TogetherWhere(Strict):
    by: Literal["node", "pod"]
    all: Annotated[tuple["Predicate", ...], Field(min_length=1)]


class TogetherPredicate(Shared):
    """All of these fit on the same node, or in the same pod. The nodes or pods of which that is so are counted."""

    together: TogetherWhere


class SinceWhere(Strict):
    of: "Predicate" = Field(description="the success")
    since: "Predicate" = Field(description="the failure: its first line or event begins the time that is looked at")
    by: Literal["cluster", "node", "pod"] = "cluster"


class NeverSinceWhere(SinceWhere):
    lasting: str | None = Field(default=None, description="the failure was seen over at least this time")

    @field_validator("lasting")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration_seconds(value)
        return value


class NeverSincePredicate(Shared):
    """Something went wrong, and since then the success that would show the contrary was not seen once."""

    never_since: NeverSinceWhere


class SeenSincePredicate(Shared):
    """Something went wrong, and after that it was seen to work."""

    seen_since: SinceWhere


_KEYS = (
    "log", "text", "condition", "event", "pod", "node", "daemonset", "object", "count", "age", "absent", "any", "all",
    "together", "never_since", "seen_since",
)  # fmt: skip


def predicate_key(value: Any) -> str | None:
    """Which predicate a YAML mapping is: the one key that names it."""
    if isinstance(value, BaseModel):
        return next((key for key in _KEYS if key in type(value).model_fields), None)
    if not isinstance(value, Mapping):
        return None
    found = [key for key in _KEYS if key in value]
    return found[0] if len(found) == 1 else None


Predicate = Annotated[
    Annotated[LogPredicate, Tag("log")]
    | Annotated[TextPredicate, Tag("text")]
    | Annotated[ConditionPredicate, Tag("condition")]
    | Annotated[EventPredicate, Tag("event")]
    | Annotated[PodPredicate, Tag("pod")]
    | Annotated[NodePredicate, Tag("node")]
    | Annotated[DaemonSetPredicate, Tag("daemonset")]
    | Annotated[ObjectPredicate, Tag("object")]
    | Annotated[CountPredicate, Tag("count")]
    | Annotated[AgePredicate, Tag("age")]
    | Annotated[AbsentPredicate, Tag("absent")]
    | Annotated[AnyOfPredicate, Tag("any")]
    | Annotated[AllOfPredicate, Tag("all")]
    | Annotated[TogetherPredicate, Tag("together")]
    | Annotated[NeverSincePredicate, Tag("never_since")]
    | Annotated[SeenSincePredicate, Tag("seen_since")],
    Discriminator(
        predicate_key,
        custom_error_type="predicate",
        custom_error_message=f"a predicate is a mapping with exactly one of the keys {', '.join(_KEYS)}"
        " (`none` stands directly in `when`; inside, write `absent`)",
    ),
]


AnyPredicate = (
    LogPredicate
    | TextPredicate
    | ConditionPredicate
    | EventPredicate
    | PodPredicate
    | NodePredicate
    | DaemonSetPredicate
    | ObjectPredicate
    | CountPredicate
    | AgePredicate
    | AbsentPredicate
    | AnyOfPredicate
    | AllOfPredicate
    | TogetherPredicate
    | NeverSincePredicate
    | SeenSincePredicate
)

# How deep predicates may stand in each other, the outermost included: `absent` of `any` of `log` is three.
DEPTH = 3
# What can be ascribed to one node or pod, and what happens at a time.
_KEYED = ("log", "event", "condition", "pod", "node", "absent", "any", "all")
_TIMED = ("log", "event", "any")


def inner(predicate: AnyPredicate) -> tuple[AnyPredicate, ...]:
    """The predicates directly inside this one."""
    match predicate:
        case CountPredicate():
            return (predicate.count.of,)
        case AbsentPredicate():
            return (predicate.absent,)
        case AnyOfPredicate():
            return predicate.any
        case AllOfPredicate():
            return predicate.all
        case TogetherPredicate():
            return predicate.together.all
        case NeverSincePredicate():
            return (predicate.never_since.of, predicate.never_since.since)
        case SeenSincePredicate():
            return (predicate.seen_since.of, predicate.seen_since.since)
    return ()


def unfolded(predicate: AnyPredicate) -> Iterator[AnyPredicate]:
    """The predicate and all that stand inside it."""
    yield predicate
    for each in inner(predicate):
        yield from unfolded(each)


def nesting_problem(predicate: AnyPredicate) -> str | None:
    """What is wrong with predicates inside others: what nobody can answer, or could follow. None when all is well."""
    if _depth(predicate) > DEPTH:
        return f"predicates stand more than {DEPTH} deep in each other; split the signature in two"
    for outer in unfolded(predicate):
        key = predicate_key(outer)
        if key == "all" and outer.at_least is not None:
            return "`all` has no at_least; `any` with at_least asks for some of several"
        for each in inner(outer):
            below = predicate_key(each)
            if below == key:
                return f"`{key}` stands directly inside `{key}`; write it once"
            if each.if_unknown == "match":
                return "if_unknown belongs to a predicate that stands directly in `when.all`"
            if key == "together" and not _all_of(each, _KEYED):
                return f"`{below}` belongs to no node or pod; inside `together` there may be {', '.join(_KEYED)}"
            if key in {"never_since", "seen_since"} and not _all_of(each, _TIMED):
                return f"`{below}` happens at no time; inside `{key}` there may be {', '.join(_TIMED)}"
    return None


def _depth(predicate: AnyPredicate) -> int:
    return 1 + max((_depth(each) for each in inner(predicate)), default=0)


def _all_of(predicate: AnyPredicate, keys: Collection[str]) -> bool:
    return all(predicate_key(each) in keys for each in unfolded(predicate))


for _model in (
    CountWhere,
    CountPredicate,
    AbsentPredicate,
    AnyOfPredicate,
    AllOfPredicate,
    TogetherWhere,
    TogetherPredicate,
    SinceWhere,
    NeverSinceWhere,
    NeverSincePredicate,
    SeenSincePredicate,
):
    _model.model_rebuild()
