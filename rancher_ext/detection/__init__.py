"""Is this cluster stuck? A function of facts, memory, limits and a clock, and nothing else."""

from rancher_ext.detection.classify import assess, classify, deserves_closer_look
from rancher_ext.detection.limits import Limits, Scope
from rancher_ext.detection.progress import Milestones, Progress, advance, milestones_of
from rancher_ext.detection.verdict import Healthy, OutOfScope, Progressing, Stage, Stuck, Unknown, Verdict

__all__ = [
    "Healthy",
    "Limits",
    "Milestones",
    "OutOfScope",
    "Progress",
    "Progressing",
    "Scope",
    "Stage",
    "Stuck",
    "Unknown",
    "Verdict",
    "advance",
    "assess",
    "classify",
    "deserves_closer_look",
    "milestones_of",
]
