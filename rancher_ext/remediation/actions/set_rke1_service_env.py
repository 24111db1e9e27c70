"""Add one environment variable to a service of an RKE1 cluster, where this Rancher lacks a field for the same wish.

The case it exists for: `RKE_KUBE_PROXY_BR_NETFILTER=true` makes kube-proxy's entry point load br_netfilter. The entry point comes
from the image rancher/rke-tools and knows the variable from v0.1.111 on (rancher/rke-tools PR 231); with an older image the
variable does nothing. Which image a Kubernetes version uses stands in the RkeK8sSystemImage object of its name in
`cattle-global-data`, which Rancher fills from its release metadata, unless the cluster names images of its own.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.client.kubernetes import Resource
from rancher_ext.errors import Forbidden, NotFound
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.rke1 import CONFIG, config_change, editable_cluster, nodes_of

SYSTEM_IMAGES = Resource("management.cattle.io", "v3", "rkek8ssystemimages")
_IMAGES_NAMESPACE = "cattle-global-data"
# The sidecar whose files every service container of RKE1 starts from.
_SIDECAR = "kubernetesServicesSidecar"
_SERVICES = frozenset({"kubelet", "kubeproxy", "kubeController"})


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`service: kubeproxy, env: NAME=value`, and `rke_tools: v0.1.111` for the oldest image that knows it."""
    item = editable_cluster(target)
    if isinstance(item, NotPossible):
        return item
    service, env, tools = (text(arguments.get(key)) for key in ("service", "env", "rke_tools"))
    if service not in _SERVICES or "=" not in env:
        return NotPossible(
            f"the action wants one of the services {', '.join(sorted(_SERVICES))} and an env `NAME=value`"
        )
    too_old = _too_old(target, item, tools) if tools else ""
    if too_old:
        return NotPossible(too_old)
    path = (*CONFIG, "services", service, "extraEnv")
    before = Value.of(item, path)
    present = before.value or []
    if not isinstance(present, list):
        return NotPossible(f"services.{service}.extraEnv is {present!r} and no list")
    name = env.partition("=")[0]
    set_now = next((each for each in present if str(each).partition("=")[0] == name), None)
    if set_now is not None:
        return NotPossible(f"services.{service}.extraEnv already has {set_now}")
    change = config_change(item, path, Value(present=True, value=[*present, env]))
    return PlannedStep(
        action=ACTION.name,
        title=f"Give {service} the variable `{name}`",
        writes=(change,),
        diff=field_diff(item, path, change.before, change.after),
        effect=f"Rancher re-creates the {service} container on {nodes_of(target.snapshot)}. No workload restarts.",
        arguments=dict(arguments),
    )


def _too_old(target: Target, item: Mapping[str, Any], least: str) -> str:
    """Why the image's entry point does not know the variable, or cannot be told to; empty when it does."""
    own = text(mapping(item, *CONFIG, "systemImages").get(_SIDECAR))
    version = text(mapping(item, *CONFIG).get("kubernetesVersion"))
    image = own or _image_of(target, version)
    if not image:
        return f"which rke-tools image {version} uses cannot be read, and only {least} and newer know the variable"
    found, wanted = Version.parse(image.rpartition(":")[2]), Version.parse(least)
    if found is None or wanted is None or found < wanted:
        return f"{version} uses {image}, and only rke-tools {least} and newer know the variable"
    return ""


def _image_of(target: Target, version: str) -> str:
    try:
        images = target.local.get(SYSTEM_IMAGES, version, _IMAGES_NAMESPACE)
    except (NotFound, Forbidden):
        return ""
    return text(mapping(images, "systemImages").get(_SIDECAR))


ACTION = Action(
    name="set-rke1-service-env",
    risk=Risk.SAFE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=6),
    preview=preview,
    help="Adds one environment variable to a service of an RKE1 cluster; Rancher then runs `rke up`.",
)
