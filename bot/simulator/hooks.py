"""How do webhooks leave the simulated GitHub?

One background thread posts them in order, signed with HMAC-SHA256 over the raw body, under a fresh delivery id. GitHub does
not repeat a failed delivery by itself; somebody presses "redeliver", and then the id stays the same. So it is here.
"""

import hashlib
import hmac
import json
import queue
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import requests

from bot.simulator.faults import Faults

ANSWER_WITHIN = 10.0  # seconds GitHub waits for a receiver


@dataclass(frozen=True)
class Delivery:
    id: str
    event: str
    action: str | None
    body: bytes = field(repr=False)
    outcomes: tuple[int | str, ...] = ()  # HTTP status of each attempt, or what went wrong

    @property
    def delivered(self) -> bool:
        return any(isinstance(outcome, int) and 200 <= outcome < 300 for outcome in self.outcomes)


class Hooks:
    def __init__(self, url: str | None, secret: str, faults: Faults) -> None:
        self.url = url
        self.secret = secret
        self._faults = faults
        self._deliveries: dict[str, Delivery] = {}
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="simulated-github-hooks", daemon=True)
        self._thread.start()

    @property
    def deliveries(self) -> list[Delivery]:
        with self._lock:
            return list(self._deliveries.values())

    def send(self, event: str, payload: Mapping[str, Any]) -> str | None:
        """Queues one delivery; None when no receiver is configured."""
        if self.url is None:
            return None
        delivery = Delivery(str(uuid.uuid4()), event, payload.get("action"), json.dumps(payload).encode())
        with self._lock:
            self._deliveries[delivery.id] = delivery
        self._queue.put(delivery.id)
        return delivery.id

    def redeliver(self, delivery_id: str) -> None:
        with self._lock:
            if delivery_id not in self._deliveries:
                raise KeyError(f"there was no delivery {delivery_id}")
        self._queue.put(delivery_id)

    def settle(self) -> None:
        """Returns when everything queued so far was tried once."""
        self._queue.join()

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join(timeout=ANSWER_WITHIN + 1)

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                delivery_id = self._queue.get()
                try:
                    if delivery_id is None:
                        return
                    self._attempt(session, delivery_id)
                finally:
                    self._queue.task_done()

    def _attempt(self, session: requests.Session, delivery_id: str) -> None:
        with self._lock:
            delivery = self._deliveries[delivery_id]
        outcome = "lost on the way" if self._faults.takes_delivery() else self._post(session, delivery)
        with self._lock:
            self._deliveries[delivery_id] = replace(delivery, outcomes=(*delivery.outcomes, outcome))

    def _post(self, session: requests.Session, delivery: Delivery) -> int | str:
        assert self.url is not None
        signature = hmac.new(self.secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/simulated",
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Delivery": delivery.id,
            "X-GitHub-Hook-ID": "301",
            "X-GitHub-Hook-Installation-Target-Type": "repository",
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        try:
            response = session.post(
                self.url, data=delivery.body, headers=headers, timeout=ANSWER_WITHIN, allow_redirects=False
            )
        except requests.RequestException as error:
            return type(error).__name__
        return response.status_code
