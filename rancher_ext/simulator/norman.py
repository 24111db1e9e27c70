"""How does Rancher's older API, Norman (`/v3`), answer?

Enough for Rancher's own Python client: the root with `X-API-Schemas`, schemas, clusters with the computed state, PUT that
reads, merges and writes **without any lock**, the actions generateKubeconfig, backupEtcd, restoreFromEtcdBackup and
rotateCertificates, nodes, settings, tokens, etcd backups, kontainer drivers with the action `refresh` of the whole kind.
Modelled traps: fields the schema does not know are dropped (`enableBrNetfilter` on an old Rancher), annotations with
`cattle.io/` are protected and ignored, string maps and lists are replaced as a whole, `name` is required.
Simplified: only equality filters; updates of clusters alone.
"""

import calendar
import time
from collections.abc import Callable

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.conditions import computed_state
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.http import Answer, Ask, Json, as_json, norman_error
from rancher_ext.simulator.norman_schemas import schemas
from rancher_ext.simulator.norman_writes import kubeconfig, norman_merge, unprotected
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.triggers import has_br_netfilter

_CLUSTER = resource_of("management.cattle.io/v3", "Cluster")
_NODE = resource_of("management.cattle.io/v3", "Node")
_SETTING = resource_of("management.cattle.io/v3", "Setting")
_BACKUP = resource_of("management.cattle.io/v3", "EtcdBackup")

_COLLECTIONS = {
    "clusters": "cluster",
    "nodes": "node",
    "settings": "setting",
    "tokens": "token",
    "etcdBackups": "etcdBackup",
    "kontainerDrivers": "kontainerDriver",
}
# Norman finds a kind in whatever case its plural is written.
_PLURALS = {plural.lower(): plural for plural in _COLLECTIONS}
# The kontainer drivers that Rancher comes with.
_DRIVERS = ("amazonelasticcontainerservice", "azurekubernetesservice", "googlekubernetesengine")
_SPEC_FIELDS = (
    "rancherKubernetesEngineConfig",
    "eksConfig",
    "aksConfig",
    "gkeConfig",
    "rke2Config",
    "k3sConfig",
    "description",
    "dockerRootDir",
    "enableNetworkPolicy",
    "localClusterAuthEndpoint",
    "agentEnvVars",
    "fleetWorkspaceName",
    "internal",
)
_STATUS_FIELDS = (
    "driver",
    "provider",
    "nodeCount",
    "apiEndpoint",
    "caCert",
    "agentImage",
    "agentFeatures",
    "version",
    "conditions",
    "appliedSpec",
    "failedSpec",
)


