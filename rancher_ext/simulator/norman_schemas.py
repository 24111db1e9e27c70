"""Which types does Norman announce under `/v3/schemas`?

As much as Rancher's Python client needs to bind its methods, and `networkConfig`, where a client sees whether this Rancher
knows `enableBrNetfilter`.
"""

from collections.abc import Mapping

from rancher_ext.simulator.http import Answer, Ask, Json, as_json, norman_error
from rancher_ext.simulator.triggers import has_br_netfilter


def schemas(ask: Ask, rest: list[str], collections: Mapping[str, str], rancher_version: str) -> Answer:
    all_schemas = [_schema(ask, kind, plural) for plural, kind in collections.items()]
    all_schemas.append(_network_schema(ask, rancher_version))
    if rest:
        found = next((s for s in all_schemas if s["id"] == rest[0]), None)
        return as_json(found) if found else norman_error(404, "NotFound", "not found")
    return as_json(
        {
            "type": "collection",
            "resourceType": "schema",
            "links": {"self": f"{ask.base_url}/v3/schemas"},
            "data": all_schemas,
        }
    )


def _schema(ask: Ask, kind: str, plural: str) -> Json:
    fields: Json = {"name": {"type": "string", "update": True}, "state": {"type": "string"}}
    if kind == "cluster":
        fields["rancherKubernetesEngineConfig"] = {
            "type": "rancherKubernetesEngineConfig",
            "nullable": True,
            "update": True,
        }
    return {
        "id": kind,
        "type": "schema",
        "baseType": "schema",
        "pluralName": plural,
        "links": {"self": f"{ask.base_url}/v3/schemas/{kind}", "collection": f"{ask.base_url}/v3/{plural}"},
        "collectionMethods": ["GET"],
        "resourceMethods": ["GET", "PUT", "DELETE"] if kind == "cluster" else ["GET"],
        "resourceActions": {
            "backupEtcd": {"output": "etcdBackup"},
            "generateKubeconfig": {"output": "generateKubeConfigOutput"},
            "restoreFromEtcdBackup": {"input": "restoreFromEtcdBackupInput"},
            "rotateCertificates": {"input": "rotateCertificateInput"},
        }
        if kind == "cluster"
        else {},
        "collectionActions": {"refresh": {}} if kind == "kontainerDriver" else {},
        "collectionFilters": {"id": {"modifiers": ["eq"]}, "name": {"modifiers": ["eq"]}},
        "resourceFields": fields,
    }


def _network_schema(ask: Ask, rancher_version: str) -> Json:
    """A client may look here whether this Rancher knows `enableBrNetfilter`."""
    fields: Json = {
        "plugin": {"type": "string", "default": "canal"},
        "mtu": {"type": "int"},
        "options": {"type": "map[string]"},
    }
    if has_br_netfilter(rancher_version):
        fields["enableBrNetfilter"] = {"type": "boolean", "nullable": True, "create": True, "update": True}
    link = f"{ask.base_url}/v3/schemas/networkConfig"
    return {
        "id": "networkConfig",
        "type": "schema",
        "baseType": "schema",
        "pluralName": "networkConfigs",
        "links": {"self": link},
        "collectionMethods": [],
        "resourceMethods": [],
        "resourceFields": fields,
    }
