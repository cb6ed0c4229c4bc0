"""Checks of strategies: what contradicts them in the versions and the route of their service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.pods import check_ready, ready_within
from stacks.checks.removed import still_named
from stacks.checks.view import Service, View, block, entries, has, is_count
from stacks.settings.blue_green import ENDS, is_blue_green, owns_default
from stacks.settings.model import ServiceSettings
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
            yield from _check_sides(view, service, block(block(strategy).get("blueGreen")).get("active"))
            yield from _check_route(service, entries(own.get("route")))
        elif strategy == "recreate" or "recreate" in block(strategy):
            yield from _check_recreate(service)
        elif strategy == "ramped" or "ramped" in block(strategy):
            yield from _check_ramped(view, service, block(block(strategy).get("ramped")))
        if not (strategy == "recreate" or "recreate" in block(strategy)):
            yield from _check_progress(service, block(block(strategy).get("ramped")))


def _check_sides(view: View, service: Service, active: Any) -> Iterator[Finding]:
    location, names = (*service.location, "strategy"), list(service.versions)
    if names and len(names) != 2:
        yield Finding(
            location,
            f"blueGreen needs two versions, and the service has {len(names)}: {', '.join(names)}",
            "exactly two versions, of which one is active",
            "add a version" if len(names) == 1 else "remove all versions but two, or write strategy: canary",
        )
    place: Location = (*location, "blueGreen", "active")
    removed = still_named(view, (*service.location, "versions", str(active)), place, "name another active version")
    if removed is not None:
        yield removed
    elif isinstance(active, str) and names and active not in names:
        near = nearest(active, names)
        has_pods = near is not None and block(service.versions[near]).get("replicas") != 0
        yield Finding(
            place,
            f"there is no version {active!r}{f'; the nearest is {near!r}' if near else ''}",
            f"the versions of the service: {', '.join(names)}",
            f"write {near}" if has_pods else "name one of the versions",
            shown(active),
        )
    for name, given in service.versions.items():
        replicas = block(given).get("replicas")
        if is_count(replicas) and replicas == 0 and name != active:
            own, other = ((*service.location, "versions", one, "replicas") for one in (name, str(active)))
            yield Finding(
                own if has(view.written, own) else other,  # the one that is given is that of both
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
    for name, given in service.deployed.items():
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
    for name, given in service.deployed.items():
        own, place = block(block(given).get("strategy")), (*service.location, "versions", name, "strategy")
        if own.get("type") == StrategyType.RECREATE.value:
            yield _other_type(service, (*place, "type"), "ramped", own["type"])


def _check_progress(service: Service, ramped: Mapping[str, Any]) -> Iterator[Finding]:
    """A version's own limits are over those of `ramped`; together they must let an update replace a pod."""
    location: Location = (*service.location, "strategy", "ramped")
    reported = False
    for name, given in service.deployed.items():
        own, place = block(block(given).get("strategy")), (*service.location, "versions", name, "strategy")
        limits = {**_defaults(), **{key: ramped[key] for key in LIMITS if key in ramped}, **own}
        if own.get("type") == StrategyType.RECREATE.value or not all(_is_none(limits[key]) for key in LIMITS):
            continue
        of_version, of_ramped = ([key for key in LIMITS if key in given] for given in (own, ramped))
        if not of_version and reported:
            continue
        reported = reported or not of_version
        where = f"with the limits of {key_path(location)}, " if of_ramped and len(of_version) == 1 else ""
        yield Finding(
            place if of_version else location,
            f"{where}both maxSurge and maxUnavailable are 0, and no pod can be replaced",
            "maxSurge or maxUnavailable above 0",
            "write maxSurge: 1",
            shown(own if of_version else ramped),
        )


def _is_none(limit: Any) -> bool:
    return limit in NONE and not isinstance(limit, bool)


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


def warnings(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """Yield what a strategy may do that was not intended; `location` is the service's."""
    yield from _sides(service, location)
    places: set[Location] = set()
    for name, version in service.deployed.items():
        finding = _all_at_once(service, name, location) if version.least_replicas else None
        if finding is not None and finding.location not in places:
            places.add(finding.location)
            yield finding


def _sides(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """The pods of blueGreen's two sides: one of them gets all requests."""
    active = service.strategy.active
    if active is None or service.outside:
        return
    fixed = {name: version.replicas for name, version in service.deployed.items()}
    idle = next(name for name in fixed if name != active)
    pods = {name: number for name, number in fixed.items() if number is not None}
    if len(pods) < len(fixed):
        return  # an autoscaler, or somebody else, decides
    equal = "remove replicas: both versions then have as many"
    if 0 < pods[idle] < pods[active]:
        yield Finding(
            (*location, "versions", idle, "replicas"),
            f"a switch to {idle} would give its {_pods(pods[idle])} the requests of the {pods[active]} of {active}",
            "as many pods as the active version has",
            equal,
            shown(pods[idle]),
        )
    elif pods[active] < pods[idle]:
        yield Finding(
            (*location, "strategy", "blueGreen", "active"),
            f"{active} has {_pods(pods[active])}, which {'gets' if pods[active] == 1 else 'get'} all requests; {idle} "
            f"has {pods[idle]}",
            "as many pods as the idle version has",
            f"write {key_path((*location, 'versions', active, 'replicas'))}: {pods[idle]}",
            shown(active),
        )


def _all_at_once(service: ServiceSettings, name: str, location: Location) -> Finding | None:
    version = service.deployed[name]
    pods, count = version.least_replicas or 1, "minReplicas" if version.autoscaling else "replicas"
    if version.strategy.type is not StrategyType.ROLLING_UPDATE:
        return None
    surge = -(-_of(version.strategy.max_surge, pods) // 100)
    unavailable = _of(version.strategy.max_unavailable, pods) // 100
    if max(unavailable, int(surge == 0)) < pods:  # of two that are 0, Kubernetes makes maxUnavailable 1
        return None
    is_own = service.strategy.ramped is None or "max_unavailable" in version.strategy.model_fields_set
    place = ("versions", name, "strategy") if is_own else ("strategy", "ramped")
    fix = "maxUnavailable: 0" if surge else "maxUnavailable: 1" if pods > 1 else "maxSurge: 1 and maxUnavailable: 0"
    return Finding(
        (*location, *place, "maxUnavailable"),
        f"an update may delete {'the only pod' if pods == 1 else f'all {pods} pods'} of {name} before new ones are "
        "ready",
        f"maxUnavailable below {count}, which is {pods}",
        f"write {fix}, or raise {count}; none needed if intended",
        shown(version.strategy.max_unavailable),
    )


def _of(limit: int | str, pods: int) -> int:
    """Hundredths of pods: Kubernetes rounds percentages up for maxSurge, and down for maxUnavailable."""
    return 100 * limit if isinstance(limit, int) else pods * int(limit.rstrip("%"))


def _pods(number: int) -> str:
    return f"{number} {'pod' if number == 1 else 'pods'}"
