"""Checks of where rules send requests: weights, versions and their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stacks.checks.outside import check_egress_target
from stacks.checks.removed import still_named
from stacks.checks.shares import check_sum, weight_given
from stacks.checks.view import Service, View, block, entries, is_count
from stacks.settings.blue_green import is_blue_green, is_misspelt
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.model import Target, target
from traffic.model.target import is_destination


class Named(NamedTuple):
    """A destination in a rule: its location, the value given there, and its weight (None for a mirror)."""

    location: Location
    name: str
    given: Any
    weight: float | None

    def of(self, service: Service) -> Target:
        """The version it refers to."""
        return target(service.name, self.name)


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the destinations of all routes."""
    named: set[Target] = set()
    for service in view.services.values():
        yield from _check_route(service)
        for one in _named(service):
            named.add(one.of(service))
            yield from list(_check_removed(view, service, one)) or _check_target(view, service, one)
    # A version may only be named by the route of another service.
    for service in view.services.values():
        yield from _check_all_named(view, service, named)


def _check_route(service: Service) -> Iterator[Finding]:
    location, versions = (*service.location, "route"), service.versions
    needs_route = len(versions) > 1 and not is_misspelt(service.given.get("strategy"))
    if needs_route and service.given.get("route") is None:
        # One that has pods: a weight above 0 for a version without any would be the next mistake.
        running = next((name for name, given in versions.items() if block(given).get("replicas") != 0), None)
        first = running or next(iter(versions))
        weights = {version: 100 if version == first else 0 for version in versions}
        yield Finding(
            location,
            f"there is no route between the {len(versions)} versions",
            "a list of rules that ends with one without `match`",
            f"add `route: [{{to: {_flow(weights)}}}]`, for example",
        )
    for index, rule in enumerate(entries(service.given.get("route"))):
        to, place = block(rule).get("to"), (*location, index, "to")
        if isinstance(to, dict):
            yield from check_sum(to, place)
            yield from _check_once(service, to, place)


