"""A change of versions while it happens: the routes in the cluster, what to wait for, and the Envoys that follow."""
