"""What may a signature file say?

One YAML file describes one known failure. These models are the reference of that format: `config/README.md` explains it
with an example of every predicate, and `config/schema/signature.json` is generated from here for editors.

Nothing in this module matches anything; `patterns.py` and `expressions.py` compile what is written here, `match.py` applies it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

DISTRIBUTIONS = ("rke1", "rke2", "k3s", "kubeadm", "unknown")
CNIS = ("flannel", "canal", "calico", "cilium", "multus", "unknown")


class Cause(StrEnum):
    """The categories that findings, playbooks and scores share."""

    POD_CIDR_NOT_ASSIGNED = "pod-cidr-not-assigned"
    CIDR_EXHAUSTED = "cidr-exhausted"
    CIDR_OVERLAP = "cidr-overlap"
    CRD_MISSING_OR_LATE = "crd-missing-or-late"
    RBAC_FORBIDDEN = "rbac-forbidden"
    CNI_CONF_MISSING = "cni-conf-missing"
    CNI_CONF_LEFTOVER = "cni-conf-leftover"
    CNI_BINARY_MISSING = "cni-binary-missing"
    KUBELET_FLAG_UNSUPPORTED = "kubelet-flag-unsupported"
    APISERVER_UNREACHABLE = "apiserver-unreachable-from-pod"
    VXLAN_BLOCKED = "vxlan-blocked-or-port-conflict"
    CHECKSUM_OFFLOAD = "checksum-offload"
    WRONG_INTERFACE = "wrong-interface"
    KERNEL_MODULE_MISSING = "kernel-module-missing"
    IPTABLES_BACKEND = "iptables-backend"
    IMAGE_PULL = "image-pull"
    HELM_INSTALL_FAILED = "helm-install-failed"
    TAINT_TOLERATION = "taint-toleration"
    WINDOWS_NODE = "windows-node"
    DATASTORE_IP_AUTODETECT = "datastore-ip-autodetect"
    BIRD_OR_FELIX_NOT_READY = "bird-or-felix-not-ready"
    CLOUD_PROVIDER_UNINITIALIZED = "cloud-provider-uninitialized"
    DNS_OR_AGENT_NOT_CONNECTED = "dns-or-agent-not-connected"
    CERTIFICATE = "certificate"
    RESOURCE_PRESSURE_OR_OOM = "resource-pressure-or-oom"
    NODE_NAME_MISMATCH = "node-name-mismatch"
    NODE_IPAM_LEAK = "node-ipam-leak"
    RUNTIME_NOT_RELOADED = "runtime-not-reloaded"
    CNI_IMAGE_NOT_RUNNABLE = "cni-image-not-runnable"
    WORKLOAD_REJECTED = "workload-rejected"
    FLANNEL_LINK_CONFLICT = "flannel-link-conflict"
    SELINUX_DENIED = "selinux-denied"
    CGROUP_DRIVER = "cgroup-driver"
    TEMPLATE_OR_METADATA = "template-or-metadata"
    HEALTHY_LOOKALIKE = "healthy-lookalike"
    OTHER_CNI = "other-cni"


class Verdict(StrEnum):
    """The four answers of an analysis."""

    CNI_FAILURE = "cni-failure"
    OTHER_FAILURE = "other-failure"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


NOT_THE_CNI = frozenset({Cause.HEALTHY_LOOKALIKE, Cause.OTHER_CNI})


class Strict(BaseModel):
    """A key that nobody knows is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, (str, Mapping, BaseModel)) else value


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


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


Workloads = Annotated[tuple[Workload, ...], BeforeValidator(_as_tuple), Field(min_length=1)]

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


Froms = Annotated[tuple[From, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


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
    in_: Annotated[tuple[TextPlace, ...], BeforeValidator(_as_tuple)] | None = Field(default=None, alias="in")


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


_KEYS = ("log", "text", "condition", "event", "pod", "node", "daemonset", "object", "count", "age", "absent")


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
    | Annotated[AbsentPredicate, Tag("absent")],
    Discriminator(
        predicate_key,
        custom_error_type="predicate",
        custom_error_message=f"a predicate is a mapping with exactly one of the keys {', '.join(_KEYS)}",
    ),
]


class When(Strict):
    """All of `all`, at least one of `any` (where given), and none of `none`."""

    all: tuple[Predicate, ...] = ()
    any: tuple[Predicate, ...] = ()
    none: tuple[Predicate, ...] = ()

    @model_validator(mode="after")
    def _something_positive(self) -> Self:
        if not self.all and not self.any:
            raise ValueError("`when` needs at least one predicate in `all` or `any`")
        return self


class Applies(Strict):
    """Excludes a cluster only on a value that is known."""

    distributions: (
        Annotated[tuple[Literal["rke1", "rke2", "k3s", "kubeadm"], ...], BeforeValidator(_as_tuple)] | None
    ) = None
    cni: Annotated[tuple[Literal["flannel", "canal", "calico", "cilium"], ...], BeforeValidator(_as_tuple)] | None = (
        None
    )
    kubernetes: OneOrMore | None = Field(default=None, description="range like '>=1.32.0 <1.33'; of a list, any")
    rancher: OneOrMore | None = Field(default=None, description="range like '>=2.10.4 <2.11'; of a list, any")
    os: Annotated[tuple[Literal["linux", "windows"], ...], BeforeValidator(_as_tuple)] | None = None


SIGNATURE_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Signature(Strict):
    """One known failure."""

    id: str
    title: str = Field(min_length=8, max_length=160)
    cause: Cause
    severity: Literal["info", "warning", "error", "critical"] = "error"
    verdict: Verdict | None = Field(default=None, description="only where it differs from what the cause says")
    applies: Applies = Applies()
    when: When
    supports: tuple[Predicate, ...] = ()
    contradicts: tuple[Predicate, ...] = ()
    confidence: float = Field(gt=0, le=0.99)
    because: str = Field(min_length=20)
    advice: str = ""
    explains: tuple[str, ...] = ()
    surer_with: tuple[str, ...] = ()
    minutes: int = Field(default=0, ge=0, description="normal while every node is younger than that many minutes")
    since: date
    references: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("id", "explains")
    @classmethod
    def _kebab(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (value,) if isinstance(value, str) else value:
            if not SIGNATURE_ID.fullmatch(name):
                raise ValueError(f"{name!r} is not an id; use lower case letters, digits and single dashes")
        return value

    @field_validator("references")
    @classmethod
    def _links(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for link in value:
            if not link.startswith("https://"):
                raise ValueError(f"{link!r} is not a link; references begin with https://")
        return value

    @field_validator("because", "advice", "title")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return " ".join(value.split())

    @property
    def says(self) -> Verdict:
        """The verdict that this signature, when it is the best finding, gives the whole bundle."""
        if self.verdict is not None:
            return self.verdict
        return Verdict.OTHER_FAILURE if self.cause in NOT_THE_CNI else Verdict.CNI_FAILURE

    def predicates(self) -> Iterator["AnyPredicate"]:
        """Every predicate, those inside `count` and `absent` included."""
        for listed in (self.when.all, self.when.any, self.when.none, self.supports, self.contradicts):
            for predicate in listed:
                yield from _unfold(predicate)


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
)


def _unfold(predicate: AnyPredicate) -> Iterator[AnyPredicate]:
    yield predicate
    if isinstance(predicate, CountPredicate):
        yield from _unfold(predicate.count.of)
    elif isinstance(predicate, AbsentPredicate):
        yield from _unfold(predicate.absent)


for _model in (CountWhere, CountPredicate, AbsentPredicate, When, Signature):
    _model.model_rebuild()
