"""A stack's Kubernetes manifests, from what its program registers."""
