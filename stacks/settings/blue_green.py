"""What the strategy blueGreen decides in a service: where rules without a destination lead, and equal replicas.

It is written into the values before they are validated, so that everything after sees an ordinary route: all requests
to the active version, and none to the idle one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.settings.strategy import NAMES, StrategyName
from traffic.model import OUTSIDE
from traffic.model.outside import kind_of_version

ENDS = ("to", "redirect", "directResponse")
NAME = StrategyName.BLUE_GREEN.value
COUNTS = ("replicas", "autoscaling")
"""The keys of a version that say how many pods it has."""


def is_blue_green(strategy: Any) -> bool:
    """Whether the value of `strategy` names blueGreen."""
    return strategy == NAME or (isinstance(strategy, Mapping) and NAME in strategy)


def is_misspelt(strategy: Any) -> bool:
    """Whether the value of `strategy` names none of the strategies, so that it is not known what it decides."""
    names = list(strategy) if isinstance(strategy, Mapping) else [] if strategy is None else [strategy]
    return any(name not in NAMES for name in names)


def without_destinations(route: Any) -> Any:
    """Return a route in which the strategy decides where the default rule and rules with weights lead."""
    if not isinstance(route, list):
        return route
    return [
        {key: value for key, value in rule.items() if key != "to"} if owns_default(rule) else rule for rule in route
    ]


def owns_default(rule: Any) -> bool:
    """Whether a rule decides by itself what blueGreen decides: it has weights, or is the default rule with a `to`."""
    return isinstance(rule, Mapping) and "to" in rule and (isinstance(rule["to"], Mapping) or "match" not in rule)


def decided(services: Any) -> Any:
    """Return services with what blueGreen decides; malformed values are kept for the messages about them."""
    if not isinstance(services, Mapping):
        return services
    return {name: _decided(service) if _applies(service) else service for name, service in services.items()}


def _applies(service: Any) -> bool:
    return (
        isinstance(service, Mapping)
        and is_blue_green(service.get("strategy"))
        and isinstance(service.get("versions"), Mapping)
        and bool(service["versions"])
    )


def _decided(service: Mapping[str, Any]) -> dict[str, Any]:
    versions, strategy = service["versions"], service["strategy"]
    active = _active(strategy, list(versions))
    to = {active: 100, **{name: 0 for name in versions if name != active}}
    result = {**service, "versions": _equal(versions), "route": _route(service.get("route", []), to)}
    return {**result, "strategy": {NAME: {"active": active}}} if strategy == NAME else result


def _active(strategy: Any, versions: list[Any]) -> Any:
    """The active version; the first one where none is named, or none of the versions."""
    details = strategy.get(NAME) if isinstance(strategy, Mapping) else None
    named = details.get("active") if isinstance(details, Mapping) else None
    return named if named in versions else versions[0]


def _route(route: Any, to: Mapping[str, int]) -> Any:
    if not isinstance(route, list) or not all(isinstance(rule, Mapping) for rule in route):
        return route
    # The steps of a rollout decide about the weights.
    alone = next(version for version, weight in to.items() if weight)
    filled = [
        rule if any(end in rule for end in ENDS) else {**rule, "to": alone if "rollout" in rule else dict(to)}
        for rule in route
    ]
    return filled if any("match" not in rule for rule in route) else [*filled, {"to": dict(to)}]


def _equal(versions: Mapping[str, Any]) -> dict[str, Any]:
    """The versions with equal replicas, or equal autoscaling, unless each has its own."""
    counted = [one for one in versions.values() if isinstance(one, Mapping) and any(key in one for key in COUNTS)]
    runs_elsewhere = any(kind_of_version(one) == OUTSIDE for one in versions.values())
    if len(versions) != 2 or len(counted) != 1 or runs_elsewhere:
        return dict(versions)
    given = {key: counted[0][key] for key in COUNTS if key in counted[0]}
    return {name: {**given, **one} if isinstance(one, Mapping) else one for name, one in versions.items()}
