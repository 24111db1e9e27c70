"""What may Drover do on the nodes themselves, and how does it get there?

Only what stands in `FIXES`, and only on clusters whose Rancher object carries the label `drover.io/host-fix: allow`. A DaemonSet
runs the script once on every Linux node as a privileged init container in the host's root; its pods are ready when the script
has succeeded. It is delivered directly, or by `additionalManifest` where Rancher does not reach the cluster, and taken out again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.changes import FieldMoved, contains, delete_object
from rancher_ext.client.kubernetes import DAEMON_SETS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cni import workload_of
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, StepResult, Target
from rancher_ext.remediation.manifests import Manifest
from rancher_ext.remediation.spec import RKE_CONFIG

LABEL = "drover.io/host-fix"
IMAGE = "drover.io/host-fix-image"
NAMESPACE = "kube-system"
# Part of K3s' own images, so it is on those nodes; elsewhere it is pulled.
_FALLBACK = "rancher/mirrored-library-busybox:1.36.1"


@dataclass(frozen=True)
class Fix:
    """A script for /bin/sh of the host. It may run twice, and fails where it did not do its work."""

    does: str
    script: str
    remains: str


FIXES: Mapping[str, Fix] = {
    "load-modules": Fix(
        does="loads the kernel modules br_netfilter, overlay and vxlan, now and at every start",
        script="""\
modprobe br_netfilter
modprobe overlay
modprobe vxlan
mkdir -p /etc/modules-load.d
printf 'br_netfilter\\noverlay\\nvxlan\\n' > /etc/modules-load.d/90-drover.conf
""",
        remains="the modules stay loaded, and /etc/modules-load.d/90-drover.conf stays",
    ),
    "set-aside-foreign-config": Fix(
        does="renames configurations of Calico, Cilium, Weave, Antrea and kube-router that an earlier network left for the runtime",
        script="""\
for folder in /etc/cni/net.d /var/lib/rancher/k3s/agent/etc/cni/net.d; do
  for name in 10-calico 05-cilium 10-weave 10-antrea 10-kuberouter; do
    for file in "$folder/$name.conf" "$folder/$name.conflist"; do
      if [ -f "$file" ]; then mv "$file" "$file.drover-set-aside"; fi
    done
  done
done
""",
        remains="the files stay under their new name, ending in .drover-set-aside",
    ),
    "checksum-offload-off": Fix(
        does="switches the transmit checksum offload of flannel's VXLAN device off",
        script="""\
for device in flannel.1 flannel.4096; do
  if [ -d "/sys/class/net/$device" ]; then ethtool -K "$device" tx-checksum-ip-generic off; fi
done
""",
        remains="the offload stays off until the device is made anew, at the next start of the node",
    ),
    "remove-stale-bridge": Fix(
        does="deletes the bridge cni0 where its address is not of the subnet that flannel leased",
        script="""\
if [ -d /sys/class/net/cni0 ] && [ -f /run/flannel/subnet.env ]; then
  . /run/flannel/subnet.env
  if ! ip -o addr show dev cni0 | grep -qF " $FLANNEL_SUBNET "; then ip link delete cni0; fi
fi
""",
        remains="the plugin makes the bridge anew, and running pods of the node that used the old one are cut off until they are made anew",
    ),
    "raise-inotify-limits": Fix(
        does="raises the inotify limits, now and at every start",
        script="""\
sysctl -w fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288
printf 'fs.inotify.max_user_instances=8192\\nfs.inotify.max_user_watches=524288\\n' > /etc/sysctl.d/90-drover.conf
""",
        remains="the limits stay, and /etc/sysctl.d/90-drover.conf stays",
    ),
}


def fix_of(arguments: Mapping[str, Any]) -> str | NotPossible:
    name = text(arguments.get("fix"))
    if set(arguments) - {"fix", "image"} or name not in FIXES:
        return NotPossible(f"the action understands fix: {', '.join(sorted(FIXES))}")
    return name


def opted_in(target: Target) -> NotPossible | None:
    if target.snapshot.labels.get(LABEL) != "allow":
        return NotPossible(f"nothing runs on its nodes without the label {LABEL}=allow on the Rancher cluster")
    return None


def image_for(target: Target, item: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """An image with a shell and chroot that the nodes have: what people chose, else that of the CNI itself."""
    chosen = text(target.snapshot.annotations.get(IMAGE)) or text(arguments.get("image"))
    if chosen:
        return chosen
    workload = workload_of(target.snapshot.distribution, target.snapshot.cni)
    if workload and is_reachable(target.snapshot):
        try:
            found = target.downstream.get(DAEMON_SETS, workload.name, workload.namespace)
        except NotFound:
            found = {}
        containers = mapping(found, "spec", "template", "spec").get("containers")
        for each in containers if isinstance(containers, list) else ():
            if "flannel" in text(mapping(each).get("name")) and text(mapping(each).get("image")):
                return text(mapping(each).get("image"))
    registry = text(mapping(item, *RKE_CONFIG, "machineGlobalConfig").get("system-default-registry"))
    return f"{registry}/{_FALLBACK}" if registry else _FALLBACK


def daemon_set(name: str, image: str) -> Manifest:
    """The short-lived DaemonSet of one fix."""
    labels = {"app.kubernetes.io/name": f"drover-host-fix-{name}", "app.kubernetes.io/managed-by": "drover"}
    script = f"set -eu\n{FIXES[name].script}"
    document = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": f"drover-host-fix-{name}", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            # All nodes at once: the pods hold nothing that could become unavailable.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "dnsPolicy": "Default",
                    "automountServiceAccountToken": False,
                    "priorityClassName": "system-node-critical",
                    "terminationGracePeriodSeconds": 1,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "initContainers": [
                        {
                            "name": "fix",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["chroot", "/host", "/bin/sh", "-c", script],
                            "securityContext": {"privileged": True, "runAsUser": 0},
                            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                        }
                    ],
                    "containers": [
                        {
                            "name": "done",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["sh", "-c", "while :; do sleep 3600; done"],
                            "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
                        }
                    ],
                    "volumes": [{"name": "host", "hostPath": {"path": "/", "type": "Directory"}}],
                },
            },
        },
    }
    return Manifest.of(f"host-fix-{name}", [document])


def taken_out(target: Target, write: Change, made: Mapping[str, Any]) -> StepResult:
    """Delete the DaemonSet that a write made. Whose it is its labels tell.

    Admission rewrites images and adds to pod templates on many a cluster: privileged pods must not stay because of that.
    """
    try:
        found = target.downstream.get(write.place.resource, write.place.name, write.place.namespace)
    except NotFound:
        return StepResult(wrote=False, seen=f"{write.place}: it was gone already")
    if not contains(mapping(found, "metadata", "labels"), mapping(made, "metadata", "labels")):
        raise FieldMoved(
            f"{write.place} is not as Drover made it",
            cure="Somebody changed it meanwhile. Look at it and delete it by hand.",
            status=409,
        )
    deleted = delete_object(target.downstream, write.place, text(mapping(found, "metadata").get("uid")))
    return StepResult(wrote=deleted, seen=f"{write.place}: {'deleted' if deleted else 'it was gone already'}")
