"""How do the rights of `docs/rancher-rights.md` come to hold on a real API server?

As Rancher binds them: `rules` of the GlobalRole everywhere in `local`, those for Fleet workspaces in each workspace but
`fleet-local`, the RoleTemplates' in every downstream cluster. A `Right` is one of them alone, so that it can be taken away.
The document also says which rights serve mending alone, and which action needs which of them.
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
        return f"{self.where}: {self.plain}"

    @property
    def plain(self) -> str:
        """As the table of the actions names it, wherever it holds."""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


# No API server is asked for these: Rancher checks them itself before it offers an action of its own.
ASKED_BY_RANCHER = frozenset(
    {
        Right(Where.RANCHER, "create", "management.cattle.io", "etcdbackups"),
        Right(Where.RANCHER, "update", "management.cattle.io", "clusters"),
        *(Right(Where.RANCHER, verb, "management.cattle.io", "kontainerdrivers") for verb in ("get", "list", "update")),
    }
)


def documented() -> dict[Where, list[Rule]]:
    """The rules of the document, as they stand there."""
    roles = list(yaml.safe_load_all(_block()))
    (whole,) = [role for role in roles if role["kind"] == "GlobalRole"]
    templates = [role for role in roles if role["kind"] == "RoleTemplate"]
    assert whole["inheritedClusterRoles"] == [role["metadata"]["name"] for role in templates]
    return {
        Where.RANCHER: whole["rules"],
        Where.WORKSPACES: whole["inheritedFleetWorkspacePermissions"]["resourceRules"],
        Where.DOWNSTREAM: [rule for role in templates for rule in role["rules"]],
    }


def for_mending() -> set[str]:
    """The rights below comments that say so, in the words of the table."""
    found: set[str] = set()
    mending = False
    for line in map(str.strip, _block().splitlines()):
        if line.startswith("- {"):
            rules = [rule for rule in yaml.safe_load(line) if mending]
            found |= {right.plain for rule in rules for right in _rights(Where.RANCHER, rule)}
        else:
            mending = line.startswith("# mend")
    return found


def of_each_action() -> dict[str, set[str]]:
    """The table of the document: what an action needs beside reading, on whatever cluster."""
    found: dict[str, set[str]] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            phrases = [phrase.rpartition(" ") for cell in cells[1:] for phrase in re.findall(r"`([^`]+)`", cell)]
            rights = {f"{verb} {resource}" for verbs, _, resource in phrases for verb in verbs.split(", ")}
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), rights)
    return found


def _block() -> str:
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def each_right() -> list[Right]:
    return [right for where, rules in documented().items() for rule in rules for right in _rights(where, rule)]


def name_of(right: Right) -> str:
    """The name of an object for which the right is given; empty where it holds for all."""
    rules = [rule for rule in documented()[right.where] if right in set(_rights(right.where, rule))]
    return str(rules[0].get("resourceNames", [""])[0])


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
