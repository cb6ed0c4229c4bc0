"""Checks of the shares in rules with weights: their sum, and the headers that each changes by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.view import View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import HeaderOperations, Headers, Rule
from traffic.proportions import (
    DECIMALS,
    LARGEST,
    SUMS,
    are_complete,
    exactly,
    number_words,
    percentages,
    total_of,
)

NEARLY = 10
"""Up to this far from 100, one weight is probably mistyped; else the weights are meant as a proportion."""
SET_COOKIE = "set-cookie"
WITH_ALL = "Envoy changes the rule's headers after those of a destination"


def weight_given(value: Any) -> float | None:
    """Return the weight of a destination as given, alone or in a mapping; None where there is no valid one."""
    weight = value.get("weight") if isinstance(value, Mapping) else value
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= LARGEST:
        return None
    return weight if (exactly(weight) * 10**DECIMALS).denominator == 1 else None


def check_sum(to: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    """Yield weights that are neither percentages nor whole numbers in proportion to a power of ten."""
    found = {name: weight_given(value) for name, value in to.items()}
    weights = {name: weight for name, weight in found.items() if weight is not None}
    if not to or len(weights) < len(found) or are_complete(weights):
        return
    total = total_of(weights)
    why = "and have decimals" if total in SUMS else "not 100"
    yield Finding(
        location,
        f"the weights sum to {number_words(total)}, {why}",
        f"percentages that sum to 100, or whole numbers that sum to {', '.join(map(str, SUMS[1:-1]))} or {LARGEST}",
        _fix(weights, total),
        _flow(weights),
    )


def _fix(weights: Mapping[str, float], total: float) -> str:
    """The same proportion as percentages; before it, if one weight may be mistyped, the largest one corrected."""
    if not total:
        return "give at least one version a weight above 0"
    same = percentages(weights)
    proportion = _flow(same)
    largest = max(weights, key=lambda name: weights[name])
    corrected = _flow({**weights, largest: total_of({0: weights[largest], 1: 100, 2: -total})})
    if abs(total - 100) <= NEARLY and weights[largest] >= NEARLY and corrected != proportion:
        return f"write {corrected}, or {proportion} for the present proportion"
    is_same = all(exactly(weight) * 100 == exactly(same[name]) * exactly(total) for name, weight in weights.items())
    return f"write {proportion}, which is the {'same proportion' if is_same else 'nearest with four decimals'}"


def _flow(weights: Mapping[str, float]) -> str:
    return f"{{{', '.join(f'{name}: {number_words(weight)}' for name, weight in weights.items())}}}"


def check(view: View) -> Iterator[Finding]:
    """Yield headers that a destination changes in vain, or that something else must change for it."""
    version_header = view.values.get("versionHeader")
    for service in view.services.values():
        for index, rule in enumerate(service.rules):
            if rule is not None and rule.to is not None:
                location = (*service.location, "route", index)
                yield from _check_of_rule(rule, location, version_header)
                yield from _check_headers(rule, location, version_header)


def _check_of_rule(rule: Rule, location: Location, version_header: Any) -> Iterator[Finding]:
    """The rule's headers come last, so they would undo what this project has each destination set."""
    if rule.headers is None:
        return
    response, place = rule.headers.response, (*location, "headers", "response")
    if rule.sticky is not None and (SET_COOKIE in response.set or SET_COOKIE in response.remove):
        yield Finding(
            place,
            f"the rule replaces or removes {SET_COOKIE}, and with it the cookie of sticky: {WITH_ALL}",
            f"sticky, or {SET_COOKIE} in `set` or `remove`; `add` keeps the other cookies",
            f"write {SET_COOKIE} under `add`, or remove sticky",
        )
    if isinstance(version_header, str) and version_header.lower() in _changed(response):
        yield Finding(
            place,
            f"{version_header} is the versionHeader, and would no longer name the destination: {WITH_ALL}",
            "other headers than versionHeader",
            f"remove {version_header} here, or give versionHeader another name",
        )


def _check_headers(rule: Rule, location: Location, version_header: Any) -> Iterator[Finding]:
    for name, share in rule.shares.items():
        if share.headers is None:
            continue
        place = (*location, "to", name, "headers")
        yield from _check_rule_too(rule, share.headers, location, place)
        response = share.headers.response
        if isinstance(version_header, str) and version_header.lower() in _changed(response):
            yield Finding(
                (*place, "response"),
                f"{version_header} is the versionHeader: each destination already sets it to its own name",
                "other headers than versionHeader",
                f"remove {version_header} here, or give versionHeader another name",
            )
        if rule.sticky is not None and SET_COOKIE in response.add:
            yield Finding(
                (*place, "response", "add", SET_COOKIE),
                "sticky already adds this header to the responses, and Istio's `add` has each header once",
                f"sticky, or a {SET_COOKIE} of a destination",
                f"remove it, or remove sticky; `set` instead of `add` would replace the version's own {SET_COOKIE}",
                shown(response.add[SET_COOKIE]),
            )


def _check_rule_too(rule: Rule, own: Headers, location: Location, place: Location) -> Iterator[Finding]:
    """With several destinations, the rule's change comes last and undoes that of a share (Envoy: WeightedCluster)."""
    if rule.headers is None:
        return
    sides = (("request", own.request, rule.headers.request), ("response", own.response, rule.headers.response))
    for side, of_share, of_rule in sides:
        both = [
            header
            for header in _changed(of_share)
            if header in _changed(of_rule) and not (_only_added(header, of_share) and _only_added(header, of_rule))
        ]
        if both:
            header = both[0]
            yield Finding(
                (*place, side),
                f"the rule's own headers change {header} too, and {WITH_ALL}",
                "each header either in the rule's headers or in those of its destinations",
                f"remove {header} from {key_path((*location, 'headers', side))}, and write it under each destination "
                "that is to have it",
            )


def _changed(operations: HeaderOperations) -> list[str]:
    return list(dict.fromkeys((*operations.set, *operations.add, *operations.remove)))


def _only_added(header: str, operations: HeaderOperations) -> bool:
    return header in operations.add and header not in operations.set and header not in operations.remove


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield headers of destinations that get no requests now."""
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            for destination, share in rule.shares.items():
                if share.headers is not None and share.weight == 0:
                    yield Finding(
                        ("services", name, "route", index, "to", destination, "headers"),
                        f"no effect: the weight of {destination} is 0",
                        "headers of a destination with a weight above 0",
                        "none needed if the weight is raised later; otherwise remove them",
                    )