class NormanApi:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def handle(self, ask: Ask) -> Answer:
        answer = self._route(ask, [p for p in ask.path.split("/") if p][1:])
        answer.headers["X-API-Schemas"] = f"{ask.base_url}/v3/schemas"
        return answer

    def _route(self, ask: Ask, parts: list[str]) -> Answer:
        if not parts:
            return self._root(ask)
        if parts[0] == "schemas":
            return schemas(ask, parts[1:], _COLLECTIONS, self._fleet.rancher_version)
        parts[0] = _PLURALS.get(parts[0].lower(), "")
        kind = _COLLECTIONS.get(parts[0])
        if kind is None or len(parts) > 2:
            return norman_error(404, "NotFound", "not found")
        if ask.token and parts[0] in ask.token.deny:
            return norman_error(403, "Forbidden", f"{parts[0]} is forbidden: User {ask.user!r} cannot list resource")
        if len(parts) == 1:
            if ask.method == "POST" and ask.one("action"):
                return self._action_for_all(ask, kind)
            if ask.method != "GET":
                return norman_error(405, "MethodNotAllow", f"Method {ask.method} not supported")
            return self._collection(ask, parts[0], kind)
        found = self._by_id(ask, kind, parts[1])
        if found is None:
            return norman_error(404, "NotFound", f'{parts[0]}.management.cattle.io "{parts[1]}" not found')
        if ask.method == "GET":
            return as_json(found)
        if ask.token and ask.token.read_only:
            message = (
                f'clusters.management.cattle.io "{parts[1]}" is forbidden: User "{ask.user}" cannot update resource'
            )
            return norman_error(403, "Forbidden", message)
        if ask.method == "PUT" and kind == "cluster":
            return self._put(ask, parts[1])
        if ask.method == "DELETE" and kind == "cluster":
            self._fleet.local.delete(_CLUSTER, ("", parts[1]), {})
            return as_json(self._by_id(ask, kind, parts[1]) or {})
        if ask.method == "POST" and ask.one("action") and kind == "cluster":
            return self._action(ask, parts[1], found)
        return norman_error(405, "MethodNotAllow", f"Method {ask.method} not supported")

    # -- reading ---------------------------------------------------------------------------------------------------

    def _root(self, ask: Ask) -> Answer:
        links = {plural: f"{ask.base_url}/v3/{plural}" for plural in _COLLECTIONS}
        root = {
            "id": "/v3",
            "type": "apiRoot",
            "baseType": "apiRoot",
            "apiVersion": {"group": "management.cattle.io", "path": "/v3", "version": "v3"},
            "links": {"self": f"{ask.base_url}/v3", "root": f"{ask.base_url}/v3", **links},
        }
        return as_json(root)

    def _collection(self, ask: Ask, plural: str, kind: str) -> Answer:
        items = self._all(ask, kind)
        known = {"limit", "marker", "sort", "order", "action"}
        for field, values in ask.query.items():
            name = field.removesuffix("_eq")
            if name not in known:
                items = [i for i in items if str(i.get(name, "")) in values]
        limit, marker = ask.number("limit") or 1000, ask.number("marker") or 0
        part = items[marker : marker + limit]
        pagination: Json = {"limit": limit, "total": len(items)}
        if marker + limit < len(items):
            pagination["next"] = f"{ask.base_url}/v3/{plural}?limit={limit}&marker={marker + limit}"
            pagination["partial"] = True
        body = {
            "type": "collection",
            "resourceType": kind,
            "links": {"self": f"{ask.base_url}/v3/{plural}"},
            "createTypes": {},
            "actions": self._actions_for_all(ask, kind),
            "pagination": pagination,
            "data": part,
        }
        return as_json(body)

    def _all(self, ask: Ask, kind: str) -> list[Json]:
        local = self._fleet.local
        makers: dict[str, Callable[[], list[Json]]] = {
            "cluster": lambda: [self._cluster(ask, o) for o in local.objects(_CLUSTER)],
            "node": lambda: [self._node(ask, o) for o in local.objects(_NODE)],
            "setting": lambda: [self._setting(ask, o) for o in local.objects(_SETTING)],
            "etcdBackup": lambda: [self._backup(ask, o) for o in local.objects(_BACKUP)],
            "token": lambda: self._tokens(ask),
            "kontainerDriver": lambda: self._drivers(ask),
        }
        return makers[kind]()

    def _by_id(self, ask: Ask, kind: str, identifier: str) -> Json | None:
        local = self._fleet.local
        if kind == "token":
            return next((t for t in self._tokens(ask) if t["id"] == identifier), None)
        if kind == "kontainerDriver":
            return next((d for d in self._drivers(ask) if d["id"] == identifier), None)
        namespace, _, name = identifier.rpartition(":")
        resource = {"cluster": _CLUSTER, "node": _NODE, "setting": _SETTING, "etcdBackup": _BACKUP}[kind]
        obj = local.peek(resource, namespace, name)
        if obj is None:
            return None
        shape = {"cluster": self._cluster, "node": self._node, "setting": self._setting, "etcdBackup": self._backup}[
            kind
        ]
        return shape(ask, obj)

    def _common(self, ask: Ask, obj: Json, kind: str, plural: str, identifier: str) -> Json:
        metadata = obj["metadata"]
        created = metadata["creationTimestamp"]
        link = f"{ask.base_url}/v3/{plural}/{identifier}"
        return {
            "id": identifier,
            "type": kind,
            "baseType": kind,
            "uuid": metadata["uid"],
            "created": created,
            "createdTS": int(calendar.timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ"))) * 1000,
            "creatorId": (metadata.get("annotations") or {}).get("field.cattle.io/creatorId"),
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "links": {"self": link, "update": link, "remove": link},
            "actions": {},
        }

    def _cluster(self, ask: Ask, obj: Json) -> Json:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        found = self._common(ask, obj, "cluster", "clusters", obj["metadata"]["name"])
        found |= {k: spec[k] for k in _SPEC_FIELDS if k in spec} | {k: status[k] for k in _STATUS_FIELDS if k in status}
        state = computed_state(status.get("conditions") or [], removing="deletionTimestamp" in obj["metadata"])
        link = found["links"]["self"]
        found |= {
            "name": spec.get("displayName", ""),
            "state": state.name,
            "transitioning": "yes" if state.transitioning else "error" if state.error else "no",
            "transitioningMessage": state.message,
        }
        found["links"] |= {"nodes": f"{ask.base_url}/v3/nodes?clusterId={found['id']}"}
        found["actions"] = {"generateKubeconfig": f"{link}?action=generateKubeconfig"}
        rke = spec.get("rancherKubernetesEngineConfig")
        if rke:
            found["actions"]["rotateCertificates"] = f"{link}?action=rotateCertificates"
            if ((rke.get("services") or {}).get("etcd") or {}).get("backupConfig"):
                found["actions"]["backupEtcd"] = f"{link}?action=backupEtcd"
                found["actions"]["restoreFromEtcdBackup"] = f"{link}?action=restoreFromEtcdBackup"
        return found

    def _node(self, ask: Ask, obj: Json) -> Json:
        spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"]
        identifier = f"{metadata['namespace']}:{metadata['name']}"
        inner = status.get("internalNodeStatus") or {}
        conditions = status.get("conditions") or []
        ready = next((c["status"] for c in conditions if c["type"] == "Ready"), "")
        waiting = next((c for c in conditions if c["status"] == "Unknown" and c["type"] != "Ready"), None)
        state = (
            "active" if ready == "True" else "unavailable" if ready else "registering" if waiting else "provisioning"
        )
        address = (status.get("rkeNode") or {}).get("address") or next(
            (a["address"] for a in inner.get("addresses") or [] if a["type"] == "InternalIP"), ""
        )
        return self._common(ask, obj, "node", "nodes", identifier) | {
            "name": "",
            "namespaceId": None,
            "clusterId": metadata["namespace"],
            "nodeName": status.get("nodeName", ""),
            "hostname": spec.get("requestedHostname", ""),
            "requestedHostname": spec.get("requestedHostname", ""),
            "controlPlane": spec.get("controlPlane", False),
            "etcd": spec.get("etcd", False),
            "worker": spec.get("worker", False),
            "nodePoolId": spec.get("nodePoolName", ""),
            "ipAddress": address,
            "info": {
                "os": {
                    "operatingSystem": (inner.get("nodeInfo") or {}).get("osImage", ""),
                    "kernelVersion": (inner.get("nodeInfo") or {}).get("kernelVersion", ""),
                    "dockerVersion": (inner.get("nodeInfo") or {}).get("containerRuntimeVersion", ""),
                },
                "kubernetes": {"kubeletVersion": (inner.get("nodeInfo") or {}).get("kubeletVersion", "")},
            },
            "podCidr": (spec.get("internalNodeSpec") or {}).get("podCIDR", ""),
            "taints": (spec.get("internalNodeSpec") or {}).get("taints", []),
            "conditions": conditions,
            "state": state,
            "transitioning": "no" if ready else "yes",
            "transitioningMessage": (waiting or {}).get("message", ""),
        }

    def _setting(self, ask: Ask, obj: Json) -> Json:
        name = obj["metadata"]["name"]
        found = self._common(ask, obj, "setting", "settings", name)
        return found | {"name": name, **{k: obj[k] for k in ("value", "default", "customized", "source")}}

    def _backup(self, ask: Ask, obj: Json) -> Json:
        metadata, spec = obj["metadata"], obj["spec"]
        identifier = f"{metadata['namespace']}:{metadata['name']}"
        state = computed_state([])._replace(
            name="active" if obj["status"]["conditions"][1]["status"] == "True" else "activating"
        )
        return self._common(ask, obj, "etcdBackup", "etcdBackups", identifier) | {
            "name": metadata["name"],
            **spec,
            "status": obj["status"],
            "state": state.name,
        }

    def _drivers(self, ask: Ask) -> list[Json]:
        return [
            {
                "id": name,
                "type": "kontainerDriver",
                "baseType": "kontainerDriver",
                "name": name,
                "active": True,
                "builtIn": True,
                "state": "active",
                "links": {"self": f"{ask.base_url}/v3/kontainerDrivers/{name}"},
                "actions": {},
            }
            for name in _DRIVERS
        ]

    def _tokens(self, ask: Ask) -> list[Json]:
        found = []
        now = self._fleet.clock.seconds()
        for token in self._fleet.tokens.values():
            if token.user != ask.user:
                continue
            link = f"{ask.base_url}/v3/tokens/{token.name}"
            found.append(
                {
                    "id": token.name,
                    "type": "token",
                    "baseType": "token",
                    "name": token.name,
                    "userId": token.user,
                    "authProvider": "local",
                    "current": ask.token is token,
                    "enabled": True,
                    "expired": token.expires_at is not None and token.expires_at <= now,
                    "expiresAt": rfc3339(token.expires_at) if token.expires_at is not None else "",
                    "ttl": int((token.expires_at - token.created) * 1000) if token.expires_at is not None else 0,
                    "created": rfc3339(token.created),
                    "isDerived": True,
                    "description": "simulated key",
                    "links": {"self": link, "remove": link},
                    "actions": {},
                }
            )
        return found

    # -- writing ---------------------------------------------------------------------------------------------------

    def _put(self, ask: Ask, cluster_id: str) -> Answer:
        body = ask.json()
        if not isinstance(body, dict):
            return norman_error(422, "InvalidBodyContent", "Failed to parse body")
        if not body.get("name"):
            return norman_error(422, "MissingRequired", "Missing required field", "name")
        with self._fleet.lock:
            old = self._fleet.local.get(_CLUSTER, ("", cluster_id)).obj
            spec = dict(old["spec"])
            metadata = dict(old["metadata"])
            spec["displayName"] = body["name"]
            replace = ask.flag("_replace")
            for field in _SPEC_FIELDS:
                if field in body and field not in {"internal", "fleetWorkspaceName"}:
                    spec[field] = body[field] if replace else norman_merge(spec.get(field), body[field], field)
                    if spec[field] is None:
                        del spec[field]
            self._drop_unknown(spec)
            for field in ("labels", "annotations"):
                if isinstance(body.get(field), dict):
                    metadata[field] = unprotected(metadata.get(field) or {}, body[field])
            stored = self._fleet.local.update(
                _CLUSTER, ("", cluster_id), {**old, "spec": spec, "metadata": metadata}, manager="rancher"
            )
            self._fleet.tick()
        return as_json(self._cluster(ask, stored))

    def _drop_unknown(self, spec: Json) -> None:
        network = (spec.get("rancherKubernetesEngineConfig") or {}).get("network")
        if (
            isinstance(network, dict)
            and not has_br_netfilter(self._fleet.rancher_version)
            and "enableBrNetfilter" in network
        ):
            rke = spec["rancherKubernetesEngineConfig"]
            kept = {k: v for k, v in network.items() if k != "enableBrNetfilter"}
            spec["rancherKubernetesEngineConfig"] = {**rke, "network": kept}

    def _actions_for_all(self, ask: Ask, kind: str) -> dict[str, str]:
        """Offered to who may change objects of the kind."""
        if kind != "kontainerDriver" or (ask.token and ask.token.read_only):
            return {}
        return {"refresh": f"{ask.base_url}/v3/kontainerDrivers?action=refresh"}

    def _action_for_all(self, ask: Ask, kind: str) -> Answer:
        action = ask.one("action")
        if action not in self._actions_for_all(ask, kind):
            return norman_error(404, "ActionNotAvailable", f"Action {action} not available")
        self._fleet.refresh_metadata()
        return Answer(200)

    def _action(self, ask: Ask, cluster_id: str, found: Json) -> Answer:
        action = ask.one("action")
        cluster: SimCluster = self._fleet.clusters[cluster_id]
        if action not in found["actions"]:
            return norman_error(404, "ActionNotAvailable", f"Action {action} not available")
        if action == "generateKubeconfig":
            return as_json(
                {
                    "type": "generateKubeconfigOutput",
                    "baseType": "generateKubeConfigOutput",
                    "config": kubeconfig(ask, cluster),
                }
            )
        if action == "backupEtcd":
            return as_json(self._backup(ask, self._fleet.back_up(cluster)), 201)
        if action == "restoreFromEtcdBackup":
            return self._restore(ask, cluster_id)
        return as_json({"type": "rotateCertificateOutput", "message": "rotating certificates for all components"})

    def _restore(self, ask: Ask, cluster_id: str) -> Answer:
        """Sets the version of the backup, where that was asked for, and runs `rke up` with it."""
        body = ask.json()
        namespace, _, name = str((body or {}).get("etcdBackupId", "")).rpartition(":")
        backup = self._fleet.local.peek(_BACKUP, namespace, name)
        if backup is None or namespace != cluster_id:
            return norman_error(404, "NotFound", "etcd backup not found", "etcdBackupId")
        with self._fleet.lock:
            old = self._fleet.local.get(_CLUSTER, ("", cluster_id)).obj
            config = dict(old["spec"]["rancherKubernetesEngineConfig"])
            if body.get("restoreRkeConfig") in {"kubernetesVersion", "all"}:
                config["kubernetesVersion"] = backup["status"]["kubernetesVersion"]
            config["restore"] = {"restore": True, "snapshotName": f"{namespace}:{name}"}
            spec = {**old["spec"], "rancherKubernetesEngineConfig": config}
            self._fleet.local.update(_CLUSTER, ("", cluster_id), {**old, "spec": spec}, manager="rancher")
            self._fleet.tick()
        return Answer(201)
