"""What time is it, for policy? The world's time, or a faster one for the demo and for tests."""

import time
from datetime import UTC, datetime, timedelta


class PolicyClock:
    """`speed` times the world's pace, counted from `origin` (seconds since 1970). Simulators given the same two agree with it."""

    def __init__(self, speed: float = 1.0, origin: float | None = None) -> None:
        self.speed = speed
        self.origin = time.time() if origin is None else origin

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.origin + (time.time() - self.origin) * self.speed, UTC)

    def real_seconds(self, duration: timedelta) -> float:
        return duration.total_seconds() / self.speed
