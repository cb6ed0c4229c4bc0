"""A running sandbox: its namespaces, certificates, daemons and add-ons, started, repaired and stopped."""
