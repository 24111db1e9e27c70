"""How do the rights of `docs/rancher-rights.md` come to hold on a real API server?

As Rancher binds them: `rules` of the GlobalRole everywhere in `local`, those for Fleet workspaces in each workspace but
`fleet-local`, the RoleTemplate's in every downstream cluster. A `Right` is one of them alone, so that it can be taken away.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import ApiServer, User

Rule = dict[str, Any]

DOCUMENT = Path(__file__).parents[2] / "docs" / "rancher-rights.md"
WORKSPACE = "fleet-default"
_GROUP = "rbac.authorization.k8s.io"


class Where(StrEnum):
    """Which part of the document gives a right, and so where it holds."""

    RANCHER = "rancher"
    WORKSPACES = "workspaces"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True)
class Right:
    """One verb on one resource of one API group."""

    where: Where
    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.where}: {self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


def documented() -> dict[Where, list[Rule]]:
    """The rules of the document, as they stand there."""
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    roles = {document["kind"]: document for document in yaml.safe_load_all(block)}
    return {
        Where.RANCHER: roles["GlobalRole"]["rules"],
        Where.WORKSPACES: roles["GlobalRole"]["inheritedFleetWorkspacePermissions"]["resourceRules"],
        Where.DOWNSTREAM: roles["RoleTemplate"]["rules"],
    }


def each_right() -> list[Right]:
    return [right for where, rules in documented().items() for rule in rules for right in _rights(where, rule)]


def _rights(where: Where, rule: Rule) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(where, verb, group, resource)


def without(right: Right) -> list[Rule]:
    """The rules of the right's place with this one right left out."""
    kept = []
    for rule in documented()[right.where]:
        if right not in set(_rights(right.where, rule)):
            kept.append(rule)
            continue
        for other in _rights(right.where, rule):
            if other != right:
                kept.append({**rule, "apiGroups": [other.group], "resources": [other.resource], "verbs": [other.verb]})
    return kept


def grant(server: ApiServer, user: User, where: Where, rules: Sequence[Rule] | None = None) -> None:
    """Gives the user the documented rules of one place, or others instead. May be repeated."""
    namespace = WORKSPACE if where is Where.WORKSPACES else ""
    kind = "Role" if namespace else "ClusterRole"
    base = f"/apis/{_GROUP}/v1" + (f"/namespaces/{namespace}" if namespace else "")
    binding = {
        "metadata": {"name": user.name},
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": user.name},
        "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": user.name}],
    }
    role = {"metadata": {"name": user.name}, "rules": copy.deepcopy(rules or documented()[where])}
    for plural, body in ((f"{kind.lower()}s", role), (f"{kind.lower()}bindings", binding)):
        answer = server.call("POST", f"{base}/{plural}", body)
        if answer.status_code == 409:
            answer = server.call("PUT", f"{base}/{plural}/{user.name}", body)
        assert answer.ok, answer.text


def grant_all(local: ApiServer, downstream: Sequence[ApiServer], user: User) -> None:
    grant(local, user, Where.RANCHER)
    grant(local, user, Where.WORKSPACES)
    for server in downstream:
        grant(server, user, Where.DOWNSTREAM)
