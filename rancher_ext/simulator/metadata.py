"""What does this Rancher know of its release metadata, and what does a refresh bring?

One RkeK8sSystemImage object per RKE1 version in `cattle-global-data`, as Rancher's periodic sync writes them. Which rke-tools a
version brings follows the history of its fix: Ranchers that know `enableBrNetfilter` came with v0.1.111 or newer, those before it
with an entry point that does not know the variable.
"""

from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.store import Store
from rancher_ext.simulator.triggers import has_br_netfilter

NAMESPACE = "cattle-global-data"
IMAGES = resource_of("management.cattle.io/v3", "RkeK8sSystemImage")
_KNOWN = ("v1.30.10-rancher1-1", "v1.31.6-rancher1-1", "v1.32.2-rancher1-1")
_AFTER_REFRESH = ("v1.31.12-rancher1-1", "v1.32.6-rancher1-1", "v1.32.8-rancher1-1")


def seed(store: Store, rancher_version: str, born: float) -> None:
    """What came with this Rancher."""
    tools = "v0.1.111" if has_br_netfilter(rancher_version) else "v0.1.110"
    for version in _KNOWN:
        _put(store, version, tools, born)


def refresh(store: Store) -> None:
    """What the source has gained since."""
    for version in _AFTER_REFRESH:
        _put(store, version, "v0.1.114", None)


def _put(store: Store, version: str, tools: str, created: float | None) -> None:
    image = f"rancher/rke-tools:{tools}"
    images = dict.fromkeys(("alpine", "certDownloader", "kubernetesServicesSidecar", "nginxProxy"), image)
    images["kubernetes"] = f"rancher/hyperkube:{version.rpartition('-')[0]}"
    obj = {
        "apiVersion": IMAGES.api_version,
        "kind": IMAGES.kind,
        "metadata": {"name": version, "namespace": NAMESPACE, "labels": {"cattle.io/creator": "norman"}},
        "systemImages": images,
    }
    store.put(IMAGES, obj, created=created)
