"""The metrics of versions as their callers see them: queries, rules, dashboard, and a client of Prometheus."""
