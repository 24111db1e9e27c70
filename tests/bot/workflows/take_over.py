"""One worker stands still in the middle of a plan, another takes its incident over and ends it, and then the first wakes up.

Run as `python take_over.py HOME FINAL_STATE SLEEPER SURVIVOR`. The sleeper stops itself (SIGSTOP) after its first write. It ends with
status 0 here when it finds itself declared dead.
"""

import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import bot.app
from bot.app import App
from bot.knowledge import load_knowledge
from bot.settings import load_settings
from bot.workflows import crew
from tests.bot.workflows.many_lives import Killed, store_key, with_more_steps

# Of the world's seconds.
BEAT, DEAD, LIFE = timedelta(seconds=1), timedelta(seconds=8), 150.0


class Sleeper:
    def __init__(self, home: Path) -> None:
        self._frozen = home / "frozen"

    def at(self, place: str) -> None:
        if place == "after store.record(apply-1-0)" and not self._frozen.exists():
            self._frozen.touch()
            os.kill(os.getpid(), signal.SIGSTOP)


def life(home: Path, final: str, worker: str, *, sleeps: bool) -> None:
    os.environ["DROVER_EXECUTOR_ID"] = worker
    app = App(load_settings())
    if sleeps:
        object.__setattr__(app.parts, "store", Killed(app.parts.store, Sleeper(home), "store", ("record",), store_key))
    app.crew.begin()
    app.engine.launch()
    app.crew.finish_take_overs()
    threading.Thread(target=app._beat, daemon=True).start()
    if sleeps:
        (server,) = app.parts.ranchers.values()
        app.watchman.sweep(server)
    end = time.monotonic() + LIFE
    while time.monotonic() < end:
        if sleeps and app.crew.dead:
            # What still ran in here has its time to do harm.
            time.sleep(3.0)
            os._exit(0)
        if not sleeps and any(row.state.value == final for row in app.parts.store.all()):
            time.sleep(1.0)
            app.stop()
            os._exit(0)
        if sleeps and not app.crew.dead:
            app.desk.catch_up()
        time.sleep(0.05)
    os._exit(3)


def started(home: Path, final: str, worker: str, *, sleeps: bool) -> int:
    child = os.fork()
    if child == 0:
        life(home, final, worker, sleeps=sleeps)
    return child


def main() -> None:
    home, final, sleeper, survivor = Path(sys.argv[1]), *sys.argv[2:]
    known = with_more_steps(load_knowledge(), home)
    bot.app.load_knowledge = lambda *_: known
    bot.app.BEAT_EVERY = crew.BEAT_EVERY = BEAT
    crew.DEAD_AFTER = DEAD
    first = started(home, final, sleeper, sleeps=True)
    end = time.monotonic() + LIFE
    while not (home / "frozen").exists() and time.monotonic() < end:
        time.sleep(0.05)
    second = started(home, final, survivor, sleeps=False)
    _, status = os.waitpid(second, 0)
    print("survivor", os.waitstatus_to_exitcode(status))
    os.kill(first, signal.SIGCONT)
    _, woken = os.waitpid(first, 0)
    print("woken", os.waitstatus_to_exitcode(woken))
    print("2 lives")
    sys.exit(os.waitstatus_to_exitcode(status) or os.waitstatus_to_exitcode(woken))


if __name__ == "__main__":
    main()
