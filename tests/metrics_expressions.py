"""The PromQL of a dashboard of Grafana."""

from __future__ import annotations

import json

from metrics.durations import prometheus_seconds


def expressions(dashboard_json: str) -> list[str]:
    """Return every query of a dashboard, of its panels and its annotations; variables are not filled in."""
    dashboard = json.loads(dashboard_json)
    of_panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return of_panels + [annotation["expr"] for annotation in dashboard["annotations"]["list"]]


def filled(expression: str, service: str, namespace: str, over: str = "1m") -> str:
    """Return a query with the dashboard's variables filled in, as Grafana does before it asks Prometheus."""
    values = {
        "$service": service,
        "$namespace": namespace,
        "$__rate_interval_ms": f"{1000 * prometheus_seconds(over):.0f}",
        "$__rate_interval": over,
    }
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression
