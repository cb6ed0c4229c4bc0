"""Durations as Prometheus writes them (Prometheus: "Configuration", and "Querying basics" for those in PromQL)."""

from __future__ import annotations

import re

DURATION = r"([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"
"""The pattern of a duration; the empty text is none."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}


def prometheus_seconds(text: str) -> float:
    """Return a duration of Prometheus in seconds: 5400.0 for `1h30m`; a year has 365 days there."""
    return float(sum(int(number) * UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|[ywdhms])", text)))


def promql_duration(seconds: float) -> str:
    """Return a duration as PromQL writes it: `31s`, or `10500ms` where it is not whole seconds."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"
