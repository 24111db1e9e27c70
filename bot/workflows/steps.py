"""What does each step of an incident do? One call to the outside each, and safe to repeat: it reads back before it writes.

A step may run again after a crash in its middle. What it writes is therefore found again first: an issue by its marker, a
field by its value, a timeline line by its name. The steps stand in their rooms: `understanding`, `telling`, `mending`, `undoing`.
"""

from bot.workflows.closing import Closing
from bot.workflows.mending import Mending
from bot.workflows.understanding import Understanding
from bot.workflows.undoing import Undoing


class IncidentSteps(Understanding, Mending, Undoing, Closing):
    """The steps of `incident_flow`, for one service."""
