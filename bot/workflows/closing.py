"""How does a person end an incident that Drover did not mend? Told in its issue, and remembered while nothing moves."""

from bot.incidents.incident import Incident
from bot.workflows.room import Json
from bot.workflows.telling import Telling


def closed_note(rancher: str, uid: str) -> str:
    """Under this note lies when somebody closed the incident of this cluster: while it hangs since before, it stays closed."""
    return f"closed:{rancher}:{uid}"[:100]


class Closing(Telling):
    def close(self, incident: str, message: Json) -> Json:
        """The cluster gets a new incident only when it got further meanwhile and hangs anew."""
        row: Incident = self._get(incident)
        why = f"{message['by']} closed it: {message['reason']}"
        if self._written_plan(row) is not None:
            why += " (the change that Drover made stays in the cluster)"
        self._parts.store.set_note(closed_note(row.cluster.rancher, row.cluster_uid), self._now.isoformat())
        self._tell(row, "command", why, once=f"close-{message.get('once', '')}")
        return self.superseded(incident, why)
