"""Rules on the routes: where requests go, and how a new version gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.mesh import (
    Destination,
    HttpRoute,
    all_routes,
    http_routes,
    is_deployed_elsewhere,
    is_number,
    pods_of,
    replicas,
    services,
    subsets,
)
from policies.resource import UNKNOWN, Resources, items, mapping
from policies.rule import PROD, Context, Enforcement, Parameter, Problem, Rule, Severity
from traffic.fields import seconds
from traffic.proportions import DECIMALS, SUMS, number_words, percent_words, percentages
from traffic.sticky import sticky_cookie

LARGEST_STEP = 25
MOST_REQUESTS = 4
LONGEST_SECONDS = 30
ISTIOS_ATTEMPTS = 2
"""Retries of a route that says nothing about them (Istio: VirtualService, HTTPRetry)."""
Weights = dict[str, float]


def weights_sum_to_100(context: Context) -> Iterator[Problem]:
    """The weights of a route's destinations are percentages, or parts of a greater power of ten."""
    for route in all_routes(context.resources):
        weights = [destination.weight for destination in route.destinations]
        if weights and all(is_number(weight) for weight in weights) and sum(weights) not in SUMS:
            yield Problem(
                route.virtual_service,
                f"the weights of {route.place} are {' + '.join(map(str, weights))} = {sum(weights)}",
                "change them so that their sum is 100, or 1000, 10000, 100000 or 1000000 for smaller shares",
            )


def versions_exist(context: Context) -> Iterator[Problem]:
    """Every destination of a service of the stack is a declared subset with a workload that has its labels."""
    for destination in _all_destinations(context.resources):
        service = destination.service
        if service is None or service not in services(context.resources):
            continue
        found = pods_of(context.resources, service, destination.subset)
        if found or is_deployed_elsewhere(context.resources, service, destination.subset):
            continue
        what = (
            f"no DestinationRule of the service declares the subset {destination.subset}"
            if found is None
            else "no Deployment has pods with its labels"
        )
        yield Problem(
            destination.route.virtual_service,
            f"{destination.route.place} sends requests to {destination.words}, but {what}",
            "add the version, or send the requests to one that exists",
        )


def versions_have_pods(context: Context) -> Iterator[Problem]:
    """A version that gets requests has pods: its requests would fail with 503."""
    for destination in _all_destinations(context.resources):
        if not destination.gets_requests or destination.service is None:
            continue
        found = pods_of(context.resources, destination.service, destination.subset)
        if found and all(replicas(context.resources, workload) == 0 for workload in found):
            yield Problem(
                destination.route.virtual_service,
                f"{destination.route.place} sends requests to {destination.words}, which has 0 replicas",
                "give the version replicas, or send it no requests",
            )


def _all_destinations(resources: Resources) -> Iterator[Destination]:
    for route in all_routes(resources):
        yield from route.destinations
        yield from route.mirrors


def weight_step(context: Context) -> Iterator[Problem]:
    """How much weight moves, in one change, to a version from those declared before it; back is always allowed."""
    largest = context.parameters["largestStep"]
    before = {_key(route): _weights(route) for route in all_routes(context.before or Resources(()))}
    for route in all_routes(context.resources):
        now, earlier = _weights(route), before.get(_key(route))
        if not earlier:
            continue
        declared = _declared(context.resources, route)
        order = [*(version for version in earlier if version not in declared), *declared]  # a removed one was older
        for index, version in enumerate(order):
            gained = now.get(version, 0) - earlier.get(version, 0)
            lost = sum(max(earlier.get(one, 0) - now.get(one, 0), 0) for one in order[:index])
            step = round(min(gained, lost), DECIMALS)
            if step > largest:
                yield Problem(
                    route.virtual_service,
                    f"the weight of {version} in {route.place} goes from {number_words(earlier.get(version, 0))} to "
                    f"{number_words(now.get(version, 0))} in one change, of which {number_words(step)} come from older "
                    f"versions; at most {largest} are allowed",
                    f"go to {number_words(earlier.get(version, 0) + largest)} first",
                )


def _key(route: HttpRoute) -> tuple[str, str]:
    """What tells a route apart from the others before and after a change: its VirtualService and its matches."""
    return route.virtual_service.path, json.dumps(route.spec.get("match"), sort_keys=True)


