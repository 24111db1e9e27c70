"""What an older Drover left behind when it was stopped: incidents at every place where one may wait, as the engine's rows.

`python -m tests.bot.workflows.recorded FILE` writes such a record with the code of today. One is kept per release under `records/`,
and replayed with all later code (`test_upgrade.py`).
"""

import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from rancher_ext.client.changes import FieldMoved
from rancher_ext.errors import RancherUnreachable
from tests.bot.workflows.scripted import BEGUN, NOT_YET, PROVED, FastClock, Runs

TABLES = ("workflow_status", "workflow_input", "operation_outputs", "notifications")
# Told for people alone.
_TIMES = {"started_at_epoch_ms", "completed_at_epoch_ms"}
# A minute of a brake takes a twentieth of a second, the quiet of six hours longer than the recording.
SPEED = 1200
LONG = 1e7

AWAY = RancherUnreachable("no answer", cure="wait")
ALLOW = {"decision": "allow", "by": "policy"}
WAIT = {"decision": "wait", "reasons": ["paused"]}
ASKS = {"decision": "needs-approval"}

# Its name, what its steps answer, and after how many calls of which step it is where it shall be stopped.
PLACES: dict[str, tuple[dict[str, Any], str, int]] = {
    "retrying": ({"collect": AWAY}, "collect", 3),
    "awaiting-approval": ({"decide": ASKS}, "decide", 2),
    "held-by-a-brake": ({"decide": WAIT}, "is_well", 3),
    "held-at-its-beginning": ({"decide": ALLOW, "begin": {"begun": False, "wait": True}}, "begin", 3),
    "settling": (
        {"decide": ALLOW, "begin": BEGUN | {"steps": 2}, "apply": {"settle": LONG}, "settled": NOT_YET},
        "settled",
        3,
    ),
    "proving": ({"decide": ALLOW, "begin": BEGUN | {"within": LONG}, "prove": NOT_YET}, "prove", 3),
    "soaking": ({"decide": ALLOW, "begin": BEGUN | {"soak": LONG}, "prove": PROVED}, "prove", 4),
    "undoing": ({"decide": ALLOW, "prove": NOT_YET, "take_back": [{"done": False}, AWAY]}, "take_back", 3),
    "rolled-back": ({"decide": ALLOW, "prove": NOT_YET}, "rolled_back", 1),
    "escalated": ({"decide": ALLOW, "prove": NOT_YET, "take_back": FieldMoved("changed", status=409)}, "escalate", 1),
    "second-attempt": ({"decide": [ALLOW, ALLOW, ASKS], "begin": {"begun": False, "why": "drift"}}, "decide", 4),
}


class SlowClock(FastClock):
    def real_seconds(self, duration: Any) -> float:
        return float(duration.total_seconds() / SPEED)


class Recording(Runs):
    """Runs whose incidents bear the names of their places."""

    def begin(self, name: str, script: dict[str, Any]) -> Any:
        self._numbers = iter([name])
        return self.start(**script)


def record() -> dict[str, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        runs = Recording(f"sqlite:///{folder}/drover.sqlite")
        runs.engine._clock = SlowClock()
        started = [(runs.begin(name, script), step, calls) for name, (script, step, calls) in PLACES.items()]
        for run, step, calls in started:
            run.steps.wait_for(step, calls)
        runs.engine.close()
        database = sqlite3.connect(f"{folder}/drover-engine.sqlite")
        database.row_factory = sqlite3.Row
        return {table: [kept(row) for row in database.execute(f"SELECT * FROM {table}")] for table in TABLES}


def kept(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in set(row.keys()) if row[name] is not None and name not in _TIMES}


def put_back(rows: dict[str, list[dict[str, Any]]], file: str) -> None:
    """Into an engine's database that has its tables already."""
    database = sqlite3.connect(file)
    with database:
        for table, each in rows.items():
            known = {column[1] for column in database.execute(f"PRAGMA table_info({table})")}
            for row in each:
                values = {name: value for name, value in row.items() if name in known}
                marks = ", ".join("?" * len(values))
                database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    database.close()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(record(), indent=0, sort_keys=True) + "\n", encoding="utf-8")
