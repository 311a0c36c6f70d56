"""Instances on Kubernetes, as files: `manifests.render` writes them, and nothing here speaks to a cluster.

An operator who has a cluster has their own way to apply files to it, to review them and to keep
secrets. `swarm farm render NAME --driver kubernetes` writes plain YAML that the restricted pod security
standard admits: a StatefulSet of one, its Secret, its Service and its NetworkPolicy. The home is claimed
by the StatefulSet and kept when that is deleted.
"""
