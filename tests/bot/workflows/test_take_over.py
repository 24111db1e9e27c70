"""A worker that stands still is taken over by another; when it wakes up, it writes nothing more."""

from pathlib import Path

import pytest

from bot.incidents.timeline import broken_link
from tests.bot.workflows.test_many_lives import Stage

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]


def test_what_was_begun_is_put_back_by_another_and_stays_so_when_the_first_wakes_up(postgres_server, tmp_path):
    """Without the fence the one that wakes up would go on with its second write, into a cluster that has been put back: for all it
    knows, the approval still counts.
    """
    stage = Stage(
        tmp_path,
        "rke1-canal-cure-fails",
        workers=("sleeper", "survivor"),
        # SQLite is for one process: one that stands still may hold its only lock.
        database=postgres_server.new_database(),
        steps=True,
        script=Path(__file__).with_name("take_over.py"),
    )
    stage.live("rolled-back")
    assert stage.writes == [
        "add one", "add two", "add enableBrNetfilter", "remove enableBrNetfilter", "remove two", "remove one",
    ]  # fmt: skip
    assert [row.state for row in stage.rows] == ["rolled-back"]
    assert len(stage.issues) == 1
    assert set(stage.markers.values()) == {1}
    assert [record.what for record in stage.audit] == ["intend", "write"] * 3 + ["intend-undo", "undo"] * 3
    assert broken_link(stage.audit) is None
