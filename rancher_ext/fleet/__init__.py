"""The fleet as values: clusters, machines, nodes, CNIs, versions, and all facts of one instant.

No input, no output: raw JSON of Rancher and Kubernetes becomes these values in `parse.py` and nowhere else.
"""
