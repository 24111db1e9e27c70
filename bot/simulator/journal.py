"""Which writes did the simulated GitHub carry out, in order?"""

import threading
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Write:
    at: datetime  # by the injected clock
    by: str
    did: str  # for people and assertions, such as "comment on #1" or "edit comment 9004"
    method: str
    path: str


class Journal:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: list[Write] = []

    def note(self, write: Write) -> None:
        with self._lock:
            self._writes.append(write)

    @property
    def writes(self) -> list[Write]:
        with self._lock:
            return list(self._writes)
