"""Services that are killed at every place once, and start again each time.

Run as `python many_lives.py HOME FINAL_STATE WORKER...`. The parent loads everything and forks; a child is one life of one worker.
Whenever a worker comes to a place where none was killed before, it notes the place and kills itself with SIGKILL; its name comes
back at once. The child that sees the end of the incident without meeting a new place ends the program.

With `MANY_LIVES_STEPS` set, the founding case's playbook gets a first step of two writes that has to settle.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import bot.app
import bot.knowledge
from bot.app import App
from bot.knowledge import load_knowledge
from bot.settings import load_settings
from rancher_ext.client.changes import Value
from rancher_ext.remediation.action import Action, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.playbook import Step
from rancher_ext.remediation.rke1 import cluster_object, config_change

LIFE = 120.0  # seconds after which a life that does not end is a failure of the test


class Places:
    """Where one was killed before, and the place where this one is killed now. All workers share the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def at(self, place: str) -> None:
        with self._lock:
            if place in self._known:
                return
            with self._file.open("a+") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                stream.seek(0)
                self._known = set(stream.read().splitlines())
                if place in self._known:
                    return
                stream.write(place + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)


class Killed:
    """Everything of `inner`; before and after the named methods there is a place."""

    def __init__(self, inner, places, what, methods, key):
        self._inner, self._places, self._what, self._methods, self._key = inner, places, what, methods, key

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name not in self._methods:
            return found

        def call(*args, **named):
            place = f"{self._what}.{name}({self._key(name, args, named)})"
            self._places.at(f"before {place}")
            answer = found(*args, **named)
            self._places.at(f"after {place}")
            return answer

        return call


STEPS = (
    "collect", "diagnose", "plan", "decide", "report", "note_approval", "begin", "apply", "settled", "prove",
    "resolved",
    "failed_cure", "take_back", "rolled_back", "escalate", "superseded",
)  # fmt: skip


NODES = ("agreed", "begin", "deliver", "look", "take_out", "finish", "tell")


def step_key(_name, args, _named):
    return ",".join(str(each) for each in args[1:] if isinstance(each, int | str))


def tracker_key(name, args, _named):
    # The same comment is edited many times while something is proved; once each is enough.
    return str(args[1]).split(":")[0] if name == "upsert_comment" else ""


def write_key(_name, args, _named):
    return str(args[1])


def store_key(name, args, named):
    if name == "record":
        return named["once"]
    if name in {"lease", "renew", "release"}:
        # The pseudo-cluster of beginning apart; renewals come by the dozen, once of each kind is enough.
        return str(args[0]).split("/")[-1][:9]
    if name == "update":
        return str(named.get("state", ",".join(sorted(named))))
    if name == "open":
        return ""
    if str(args[0]).startswith("probe"):
        # A run that was never noted has another name in the next life.
        return str(args[0]).split(":")[0]
    return str(args[0]).split("/")[0][:20]


def marks(target, arguments):
    """Two fields of one object, in a step that has to settle."""
    item = cluster_object(target)
    path = ("metadata", "annotations")
    writes = tuple(config_change(item, (*path, name), Value(present=True, value=name)) for name in arguments["names"])
    return PlannedStep("test-marks", "Mark it", writes, "+ marks", "Nothing restarts.", arguments)


def settles(home):
    """Holds from the second look on, in whichever life that is."""

    def settled(_target, _step):
        looked = home / "looked"
        if looked.exists():
            return Settled(holds=True, seen="settled")
        looked.touch()
        return Settled(holds=False, seen="not yet")

    return settled


def with_more_steps(known, home):
    (book,) = {book.id: book for book in known.playbooks.values() if book.id == "enable-br-netfilter"}.values()
    first = Step.model_validate({"action": "test-marks", "with": {"names": ["one", "two"]}})
    variants = tuple(each.model_copy(update={"steps": (first, *each.steps)}) for each in book.variants)
    longer = book.model_copy(update={"variants": variants})
    action = Action(
        "test-marks", Risk.SAFE, UndoKind.EXACT, timedelta(minutes=1), marks, "Marks a cluster.", settles(home)
    )
    known = replace(known, playbooks={**known.playbooks, **dict.fromkeys(book.signatures, longer)})
    vars(known)["actions"] = {**known.actions, action.name: action}
    # It looks the actions up among those that are shipped.
    bot.knowledge.risk_of = lambda _: Risk.SAFE
    return known


def life(home: Path, final: str, worker: str) -> None:
    os.environ["DROVER_EXECUTOR_ID"] = worker
    places = Places(home / "places")
    app = App(load_settings())
    parts = app.parts
    actions = {
        name: replace(
            action,
            apply=Killed(action, places, "action", ("apply",), write_key).apply,
            take_back=Killed(action, places, "action", ("take_back",), write_key).take_back,
        )
        for name, action in parts.knowledge.actions.items()
    }
    writes = ("open", "update", "record", "save_preimage", "claim", "lease", "renew", "release", "set_note")
    object.__setattr__(parts.knowledge, "actions", actions)
    object.__setattr__(parts, "store", Killed(parts.store, places, "store", writes, store_key))
    tracker_writes = ("open", "edit", "upsert_comment", "close", "reopen", "react")
    object.__setattr__(parts, "tracker", Killed(parts.tracker, places, "tracker", tracker_writes, tracker_key))
    app.steps = Killed(app.steps, places, "step", STEPS, step_key)
    app.probing.inbox._store = parts.store
    app.probing = Killed(app.probing, places, "nodes", NODES, lambda *_: "")
    app.crew.begin()
    app.engine.launch()
    app.watchman.take_up()
    end = time.monotonic() + LIFE
    (server,) = parts.ranchers.values()
    app.watchman.sweep(server)
    while time.monotonic() < end:
        app.desk.catch_up()
        told = "after step.rolled_back" in (home / "places").read_text()
        asked = final == "asked" and "after nodes.tell" in (home / "places").read_text()
        ended = [row for row in app.parts.store.all() if row.state.value == final or asked]
        # What is over has told everything once its run is; what waits for people has, when its last step is behind it.
        if ended and (told if final == "rolled-back" else asked or not app.engine.is_running(ended[0].id)):
            time.sleep(0.3)
            app.stop()
            os._exit(0)
        time.sleep(0.05)
    os._exit(3)


def main() -> None:
    home, final, workers = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    known = load_knowledge()
    if os.environ.get("MANY_LIVES_STEPS"):
        known = with_more_steps(known, home)
    bot.app.load_knowledge = lambda *_: known
    living: dict[int, str] = {}
    lives = 0

    def begin(worker: str) -> None:
        nonlocal lives
        lives += 1
        child = os.fork()
        if child == 0:
            life(home, final, worker)
        living[child] = worker

    for worker in workers:
        begin(worker)
    while True:
        child, status = os.wait()
        worker = living.pop(child)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and lives < 600:
            begin(worker)
            continue
        for other in living:
            os.kill(other, signal.SIGKILL)
        print(f"{lives} lives")
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
