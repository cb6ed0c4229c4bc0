"""Changes of versions without lost requests: current routes, what to wait for, and waiting for the Envoys."""
