"""A small GitHub over HTTP, for the demo and the tests. It imports nothing else of Drover, since it judges it."""

from bot.simulator.access import SimulatedApp
from bot.simulator.faults import Faults
from bot.simulator.hooks import Delivery
from bot.simulator.journal import Write
from bot.simulator.server import RunningGitHub
from bot.simulator.views import SeenComment, SeenIssue

__all__ = ["Delivery", "Faults", "RunningGitHub", "SeenComment", "SeenIssue", "SimulatedApp", "Write"]
