"""Is what `drover doctor` asks for what `docs/rancher-rights.md` gives, right by right and action by action?"""

import re

import pytest

from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.rights import GROUPS, NEEDS, Right, Where, every_right, missing_in, stopped_by, told
from tests.e2e.rights import DOCUMENT, documented, for_mending

SAME = "the same"


def rights_of_the_roles():
    """As the document gives them; one per name where a rule names objects."""
    for where, rules in documented().items():
        for rule in rules:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            yield Right(Where(where.value), verb, group, resource, name)


def table():
    """Each action's line: what it needs on RKE1, on RKE2 and K3s, and out of reach."""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            rke1, other = each(cells[1]), cells[2]
            near, _, far = other.partition("; out of reach")
            rke2 = rke1 if near == SAME else each(near)
            sides = {"RKE1": rke1, "RKE2 and K3s": rke2, "out of reach": each(far)}
            for action in re.findall(r"`([^`]+)`", cells[0]):
                yield action, {side: needed for side, needed in sides.items() if needed}


def each(cell):
    phrases = [phrase.rpartition(" ") for phrase in re.findall(r"`([^`]+)`", cell)]
    return frozenset(f"{verb} {kind}" for verbs, _, kind in phrases for verb in verbs.split(", "))


def test_every_right_of_the_roles_is_asked_for_once_and_no_other():
    asked = every_right()
    assert len(asked) == len(set(asked))
    assert set(asked) == set(rights_of_the_roles())


def test_the_same_rights_serve_mending_alone():
    mending = {str(right) for group in GROUPS if group.mends for right in group.rights}
    assert mending == for_mending()


def test_each_action_needs_what_its_line_says():
    assert {action: needs.sides() for action, needs in NEEDS.items()} == dict(table())
    assert NEEDS.keys() == gather().keys()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.what)
def test_a_group_is_asked_in_one_kind_of_cluster_and_says_what_its_lack_means(group):
    assert len({right.where is Where.DOWNSTREAM for right in group.rights}) == 1
    assert group.essential is (group.what == "read the fleet")
    for right in group.rights:
        assert missing_in(group, lambda asked, right=right: asked != right) == [right]
        assert bool(stopped_by([right])) is group.mends


def test_who_cannot_run_is_named_with_where_unless_that_is_everywhere():
    said = stopped_by(right for right in every_right() if str(right) == "delete nodes.management.cattle.io")
    assert said == ["replace-machine (RKE1)"]
    said = stopped_by(right for right in every_right() if str(right) == "patch clusters.provisioning.cattle.io")
    assert "set-chart-values" in said
    assert "host-fix (out of reach)" in said
    assert "set-cluster-drain (RKE2 and K3s)" in said
    assert "remove-taint" in stopped_by(right for right in every_right() if str(right) == "patch nodes")


def test_rights_are_told_by_kind():
    rights = [right for right in every_right() if right.resource in {"secrets", "nodes"} and right.group]
    assert told(rights) == "list, watch, get, delete nodes.management.cattle.io"