def _weights(route: HttpRoute) -> Weights:
    """Percentages by version, of one service; empty if one of the weights is not known."""
    weights: Weights = {}
    for destination in route.destinations:
        if not is_number(destination.weight):
            return {}
        weights[destination.subset or destination.words] = destination.weight
    return percentages(weights)


def _declared(resources: Resources, route: HttpRoute) -> list[str]:
    """The versions of the route's service in the order of the DestinationRule, then those that it does not have."""
    declared = [
        str(subset.get("name"))
        for service in {destination.service for destination in route.destinations if destination.service}
        for subset in subsets(resources).get(service, ())
    ]
    return [*declared, *(version for version in _weights(route) if version not in declared)]


def cohort_before_weight(context: Context) -> Iterator[Problem]:
    """A version that gets a smaller share of all requests is first reached by a header, by testers."""
    for route in http_routes(context.resources):
        weighted = [one for one in route.destinations if one.gets_requests]
        if len(weighted) < 2:
            continue
        most = max(weighted, key=lambda one: one.weight)
        for destination in weighted:
            if destination is most or _has_cohort(context.resources, destination):
                continue
            if context.before is not None and _was_tried(context.before, destination):
                continue
            yield Problem(
                route.virtual_service,
                f"{route.place} sends {_percent(destination, weighted)} of all requests to {destination.words}, which "
                "no rule with a header has sent any to before",
                "add a rule before it, such as {match: [{headers: {x-tester: {present: true}}}], to: …}",
            )


def _percent(destination: Destination, all_of: Sequence[Destination]) -> str:
    return percent_words(100 * destination.weight / sum(one.weight for one in all_of))


def _has_cohort(resources: Resources, tried: Destination) -> bool:
    """Whether an earlier route of the same VirtualService sends requests with a header to this version alone."""
    cookies = _cookies_of(tried.route)
    return any(
        route.virtual_service.urn == tried.route.virtual_service.urn
        and route.index < tried.route.index
        and [one for one in route.destinations if one.gets_requests and one.spec == tried.spec]
        and len([one for one in route.destinations if one.gets_requests]) == 1
        and any(_is_cohort(match, cookies) for match in items(route.spec.get("match")))
        for route in http_routes(resources)
    )


def _was_tried(before: Resources, tried: Destination) -> bool:
    """Whether the version got requests before the change, by a header or by weight."""
    return any(
        destination.gets_requests and (destination.service, destination.subset) == (tried.service, tried.subset)
        for route in http_routes(before)
        if route.virtual_service.path == tried.route.virtual_service.path
        for destination in route.destinations
    )


def _cookies_of(route: HttpRoute) -> set[str]:
    """The cookies with which a sticky route keeps users on their version; they are no testers."""
    set_by = (mapping(one, "headers", "response", "add").get("set-cookie") for one in items(route.spec.get("route")))
    return {cookie for value in set_by if isinstance(value, str) and (cookie := sticky_cookie(value))}


def _is_cohort(match: Mapping[str, Any], sticky: set[str]) -> bool:
    headers = mapping(match, "headers")
    others = [name for name in headers if name != "cookie"]
    pattern = str(mapping(headers, "cookie").get("regex") or mapping(headers, "cookie").get("exact") or "")
    name = pattern.removeprefix("(.*;\\s*)?").partition("=")[0].replace("\\", "")
    return bool(others) or (bool(pattern) and name not in sticky)


def hosts_not_open(context: Context) -> Iterator[Problem]:
    """Hosts are named: `*` also takes requests that are meant for others."""
    for resource in context.resources.of_kind("VirtualService", "Gateway", "Ingress"):
        for place, host in _hosts(resource.kind, resource.spec):
            if host in ("*", "") or (resource.kind == "Gateway" and host.endswith("/*")):
                yield Problem(
                    resource, f"{place} has the host {host or '*'!r}", "name the hosts, such as www.example.com"
                )


