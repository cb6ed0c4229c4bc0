"""Checks of strategies: what contradicts them in the versions and the route of their service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.pods import check_ready, ready_within
from stacks.checks.view import Service, View, block, entries, is_count
from stacks.settings.blue_green import ENDS, is_blue_green, owns_default
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from stacks.settings.strategy import NONE, Ramped, StrategyType

LIMITS = ("maxSurge", "maxUnavailable")


def check(view: View) -> Iterator[Finding]:
    """Yield contradictions between a service's strategy and its other keys."""
    written = block(view.written.get("services"))
    for service in view.services.values():
        strategy = service.given.get("strategy")
        if is_blue_green(strategy):
            own = block(written.get(service.name))
            yield from _check_sides(service, block(block(strategy).get("blueGreen")).get("active"))
            yield from _check_route(service, entries(own.get("route")))
        elif strategy == "recreate" or "recreate" in block(strategy):
            yield from _check_recreate(service)
        elif strategy == "ramped" or "ramped" in block(strategy):
            yield from _check_ramped(view, service, block(block(strategy).get("ramped")))


def _check_sides(service: Service, active: Any) -> Iterator[Finding]:
    location, names = (*service.location, "strategy"), list(service.versions)
    if names and len(names) != 2:
        yield Finding(
            location,
            f"blueGreen needs two versions, and the service has {len(names)}: {', '.join(names)}",
            "exactly two versions, of which one is active",
            "add a version" if len(names) == 1 else "remove all versions but two, or write strategy: canary",
        )
    if isinstance(active, str) and names and active not in names:
        near = nearest(active, names)
        yield Finding(
            (*location, "blueGreen", "active"),
            f"there is no version {active!r}{f'; the nearest is {near!r}' if near else ''}",
            f"the versions of the service: {', '.join(names)}",
            f"write {near or names[0]}",
            shown(active),
        )
    for name, given in service.versions.items():
        replicas = block(given).get("replicas")
        if is_count(replicas) and replicas == 0 and name != active:
            yield Finding(
                (*service.location, "versions", name, "replicas"),
                f"the idle version {name} has no pods, so the one line that switches to it would not be enough",
                "replicas above 0 for both versions of blueGreen",
                "give it as many as the active version",
                shown(replicas),
            )


def _check_route(service: Service, route: list[Any]) -> Iterator[Finding]:
    """`route` is as written: rules that the strategy decides have no destination."""
    location = (*service.location, "route")
    for index, rule in enumerate(route):
        if owns_default(rule):
            weights = isinstance(rule["to"], Mapping)
            yield Finding(
                (*location, index, "to"),
                f"with blueGreen the active version gets all of these requests, but the rule has "
                f"{'weights' if weights else 'a destination of its own'}",
                "rules without `to`, which lead to the active version, and rules with a match for one version",
                f"remove `to`, or write {key_path((*service.location, 'strategy'))}: canary",
                shown(rule["to"]),
            )
    ends = [isinstance(rule, Mapping) and any(end in rule for end in ENDS) for rule in route]
    has_default = any("match" not in rule for rule in route if isinstance(rule, Mapping))
    if has_default and all(ends) and not any(map(owns_default, route)):
        yield Finding(
            location,
            "no rule leads to the active version, so the strategy blueGreen has no effect",
            "at least one rule without to, redirect and directResponse",
            "remove `to` from the rule whose requests the active version is to get",
        )


def _check_recreate(service: Service) -> Iterator[Finding]:
    for name, given in service.versions.items():
        own, place = block(block(given).get("strategy")), (*service.location, "versions", name, "strategy")
        if own.get("type") == StrategyType.ROLLING_UPDATE.value:
            yield _other_type(service, (*place, "type"), "recreate", own["type"])
        elif "type" not in own:
            for limit in LIMITS:
                if limit in own:
                    yield Finding(
                        (*place, limit),
                        f"{limit} has no effect with recreate: all old pods are deleted first",
                        "maxSurge and maxUnavailable with ramped, blueGreen or canary",
                        f"remove it, or write {key_path((*service.location, 'strategy'))}: ramped",
                        shown(own[limit]),
                    )


def _check_ramped(view: View, service: Service, ramped: Mapping[str, Any]) -> Iterator[Finding]:
    location = (*service.location, "strategy", "ramped")
    yield from check_ready(ramped.get("minReadySeconds"), ready_within(view), (*location, "minReadySeconds"))
    for name, given in service.versions.items():
        own, place = block(block(given).get("strategy")), (*service.location, "versions", name, "strategy")
        if own.get("type") == StrategyType.RECREATE.value:
            yield _other_type(service, (*place, "type"), "ramped", own["type"])
            continue
        limits = {**_defaults(), **{key: ramped[key] for key in LIMITS if key in ramped}, **own}
        own_limits = [own[key] for key in LIMITS if key in own]
        alone = len(own_limits) == len(LIMITS)  # the version's own contradiction is reported with its types
        if own_limits and not alone and all(limits[key] in NONE for key in LIMITS):
            yield Finding(
                place,
                f"with the limits of {key_path(location)}, both limits are 0, and no pod can be replaced",
                "maxSurge or maxUnavailable above 0",
                "write maxSurge: 1",
                shown(own),
            )


def _other_type(service: Service, location: Location, strategy: str, given: Any) -> Finding:
    ours = {"recreate": StrategyType.RECREATE.value, "ramped": StrategyType.ROLLING_UPDATE.value}[strategy]
    return Finding(
        location,
        f"the version's pods are replaced by {given}, but the strategy of {service.name} is {strategy}",
        f"{ours}, or no type, with strategy: {strategy}",
        f"remove it, or change {key_path((*service.location, 'strategy'))}",
        shown(given),
    )


def _defaults() -> dict[str, Any]:
    return {field.alias or name: field.default for name, field in Ramped.model_fields.items()}
