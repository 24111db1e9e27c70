"""Would Rancher refuse an edit because the cluster follows a template?

Fields that an RKE1 cluster template sets can be changed in the template only; the cluster object would be put back.
"""

from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.errors import NotFound
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, of_the_cluster
from rancher_ext.remediation.rke1 import CONFIG, is_rke1


def look(target: Target, steps: Steps) -> Answer:
    edits = [change for change in of_the_cluster(steps) if change.place.path[:2] == CONFIG]
    if not edits or not is_rke1(target.snapshot):
        return None
    try:
        item = target.local.get(MANAGEMENT_CLUSTERS, target.snapshot.identity.id)
    except NotFound:
        return None
    revision = text(mapping(item, "spec").get("clusterTemplateRevisionId"))
    if not revision:
        return None
    return Obstacle(
        f"it follows the cluster template revision {revision}, and Rancher refuses edits of template fields",
        "make a revision of the template with this change",
    )


CHECK = Check("cluster-template", "No edit of fields that belong to a cluster template.", look)
