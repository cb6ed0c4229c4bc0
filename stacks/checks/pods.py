"""Checks of versions and their pods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.pod_counts import key_of_count, least_pods
from stacks.checks.view import Service, View, block, is_count
from stacks.settings.fields import amount
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import version_label

LONGEST_LABEL = 63
LONGEST_WAIT = 3600
"""The most that minReadySeconds and readyWithin may be."""


def check(view: View) -> Iterator[Finding]:
    """Yield contradictions between the keys of a version, and with how long `up` waits for it."""
    longest = ready_within(view)
    for service in view.services.values():
        for version, given in service.deployed.items():
            place = (*service.location, "versions", version)
            yield from _check_label(service, version, place)
            yield from check_resources(block(block(given).get("resources")), (*place, "resources"))
            yield from check_ready(block(given).get("minReadySeconds"), longest, (*place, "minReadySeconds"))
            yield from _check_budget(service, version, place)


def _check_label(service: Service, version: str, place: Location) -> Iterator[Finding]:
    label = version_label(service.name, version)
    if max(len(service.name), len(version)) <= LONGEST_LABEL < len(label):
        yield Finding(
            place,
            f"the label `version` of its pods, {label!r}, has {len(label)} characters",
            f"<service>-<version> with at most {LONGEST_LABEL} characters in total",
            "shorten the name of the version or of the service",
        )


def check_resources(resources: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    """Yield requests above their limits; `location` is that of `resources`."""
    limits = block(resources.get("limits"))
    for name, request in block(resources.get("requests")).items():
        limit = limits.get(name)
        try:
            if limit is None or amount(str(request)) <= amount(str(limit)):
                continue
        except ArithmeticError:
            continue
        yield Finding(
            (*location, "requests", name),
            f"the request {request} is above the limit {limit}",
            "a request that does not exceed the limit",
            f"lower the request to {limit}, or raise the limit",
            shown(request),
        )


def _check_budget(service: Service, version: str, place: Location) -> Iterator[Finding]:
    """A budget that allows no eviction keeps a node with such a pod from ever being drained."""
    given = block(service.versions[version])
    own = "podDisruptionBudget" in given
    budget = block((given if own else service.given).get("podDisruptionBudget"))
    replicas, count = least_pods(given), key_of_count(given)
    if not replicas:
        return
    is_scaled = count == "minReplicas"
    for limit in ("minAvailable", "maxUnavailable"):
        pods = _pods(budget.get(limit), replicas)
        if pods is not None and (pods == 0 if limit == "maxUnavailable" else pods >= replicas):
            more = "minReplicas: 2" if is_scaled else "at least 2 replicas"
            yield Finding(
                (*(place if own else service.location), "podDisruptionBudget", limit),
                f"none of the {replicas} pods of {version} may be evicted"
                f"{' while it has its minReplicas' if is_scaled else ''}, so a node with one cannot be drained",
                "a budget that allows one eviction",
                f"write maxUnavailable: 1 with {more}" if replicas == 1 else "write maxUnavailable: 1",
                shown(budget[limit]),
            )


def _pods(limit: Any, replicas: int) -> int | None:
    """A limit in pods, None if it is malformed; Kubernetes rounds percentages up."""
    if isinstance(limit, str) and limit.endswith("%") and limit[:-1].isdecimal():
        return math.ceil(int(limit[:-1]) * replicas / 100)
    return limit if is_count(limit) else None


def ready_within(view: View) -> Any:
    """Return how many seconds `up` waits for a Deployment, as given."""
    return view.values.get("readyWithin", Settings.model_fields["ready_within"].default)


def check_ready(seconds: Any, longest: Any, location: Location) -> Iterator[Finding]:
    """A Deployment is available after `minReadySeconds` at the earliest, and `up` waits at most `longest` for it."""
    # More than is allowed at all is reported with its type.
    if is_count(seconds) and is_count(longest) and longest <= seconds <= LONGEST_WAIT:
        yield Finding(
            location,
            f"`up` waits {longest} s (readyWithin), but no pod is available before {seconds} s",
            f"a whole number below {key_path(('readyWithin',))}, which is {longest}",
            "lower it" + (f", or raise {key_path(('readyWithin',))} above {seconds}" if seconds < LONGEST_WAIT else ""),
            shown(seconds),
        )
