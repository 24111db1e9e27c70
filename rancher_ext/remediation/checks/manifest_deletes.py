"""Would objects be deleted because their document leaves `additionalManifest`?

The distribution deletes what a file of its manifests no longer has. For a definition (CRD) that takes every object of its kind
along, whoever made it.
"""

from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Caution, Check, Obstacle, Steps, of_the_cluster
from rancher_ext.remediation.manifests import PATH, documents_of, key_of


def look(_: Target, steps: Steps) -> Answer:
    gone: list[str] = []
    for change in of_the_cluster(steps):
        if change.place.path != PATH:
            continue
        before, after = (
            documents_of(str(value.value)) if value.present else [] for value in (change.before, change.after)
        )
        if isinstance(before, NotPossible) or isinstance(after, NotPossible):
            continue
        kept = {key_of(document) for document in after}
        gone += [f"{key[1]} {key[3]}" for key in map(key_of, before) if key not in kept]
    definition = next((each for each in gone if each.startswith("CustomResourceDefinition ")), None)
    if definition:
        return Obstacle(
            f"{definition} would leave additionalManifest, and all objects of its kind would be deleted with it",
            "leave its document in",
        )
    return Caution(f"The nodes delete {', '.join(gone)} with the document.") if gone else None


CHECK = Check("manifest-deletes", "No definition leaves additionalManifest; other documents are named.", look)
