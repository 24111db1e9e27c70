"""Who keeps a record of what is done on somebody's node? Whoever collects there hands a witness in; without one nothing is done.

Even a command that only reads is an act. It is noted before it runs and after, with machine, command, size and exit, and never
with what the machine said.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ShellAct:
    """One session on one machine, or one command in it. `result` is empty before it runs."""

    session: str
    machine: str
    number: int = 0
    command: str = ""
    result: str = ""


class Witness(Protocol):
    """Raises RancherError where no shell may be opened at this moment, and the text says why."""

    def watching(self) -> AbstractContextManager[None]:
        """Around all sessions of one collection."""
        ...

    def note(self, act: ShellAct) -> None:
        """Kept when this returns. Raises when it cannot be kept: then nothing is typed."""
        ...