def _hosts(kind: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if kind == "VirtualService":
        yield from (("hosts", host) for host in spec.get("hosts") or () if isinstance(host, str))
    elif kind == "Gateway":
        for index, server in enumerate(items(spec.get("servers"))):
            yield from ((f"servers[{index}]", host) for host in server.get("hosts") or () if isinstance(host, str))
    else:
        yield from (
            (f"rules[{index}]", str(rule.get("host", ""))) for index, rule in enumerate(items(spec.get("rules")))
        )


def retries_bounded(context: Context) -> Iterator[Problem]:
    """One request becomes at most so many, and they do not take longer in total than a bound.

    Every hop of a chain of calls multiplies them: three hops with two retries each make 27 requests of one.
    """
    most, longest = context.parameters["mostRequests"], context.parameters["longestSeconds"]
    for route in http_routes(context.resources):
        retries = mapping(route.spec, "retries")
        attempts = retries.get("attempts", ISTIOS_ATTEMPTS)
        if not route.destinations or not is_number(attempts):
            continue
        requests, per_try = attempts + 1, _seconds(retries.get("perTryTimeout"))
        if requests > most:
            yield Problem(
                route.virtual_service,
                f"{route.place} makes up to {requests} requests of one (attempts {attempts}); allowed are {most}",
                f"write attempts: {most - 1}, or fewer",
            )
        timeout = _seconds(route.spec.get("timeout"))
        tries = None if per_try is None else requests * per_try
        # The timeout is a deadline over all tries.
        total = tries if tries is None or timeout is None else min(tries, timeout)
        if total is not None and total > longest:
            yield Problem(
                route.virtual_service,
                f"{route.place} tries up to {requests} times {per_try:g} s, {total:g} s in total; at most {longest} s "
                "are allowed",
                f"lower attempts or perTryTimeout, or set a timeout of at most {longest}s",
            )


def _seconds(duration: Any) -> float | None:
    """A duration in seconds, None if there is none; 0 is Istio's word for none."""
    if not isinstance(duration, str) or duration == UNKNOWN:
        return None
    return seconds(duration) or None


def timeouts_set(context: Context) -> Iterator[Problem]:
    """A route to pods has a timeout: by default Istio waits for ever."""
    for route in http_routes(context.resources):
        if route.destinations and route.spec.get("timeout") != UNKNOWN and _seconds(route.spec.get("timeout")) is None:
            yield Problem(route.virtual_service, f"{route.place} has no timeout", "write timeout: 15s, for example")


RULES = (
    Rule(
        name="weights-sum-to-100",
        check=weights_sum_to_100,
        severity=Severity.CRITICAL,
        description="The weights of a route sum to 100, or to a greater power of ten.",
    ),
    Rule(
        name="versions-exist",
        check=versions_exist,
        severity=Severity.CRITICAL,
        description="Every version that a route sends requests to is declared as a subset and has a Deployment.",
    ),
    Rule(
        name="versions-have-pods",
        check=versions_have_pods,
        severity=Severity.CRITICAL,
        description="A version that gets requests has at least one replica.",
    ),
    Rule(
        name="weight-step",
        check=weight_step,
        severity=Severity.HIGH,
        description="In one change, at most so much weight moves to a newer version.",
        stacks=PROD,
        needs_before=True,
        parameters={
            "largestStep": Parameter(
                schema={"type": "number", "minimum": 1, "maximum": 100},
                default=LARGEST_STEP,
                description="Percentage points that a newer version may gain in one change.",
            )
        },
    ),
    Rule(
        name="cohort-before-weight",
        check=cohort_before_weight,
        severity=Severity.HIGH,
        description="A new version is reached by a header before it gets a share of all requests.",
        stacks=PROD,
    ),
    Rule(
        name="hosts-not-open",
        check=hosts_not_open,
        severity=Severity.HIGH,
        description="Hosts are named and not *.",
        stacks=PROD,
    ),
    Rule(
        name="retries-bounded",
        check=retries_bounded,
        severity=Severity.MEDIUM,
        description="Retries do not multiply requests, or take in total longer, beyond a bound.",
        # Many quick tries within a deadline are what some services want, and the bound is a guess about them.
        enforcement=Enforcement.ADVISORY,
        parameters={
            "mostRequests": Parameter(
                schema={"type": "integer", "minimum": 1},
                default=MOST_REQUESTS,
                description="Requests that a route may make of one: attempts + 1.",
            ),
            "longestSeconds": Parameter(
                schema={"type": "number", "minimum": 1},
                default=LONGEST_SECONDS,
                description="Seconds that all tries of a request may take: (attempts + 1) times perTryTimeout.",
            ),
        },
    ),
    Rule(
        name="timeouts-set",
        check=timeouts_set,
        severity=Severity.MEDIUM,
        description="Every route has a timeout.",
        enforcement=Enforcement.ADVISORY,
        stacks=PROD,
    ),
)
