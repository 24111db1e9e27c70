"""Let Rancher load its release metadata again (KDM), which holds images, templates and versions of RKE1, RKE2 and K3s.

`POST /v3/kontainerdrivers?action=refresh` is an action of the whole kind, offered to users who may change kontainer drivers. The
source is the setting `rke-metadata-config` (a URL; Rancher reads it once a day by itself). A refresh adds what the source has
and changes no cluster. There is nothing to take back: the earlier metadata are not kept, and the source decides, not we.

Whether it worked can be read for one version: RKE1 gets an RkeK8sSystemImage object per version, RKE2 and K3s are listed under
`/v1-rke2-release/releases` and `/v1-k3s-release/releases`.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.norman import Norman
from rancher_ext.errors import Forbidden, NotFound, NotRancher
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.actions.set_rke1_service_env import SYSTEM_IMAGES
from rancher_ext.remediation.change import Call, Target

KIND, REFRESH = "kontainerDriver", "refresh"
SETTING = "rke-metadata-config"


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    snapshot = target.snapshot
    if snapshot.management is not Management.PROVISIONED:
        return NotPossible("Rancher takes no metadata for a cluster that it did not make")
    norman = Norman(target.transport)
    try:
        offered = norman.offers_for_all(KIND, REFRESH)
    except NotFound as error:
        return NotPossible(error.message)
    if not offered:
        return NotPossible("this token may not refresh Rancher's release metadata")
    source = _source(norman.setting(SETTING))
    if not source:
        return NotPossible(f"the setting {SETTING} names no source: Rancher has only the metadata it was shipped with")
    return PlannedStep(
        action=ACTION.name,
        title="Load Rancher's release metadata again",
        writes=(Call(KIND, "", REFRESH),),
        diff=f"+POST /v3/kontainerdrivers?action={REFRESH}",
        effect=f"Rancher reads {source} for all its clusters, as it does once a day by itself. No cluster changes by this alone.",
        arguments=dict(arguments),
    )


def settled(target: Target, _: PlannedStep) -> Settled:
    version = target.snapshot.kubernetes
    wanted = version.text if version else ""
    known = _knows(target, wanted) if wanted else None
    if known is None:
        return Settled(holds=True, seen="the metadata were asked for; what Rancher loaded cannot be read")
    return Settled(known, f"Rancher {'knows' if known else 'does not know'} {wanted}")


def _knows(target: Target, version: str) -> bool | None:
    """None when nobody can read it."""
    if target.snapshot.distribution is Distribution.RKE1:
        try:
            images = target.local.list(SYSTEM_IMAGES, "cattle-global-data").items
        except (NotFound, Forbidden):
            return None
        return any(item["metadata"]["name"] == version for item in images)
    try:
        answer = target.transport.get_json(f"/v1-{target.snapshot.distribution}-release/releases")
    except (NotFound, Forbidden, NotRancher):
        return None
    data = answer.get("data")
    return any(version in {each.get("id"), each.get("version")} for each in data) if isinstance(data, list) else None


def _source(setting: str) -> str:
    """The URL in the setting; a plain URL stood there in old Ranchers."""
    try:
        found = json.loads(setting)
    except ValueError:
        return setting.strip()
    return text(found.get("url")) if isinstance(found, dict) else ""


ACTION = Action(
    name="refresh-kontainer-metadata",
    risk=Risk.SAFE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=2),
    preview=preview,
    settled=settled,
    settle_within=timedelta(minutes=5),
    help="Lets Rancher load its release metadata (KDM) again.",
)
