"""What does a listener pass on? That one cluster is worth a look, and who said so."""

from dataclasses import dataclass

from rancher_ext.fleet.cluster import ClusterKey


@dataclass(frozen=True)
class ClusterHint:
    """A key and a source, never state: whoever gets it reads the cluster afresh. Losing or doubling one costs a read."""

    key: ClusterKey
    source: str
