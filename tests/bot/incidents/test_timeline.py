"""Does the audit chain show that somebody changed it?"""

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from bot.incidents.timeline import AuditRecord, audit_digest, broken_link
from tests.builders import NOON


def a_chain(length: int = 4) -> list[AuditRecord]:
    records, previous = [], ""
    for number in range(1, length + 1):
        told = {
            "incident": "incident:default:uid:1",
            "at": (NOON + timedelta(seconds=number)).isoformat(),
            "actor": "maria",
            "rule": "approved by maria",
            "before": {"present": False},
            "after": {"present": True, "value": number},
            "what": "write",
            "place": "clusters c-1 spec.x",
            "result": "written",
        }
        digest = audit_digest(previous, told)
        rest = {key: value for key, value in told.items() if key != "at"}
        records.append(
            AuditRecord(number=number, at=NOON + timedelta(seconds=number), previous=previous, digest=digest, **rest)
        )
        previous = digest
    return records


def test_an_untouched_chain_is_whole():
    assert broken_link([]) is None
    assert broken_link(a_chain()) is None


CHANGED = {
    "at": NOON,
    "incident": "incident:default:uid:2",
    "actor": "jan",
    "rule": "",
    "what": "undo",
    "place": "clusters c-2 spec.x",
    "before": {"present": True, "value": 0},
    "after": None,
    "result": "",
    "previous": "0" * 64,
    "digest": "0" * 64,
}


@pytest.mark.parametrize("name", [field.name for field in fields(AuditRecord) if field.name != "number"])
@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_change_of_any_field_of_any_record_is_found_where_it_is(name, index):
    chain = a_chain()
    chain[index] = replace(chain[index], **{name: CHANGED[name]})
    assert broken_link(chain) == index + 1


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_record_that_was_taken_out_is_found(index):
    chain = a_chain()
    del chain[index]
    assert broken_link(chain) == index + 2


def test_two_records_that_changed_places_are_found():
    chain = a_chain()
    chain[1], chain[2] = chain[2], chain[1]
    assert broken_link(chain) == 3


def test_a_forged_record_with_a_hash_of_its_own_breaks_the_next_link():
    chain = a_chain()
    told = {
        "incident": chain[1].incident,
        "at": chain[1].at.isoformat(),
        "actor": "nobody",
        "rule": chain[1].rule,
        "before": chain[1].before,
        "after": chain[1].after,
        "what": chain[1].what,
        "place": chain[1].place,
        "result": chain[1].result,
    }
    chain[1] = replace(chain[1], actor="nobody", digest=audit_digest(chain[1].previous, told))
    assert broken_link(chain) == 3


def test_fields_cannot_flow_into_each_other():
    """Two records whose texts are the same when strung together have different hashes."""
    assert audit_digest("", {"a": "xy", "b": "z"}) != audit_digest("", {"a": "x", "b": "yz"})
    assert audit_digest("a", {}) != audit_digest("", {"a": ""})
