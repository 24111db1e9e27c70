"""Who says that something may have changed? Watches and webhooks; both yield hints, a key and a source, never state."""

from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.listeners.queue import HintQueue
from rancher_ext.listeners.watch import FleetWatch, WatchState

__all__ = ["ClusterHint", "FleetWatch", "HintQueue", "WatchState"]
