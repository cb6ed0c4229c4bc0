"""Prometheus, Grafana, Jaeger and Kiali, and what the mesh reports to them."""
