"""Which clusters does an Alertmanager notification speak of? The webhook format, version 4.

Alertmanager signs nothing, sends one notification for a whole group of alerts, sends it again while they last, and once more when
they are resolved. A resolved alert is a reason to look as well: a look costs nothing, and the cluster may just have healed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rancher_ext.errors import BadInput
from rancher_ext.listeners.payloads import CLUSTER_LABELS, Payload

# Alertmanager's `max_alerts` is unlimited by default; a group of more clusters than this is a storm that the sweep sees anyway.
MOST_ALERTS = 10_000
# Rancher's ids are short, display names end at 63; what is longer is no name.
LONGEST_NAME = 253

_CURE = "Send Alertmanager's own webhook format, version 4 (`webhook_configs` in its configuration)."


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str = "firing"
    labels: dict[str, Any] = Field(default_factory=dict)


class _Notification(BaseModel):
    model_config = ConfigDict(extra="ignore")

    version: str
    alerts: list[_Alert] = Field(max_length=MOST_ALERTS)
    commonLabels: dict[str, Any] = Field(default_factory=dict)  # noqa: N815 - Alertmanager's name


def clusters(document: Any, labels: Sequence[str] = CLUSTER_LABELS) -> tuple[str, ...]:
    """Ids or display names, as the first configured label of each alert gives them; the group's labels serve alerts without."""
    try:
        notification = _Notification.model_validate(document)
    except ValidationError as error:
        raise BadInput(f"this is not an Alertmanager notification: {_first(error)}", cure=_CURE) from None
    if notification.version != "4":
        raise BadInput(
            f"this is an Alertmanager notification of version {notification.version[:20]!r}, not '4'", cure=_CURE
        )
    found: dict[str, None] = {}
    for alert in notification.alerts:
        name = _named(alert.labels, labels) or _named(notification.commonLabels, labels)
        if name:
            found[name] = None
    if notification.alerts and not found:
        raise BadInput(
            f"none of the {len(notification.alerts)} alerts names a cluster in one of the labels {', '.join(labels)}",
            cure="Set the label that names the cluster in the alert rule, or name it in Drover's settings.",
        )
    return tuple(found)


def _named(carried: Mapping[str, Any], labels: Sequence[str]) -> str:
    for label in labels:
        value = carried.get(label)
        if isinstance(value, str) and value.strip() and len(value) <= LONGEST_NAME:
            return value.strip()
    return ""


def _first(error: ValidationError) -> str:
    """Where the first thing is wrong and what was expected there; never the value, which may be anything."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the document"
    return f"{where}: {problem['msg']}"


PAYLOAD = Payload("alertmanager", clusters, title="Alertmanager webhook, version 4")
