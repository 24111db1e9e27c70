"""How does Norman combine what it has with what a client sends, and what does its kubeconfig look like?"""

from typing import Any

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.http import Ask

# Plain string maps: Norman replaces them, while typed structures are merged.
_STRING_MAPS = {"extraArgs", "options", "labels", "annotations", "extraArgsArray", "nodeSelector", "matchLabels"}


def norman_merge(old: Any, new: Any, field: str) -> Any:
    if field in _STRING_MAPS or not isinstance(old, dict) or not isinstance(new, dict):
        return new
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = norman_merge(old.get(key), value, key)
    return merged


def unprotected(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Keys with `cattle.io/` can neither be set nor lost through Norman."""
    kept = {k: v for k, v in old.items() if "cattle.io/" in k}
    return {**{k: v for k, v in new.items() if "cattle.io/" not in k}, **kept}


def kubeconfig(ask: Ask, cluster: SimCluster) -> str:
    server = f"{ask.base_url}/k8s/clusters/{cluster.id}"
    return (
        "apiVersion: v1\nkind: Config\nclusters:\n"
        f'- name: "{cluster.name}"\n  cluster:\n    server: "{server}"\n'
        f'users:\n- name: "{cluster.name}"\n  user:\n    token: "kubeconfig-u-simulated:planted-kubeconfig-secret"\n'
        f'contexts:\n- name: "{cluster.name}"\n  context:\n    user: "{cluster.name}"\n    cluster: "{cluster.name}"\n'
        f'current-context: "{cluster.name}"\n'
    )
