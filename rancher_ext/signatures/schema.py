"""What may a signature file say?

One YAML file describes one known failure. These models are the reference of that format: `config/README.md` explains it
with an example of every predicate, and `config/schema/signature.json` is generated from here for editors.

Nothing in this module matches anything; `patterns.py` and `expressions.py` compile what is written here, `match.py` applies it.
"""

import re
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rancher_ext.signatures.predicate_schema import AnyPredicate, OneOrMore, Predicate, Strict, as_tuple, unfolded

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
        Annotated[tuple[Literal["rke1", "rke2", "k3s", "kubeadm"], ...], BeforeValidator(as_tuple)] | None
    ) = None
    cni: Annotated[tuple[Literal["flannel", "canal", "calico", "cilium"], ...], BeforeValidator(as_tuple)] | None = None
    kubernetes: OneOrMore | None = Field(default=None, description="range like '>=1.32.0 <1.33'; of a list, any")
    rancher: OneOrMore | None = Field(default=None, description="range like '>=2.10.4 <2.11'; of a list, any")
    os: Annotated[tuple[Literal["linux", "windows"], ...], BeforeValidator(as_tuple)] | None = None


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
    lasts_while_up: bool = Field(
        default=False, description="it may be there although every node is Ready and every CNI pod ready"
    )
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

    def __hash__(self) -> int:
        # The catalogue is a key of caches: hashing a few hundred nested models took longer than reading a small bundle.
        return hash(self.id)

    @property
    def says(self) -> Verdict:
        """The verdict that this signature, when it is the best finding, gives the whole bundle."""
        if self.verdict is not None:
            return self.verdict
        return Verdict.OTHER_FAILURE if self.cause in NOT_THE_CNI else Verdict.CNI_FAILURE

    @property
    def keeps_network_down(self) -> bool:
        """Can this failure not be there any more once every node is Ready and every CNI pod ready?"""
        return self.says is Verdict.CNI_FAILURE and not self.lasts_while_up

    def predicates(self) -> Iterator[AnyPredicate]:
        """Every predicate, those inside others included."""
        for _, predicate in self.listed():
            yield from unfolded(predicate)

    def listed(self) -> Iterator[tuple[tuple[str | int, ...], AnyPredicate]]:
        """The outermost predicates with their place in the file."""
        for section in ("all", "any", "none"):
            for index, predicate in enumerate(getattr(self.when, section)):
                yield ("when", section, index), predicate
        for section in ("supports", "contradicts"):
            for index, predicate in enumerate(getattr(self, section)):
                yield (section, index), predicate
