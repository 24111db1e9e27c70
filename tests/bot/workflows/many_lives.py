"""One service that is killed at every place once, and starts again each time.

Run as `python many_lives.py HOME FINAL_STATE`. The parent loads everything and forks; a child is one life of the service. Whenever
it comes to a place where it was never killed before, it notes the place and kills itself with SIGKILL. The child that comes to
the end of the incident without meeting a new place ends the program.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import bot.app
from bot.app import App
from bot.knowledge import load_knowledge
from bot.settings import load_settings

LIFE = 40.0  # seconds after which a life that does not end is a failure of the test


class Places:
    """Where it was killed before, and the place where it is killed now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = set(file.read_text().splitlines()) if file.exists() else set()
        self._lock = threading.Lock()

    def at(self, place: str) -> None:
        with self._lock:
            if place in self._known:
                return
            with self._file.open("a") as stream:
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
    "collect", "diagnose", "plan", "decide", "report", "note_approval", "begin", "apply", "prove", "resolved",
    "failed_cure", "take_back", "rolled_back", "escalate", "superseded",
)  # fmt: skip


def step_key(_name, args, _named):
    return ",".join(str(each) for each in args[1:] if isinstance(each, int | str))


def tracker_key(name, args, _named):
    # The same comment is edited many times while something is proved; once each is enough.
    return str(args[1]).split(":")[0] if name == "upsert_comment" else ""


def store_key(name, args, named):
    if name == "record":
        return named["once"]
    if name == "update":
        return str(named.get("state", ",".join(sorted(named))))
    if name == "open":
        return ""
    return str(args[0]).split("/")[0][:20]


def life(home: Path, final: str) -> None:
    places = Places(home / "places")
    app = App(load_settings())
    parts = app.parts
    actions = {
        name: replace(
            action,
            apply=Killed(action, places, "action", ("apply",), lambda *_: "").apply,
            take_back=Killed(action, places, "action", ("take_back",), lambda *_: "").take_back,
        )
        for name, action in parts.knowledge.actions.items()
    }
    writes = ("open", "update", "record", "save_preimage", "claim", "lease", "release", "set_note")
    object.__setattr__(parts.knowledge, "actions", actions)
    object.__setattr__(parts, "store", Killed(parts.store, places, "store", writes, store_key))
    tracker_writes = ("open", "edit", "upsert_comment", "close", "reopen", "react")
    object.__setattr__(parts, "tracker", Killed(parts.tracker, places, "tracker", tracker_writes, tracker_key))
    app.steps = Killed(app.steps, places, "step", STEPS, step_key)
    app.engine.launch()
    app.watchman.take_up()
    end = time.monotonic() + LIFE
    (server,) = parts.ranchers.values()
    app.watchman.sweep(server)
    while time.monotonic() < end:
        app.desk.catch_up()
        ended = [row for row in app.parts.store.all() if row.state.value == final]
        # What is over has told everything once its run is; what waits for people has, when its last step is behind it.
        told = "after step.rolled_back" in (home / "places").read_text()
        if ended and (told if final == "rolled-back" else not app.engine.is_running(ended[0].id)):
            time.sleep(0.3)
            app.stop()
            os._exit(0)
        time.sleep(0.05)
    os._exit(3)


def main() -> None:
    home, final = Path(sys.argv[1]), sys.argv[2]
    known = load_knowledge()
    bot.app.load_knowledge = lambda *_: known
    lives = 0
    while True:
        lives += 1
        child = os.fork()
        if child == 0:
            life(home, final)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and lives < 300:
            continue
        print(f"{lives} lives")
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
