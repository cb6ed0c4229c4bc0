"""Real services, as people run them: what is said of them without a cluster."""
