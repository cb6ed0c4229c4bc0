"""Checks of the gates of rollouts: what may not stand beside them, what they need, and that a service has one kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stacks.checks.view import View
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

QUOTED = r"\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])*'|`[^`]*`"
"""A text in PromQL."""
AGGREGATION = r"\b(sum|count|min|max|avg|group|stddev|stdvar)\b\s*(by\b|\()"


def check_gates(strategy: RolloutStrategy, location: Location, view: View) -> Iterator[Finding]:
    """Yield what contradicts gates: they say what ends a step, and have the limits; and they need Prometheus."""
    if strategy.gates is None:
        return
    prometheus = _prometheus_off(view)
    for key in ("promote", "limits"):
        value = getattr(strategy, key)
        if key in strategy.model_fields_set and value is not None:
            text = value if isinstance(value, str) else shown(value.model_dump(exclude_none=True))
            yield Finding(
                (*location, key),
                f"with gates, {key} is one of their keys: two of them could contradict each other",
                f"{key} in gates, or a strategy without gates",
                f"move it: gates: {{{key}: {text}}}",
                text,
            )
    yield from _compares_nothing(strategy.gates, (*location, "gates"))
    if prometheus is not None:
        yield Finding(
            (*location, "gates"),
            "nothing collects the numbers that gates compare: Prometheus is off, so that no step would ever rise",
            f"gates with {key_path((*prometheus, 'enabled'))}: true, or with {key_path((*prometheus, 'url'))}",
            f"turn it on: {key_path((*prometheus, 'enabled'))}: true; or write promote: hand instead of gates",
            _given(strategy.gates),
        )


def _compares_nothing(gates: RolloutGates, location: Location) -> Iterator[Finding]:
    """Yield the metrics that seem to be compared, and are not.

    Here and not in their types, since a record that has them must be readable.
    """
    client_errors = gates.client_errors
    if "client_errors" in gates.model_fields_set and "enabled" not in client_errors.model_fields_set:
        given = client_errors.model_dump(mode="json", by_alias=True, exclude_unset=True)
        yield Finding(
            (*location, "clientErrors"),
            "answers 4xx are compared only where `enabled` is true",
            "a mapping with `enabled`, or no such key",
            f"write clientErrors: {shown({'enabled': True, **given})}",
            shown(given),
        )
    for index, metric in enumerate(gates.custom):
        place = (*location, "custom", index)
        if metric.failures.strip() == metric.requests.strip():
            yield Finding(
                place,
                "failures and requests are the same counters, so that both versions always fail equally",
                "counters of failures, and counters of all requests",
                "write the counters of the failures alone as `failures`",
                shown(metric.failures),
            )
            continue
        for key in ("failures", "requests"):
            query = getattr(metric, key)
            said = _no_counters(query)
            if said is not None:
                allowed = "PromQL for counters with the label `version`, such as shop_carts_total"
                yield Finding((*place, key), said[0], allowed, said[1], shown(query))


def _no_counters(text: str) -> tuple[str, str] | None:
    """What is wrong with a query that never has a sample of a version, and the fix."""
    if "{{" in text:
        return "a template is not filled in here", "write the names themselves; both versions are asked for at once"
    query = re.sub(QUOTED, "", text)
    if not re.search("[a-zA-Z_]", query):
        return "it names no counter", "write shop_carts_total, for example"
    ranges = re.fullmatch(r"[^()]*(\[[^\]]*\])\s*", query)
    if ranges is not None:
        return f"{ranges[1]} makes a range of the counters, which is asked for here", f"leave out {ranges[1]}"
    aggregated = re.search(AGGREGATION, query)
    if aggregated is not None and not re.search(r"\b(version|without|label_replace)\b", query):
        what = f"{aggregated[1]} leaves out the label `version`, without which no number is of a version"
        return what, f"write {aggregated[1]} by (version) (…)"
    return None


def gates_without_value(strategies: Iterable[tuple[Location, Any]]) -> Iterator[Finding]:
    """Yield the strategies, as a file has them, whose gates have no value: nothing would be judged at all."""
    for location, given in strategies:
        if isinstance(given, dict) and "gates" in given and given["gates"] is None:
            yield Finding(
                (*location, "gates"),
                "the key has no value",
                "a mapping whose keys all have defaults, or no such key, for a rollout without gates",
                "write gates: {}, for the defaults",
                "null",
            )


def _given(gates: RolloutGates) -> str:
    return shown(gates.model_dump(mode="json", by_alias=True, exclude_unset=True))


def _prometheus_off(view: View) -> Location | None:
    """The place of Prometheus' settings if it is off; None if it is on, or if they are malformed."""
    given = view.telemetry.get("prometheus", {})
    off = isinstance(given, dict) and given.get("enabled", False) is False and given.get("url") is None
    return ("telemetry", "prometheus") if off else None


def different_gates(rules: Sequence[tuple[Location, RolloutStrategy | None]]) -> Iterator[Finding]:
    """Yield the rules of a service's rollout whose gates are others than those of an earlier rule.

    The error rates are those of the whole rollout, so that it has one plan of its gates.
    """
    known = [(location, strategy) for location, strategy in rules if strategy is not None]
    gated = [(location, strategy.gates) for location, strategy in known if strategy.gates is not None]
    for location, gates in gated[1:]:
        if gates != gated[0][1]:
            yield Finding(
                location,
                f"its gates are others than those of {key_path(gated[0][0])}: the rollout of a service has one plan of "
                "gates, whose error rates are those of the whole",
                "the same gates in all rules of a service's rollout, or none",
                f"write the same gates in both strategies: {_given(gated[0][1])}, or {_given(gates)}",
                _given(gates),
            )
