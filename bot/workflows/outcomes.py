"""Which turns can an incident take while it waits?"""

from enum import Enum


class Word(Enum):
    MEND = "mend"  # the policy lets the plan run
    AGAIN = "again"  # look at the cluster afresh
    HEALED = "healed"  # it came up without us
    GONE = "gone"  # Rancher has it no more
    WAIT = "wait"  # allowed, but not at this moment
    DROPPED = "dropped"  # not watched any more
    STOP = "stop"  # nothing further runs by itself here
    RESOLVED = "resolved"  # cured and proved
    CLOSED = "closed"  # a person ended it
