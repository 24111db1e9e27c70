"""What is put into a cluster so that its nodes tell what they know, and what would a person have to agree to?

The documents go into `additionalManifest`, which works while nobody reaches the cluster, and come out again in any case. Only on
clusters whose Rancher object carries the label `drover.io/probe: allow`: the pods run as root and see the node's files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write, take_back
from rancher_ext.remediation.manifests import PATH, Manifest, append_changes, apply_block, block_diff, shipped
from rancher_ext.remediation.plan import Plan
from rancher_ext.remediation.spec import RKE_CONFIG, read_cluster

LABEL = "drover.io/probe"
IMAGE = "drover.io/probe-image"
NAME = "probe"
PROOF = "probes-reported"
# A node pulls the image, starts and reads; what has not reported by then does not come.
WITHIN = timedelta(minutes=10)
_HIDDEN = "(the key of this run)"
_REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,250}")


@dataclass(frozen=True)
class Offer:
    """Where the probes send to, and as what. `image` is used as it stands where a person chose it."""

    url: str
    run: str
    key: bytes = field(repr=False)
    image: str
    ca: str = ""


def opted_in(target: Target) -> NotPossible | None:
    if target.snapshot.labels.get(LABEL) != "allow":
        return NotPossible(f"nothing reads its nodes without the label {LABEL}=allow on the Rancher cluster")
    return None


def image_for(target: Target, item: dict[str, Any], default: str) -> str:
    """What people chose for this cluster, else Drover's own, from the registry that the cluster pulls all its images from."""
    chosen = text(target.snapshot.annotations.get(IMAGE))
    if chosen:
        return chosen
    registry = text(mapping(item, *RKE_CONFIG, "machineGlobalConfig").get("system-default-registry"))
    # A name with a host in front was chosen by somebody who knows where it lies.
    elsewhere = any(mark in default.partition("/")[0] for mark in ".:") and "/" in default
    return f"{registry}/{default}" if registry and not elsewhere else default


def probe_manifest(offer: Offer) -> Manifest:
    """The shipped documents with this run's image, address and key."""
    documents = []
    for document in shipped(NAME).documents:
        filled = dict(document)
        if filled["kind"] == "Secret":
            filled["stringData"] = {
                "PROBE_URL": offer.url,
                "PROBE_RUN": offer.run,
                "PROBE_KEY": offer.key.hex(),
                **({"PROBE_CA": offer.ca} if offer.ca else {}),
            }
        if filled["kind"] == "DaemonSet":
            filled = _with_image(filled, offer.image)
        documents.append(filled)
    return Manifest.of(NAME, documents)


def expected_nodes(target: Target) -> tuple[str, ...]:
    """The machines that should report: those with Linux, by their nodes' names where these are known.

    One whose plan was never applied runs no kubelet yet, and nobody waits for it; it may report all the same.
    """
    snapshot = target.snapshot
    linux = [each for each in snapshot.machines if each.os == "linux"]
    running = [each for each in linux if each.plan is None or each.plan.applied]
    if linux:
        return tuple(sorted(each.node or each.name for each in running or linux))
    return tuple(sorted(each.name for each in snapshot.nodes if each.os == "linux"))


def plan_probe(target: Target, offer: Offer) -> Plan | NotPossible:
    """A plan without a playbook: one step, which is taken back whatever comes of it. Reads only."""
    refused = opted_in(target)
    if refused:
        return refused
    snapshot = target.snapshot
    if snapshot.management is Management.PROVISIONED and snapshot.distribution is Distribution.RKE1:
        return NotPossible(
            "Rancher reaches the API of an RKE1 cluster through its nodes: logs are read without a probe"
        )
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    image = image_for(target, item, offer.image)
    if not _REFERENCE.fullmatch(image):
        return NotPossible(f"{IMAGE} on the Rancher cluster is not the name of an image")
    manifest = probe_manifest(Offer(offer.url, offer.run, offer.key, image, offer.ca))
    writes = append_changes(target, item, [manifest])
    if isinstance(writes, NotPossible):
        return writes
    if not writes:
        return NotPossible("additionalManifest already has the probe: take it out first")
    nodes = expected_nodes(target)
    count = "1 Linux node" if len(nodes) == 1 else f"{len(nodes)} Linux nodes"
    step = PlannedStep(
        action="deliver-probe",
        title=f"Read logs and host facts on {count} by a short-lived pod each",
        writes=writes,
        diff=masked(block_diff([manifest]), offer.key),
        effect=f"A DaemonSet on the hosts' network reads and sends to {offer.url}, and is taken out within "
        f"{int(WITHIN.total_seconds() // 60)} min. Nothing restarts.",
        arguments={"nodes": list(nodes)},
    )
    return Plan(
        cluster_uid=snapshot.identity.uid,
        playbook="",
        playbook_version="1",
        title="Ask the nodes themselves",
        signature="",
        steps=(step,),
        risk=Risk.DISRUPTIVE,
        undo=UndoKind.EXACT,
        proof=(PROOF,),
        within=WITHIN,
        soak=timedelta(),
        undo_on_failure=True,
        expected=timedelta(minutes=3),
    )


def masked(value: str, key: bytes) -> str:
    """A text for people and for the record, without the run's key."""
    return value.replace(key.hex(), _HIDDEN)


def deliver(target: Target, write: Write) -> StepResult:
    return apply_block(target, write)


def take_out(target: Target, write: Write) -> StepResult:
    """Exactly our block goes; what people wrote around it meanwhile stays. Done twice it finds nothing to do."""
    assert isinstance(write, Change)
    return take_back(target, write)


def is_out(target: Target, writes: Sequence[Write]) -> bool:
    """Is nothing of the probe left in the text? Read back."""
    for write in writes:
        assert isinstance(write, Change)
        place = write.place
        item = target.local.get(place.resource, place.name, place.namespace)
        if f"# drover:begin {NAME}\n" in text(mapping(item, *PATH[:-1]).get(PATH[-1])):
            return False
    return True


def _with_image(daemon_set: dict[str, Any], image: str) -> dict[str, Any]:
    template = daemon_set["spec"]["template"]
    containers = [each | {"image": image} for each in template["spec"]["containers"]]
    pod = template["spec"] | {"containers": containers}
    return daemon_set | {"spec": daemon_set["spec"] | {"template": template | {"spec": pod}}}