def _check_once(service: Service, to: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    for name in to:
        short = target(service.name, name).version
        if name != short and target(service.name, name) == Target(service.name, short) and short in to:
            yield Finding(
                (*location, name),
                f"{name} and {short} are the same version",
                "each version once in the weights of a rule",
                f"remove {name}, and give {short} both weights",
                shown(to),
            )


def _flow(weights: Mapping[str, int]) -> str:
    return f"{{{', '.join(f'{version}: {weight}' for version, weight in weights.items())}}}"


def _has_known_targets(rule: Any) -> bool:
    """Whether it is known which versions the rule names."""
    given = block(rule)
    ends = "redirect" in given or "directResponse" in given
    return isinstance(given.get("to"), (str, dict)) or (ends and "to" not in given)


def _is_rolled_out(rule: Any) -> bool:
    """Whether the rule has a rollout: then it names neither the version that gets its requests now nor idle ones."""
    return "rollout" in block(rule)


def _named(service: Service) -> Iterator[Named]:
    for index, rule in enumerate(entries(service.given.get("route"))):
        place, to = (*service.location, "route", index), block(rule).get("to")
        if isinstance(to, str):
            yield Named((*place, "to"), to, to, 100)
        came_from = block(rule).get("from")
        if isinstance(came_from, str):
            yield Named((*place, "from"), came_from, came_from, 100)
        for name, weight in block(to).items():
            yield Named((*place, "to", name), name, to, weight_given(weight) or 0)
        for number, mirror in enumerate(entries(block(rule).get("mirrors"))):
            copied_to = block(mirror).get("to")
            if isinstance(copied_to, str):
                yield Named((*place, "mirrors", number, "to"), copied_to, copied_to, None)


def _check_removed(view: View, service: Service, named: Named) -> Iterator[Finding]:
    """A service or version that the stack's file removes from a sample."""
    referenced = named.of(service)
    removed: Location = ("services", referenced.service)
    for location in (removed, (*removed, "versions", referenced.version)):
        found = still_named(view, location, named.location, f"give {service.name} a `route` of your own")
        if found is not None:
            yield found
            return


def _check_target(view: View, service: Service, named: Named) -> Iterator[Finding]:
    if not is_destination(named.name):
        return  # which is reported with its type
    referenced = named.of(service)
    if referenced.is_egress:
        yield from check_egress_target(view, referenced.version, named.location, named.given)
        return
    other = view.services.get(referenced.service)
    if other is None and view.is_unlisted("services", referenced.service):
        return
    if other is None:
        near = nearest(referenced.service, view.services)
        yield Finding(
            named.location,
            f"there is no service {referenced.service!r}{f'; the nearest is {near!r}' if near else ''}",
            f"<service>/<version> of a service of the stack: {', '.join(view.services)}",
            f"write {near}/{referenced.version}"
            if near
            else f"define {referenced.service} in {key_path(('services',))}",
            shown(named.given),
        )
        return
    if not isinstance(other.given.get("versions"), dict):
        return
    if referenced.version not in other.versions:
        yield _no_version(other, referenced, named)
        return
    pods = block(other.versions[referenced.version]).get("replicas")
    if named.weight and pods == 0 and is_count(pods) and not _has_empty_side(other):
        yield _no_pods(view, other, referenced, named)


def _has_empty_side(service: Service) -> bool:
    """Whether the idle version of blueGreen has no pods, which is reported whatever leads to it."""
    strategy = service.given.get("strategy")
    active = block(block(strategy).get("blueGreen")).get("active")
    idle = [block(given) for name, given in service.versions.items() if name != active]
    return is_blue_green(strategy) and any(given.get("replicas") == 0 for given in idle)


def _no_pods(view: View, service: Service, referenced: Target, named: Named) -> Finding:
    replicas: Location = (*service.location, "versions", referenced.version, "replicas")
    what = f"{named.name} has no pods (replicas 0): each of these requests would get 503"
    allowed = "a weight above 0 only for versions with replicas above 0"
    if view.is_given(replicas) and not view.is_given(named.location):
        route = key_path(named.location)
        return Finding(replicas, f"{what} ({route} of the sample)", allowed, "raise it, or write a `route`", shown(0))
    fix = f"raise {key_path(replicas)}, or send the requests to another version"
    return Finding(named.location, what, allowed, fix, shown(named.given))


def _no_version(service: Service, referenced: Target, named: Named) -> Finding:
    near = nearest(referenced.version, service.versions)
    prefix = named.name.removesuffix(referenced.version)
    return Finding(
        named.location,
        f"there is no version {named.name!r}{f'; the nearest is {prefix + near!r}' if near else ''}",
        f"the versions of {f'{service.name}' if prefix else 'the service'}: "
        f"{', '.join(service.versions) or 'none is defined'}",
        f"write {prefix}{near}"
        if near
        else f"define {referenced.version} in {key_path((*service.location, 'versions'))}",
        shown(named.given),
    )


def _check_all_named(view: View, service: Service, named: set[Target]) -> Iterator[Finding]:
    rules = entries(service.given.get("route"))
    if is_blue_green(service.given.get("strategy")):
        return  # it leads to both
    if not rules or not all(map(_has_known_targets, rules)) or any(map(_is_rolled_out, rules)):
        return
    unknown = {one.version for one in named if one.service == service.name} - service.versions.keys()
    misspelt = {nearest(version, service.versions) for version in unknown}  # reported where they are named
    for version in service.versions:
        if Target(service.name, version) not in named and version not in misspelt:
            place: Location = (*service.location, "versions", version)
            route: Location = (*service.location, "route")
            is_samples = not view.is_given(place) and view.is_given(route)
            yield Finding(
                route if is_samples else place,
                f"no rule of the route sends requests to {version if is_samples else 'this version'}",
                "every version is named by a rule, with a weight of 0 if it gets no requests",
                f"name it here, or write {key_path(place)}: null"
                if is_samples
                else f"name it in {key_path(route)}, or remove it",
            )
