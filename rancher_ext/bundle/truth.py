"""What is `and` of true and unknown? Three-valued logic, since evidence is never complete."""

from collections.abc import Iterable
from enum import Enum


class Truth(Enum):
    """True, false, or unknown: no evidence could tell."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        # `if truth:` would have to choose a side for UNKNOWN; say which one is meant instead.
        raise TypeError("compare a Truth with `is Truth.TRUE` (or FALSE, UNKNOWN)")

    def __invert__(self) -> "Truth":
        return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}.get(self, Truth.UNKNOWN)

    @classmethod
    def of(cls, value: bool | None) -> "Truth":
        return cls.UNKNOWN if value is None else cls.TRUE if value else cls.FALSE

    @classmethod
    def all(cls, values: Iterable["Truth"]) -> "Truth":
        """False when one is false, else unknown when one is unknown, else true."""
        seen = set(values)
        return cls.FALSE if cls.FALSE in seen else cls.UNKNOWN if cls.UNKNOWN in seen else cls.TRUE

    @classmethod
    def any(cls, values: Iterable["Truth"]) -> "Truth":
        """True when one is true, else unknown when one is unknown, else false."""
        seen = set(values)
        return cls.TRUE if cls.TRUE in seen else cls.UNKNOWN if cls.UNKNOWN in seen else cls.FALSE
