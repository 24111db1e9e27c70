"""What state is the fleet in, which clusters are stuck, why, and what can be done about it?

This package knows Rancher and Kubernetes. It could serve a notebook or another bot: it never imports `bot`.
"""
