"""Shrinks a counterexample: removes parts as long as it stays a counterexample."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from tests.differential.cases import Case, routing
from tests.differential.wire import WireRequest
from traffic.model import MESH, RouteTable, ServiceRouting, target

AT_ONCE = 40
"""The number of candidates that are tried with one push."""

Remains = Callable[[Sequence[Case]], Sequence[bool]]
"""Returns for each case, of one table and one request, whether simulator and Envoy still disagree."""


def shrink(case: Case, remains: Remains, at_once: int = AT_ONCE) -> Case:
    """Return a minimal case with a disagreement: no further part can be removed."""
    smaller = True
    while smaller:
        smaller = False
        candidates = sorted(smaller_ones(case), key=size)
        for start in range(0, len(candidates), at_once):
            group = candidates[start : start + at_once]
            found = next((one for one, holds in zip(group, remains(group), strict=True) if holds), None)
            if found is not None:
                case, smaller = found, True
                break
    return case


def smaller_ones(case: Case) -> Iterator[Case]:
    """Yield the case without one part of its table or its request, for each part that can be removed."""
    (request,) = case.requests
    for table in _without_one(case.table):
        if is_valid(table):
            yield Case(table, (request,))
    for simpler in _simpler(request):
        yield Case(case.table, (simpler,))


def is_valid(table: dict[str, Any]) -> bool:
    """Whether the settings are valid and every destination exists."""
    if not table:
        return False
    try:
        routes = routing(table)
    except ValidationError:
        return False
    return all(map(_is_reachable, routes.values())) and _has_all_destinations(routes)


def _is_reachable(service: ServiceRouting) -> bool:
    outside = set(service.gateways) - {MESH}
    return bool(service.route and service.namespace and service.gateways and (service.hosts or not outside))


def _has_all_destinations(routes: RouteTable) -> bool:
    named = [
        target(name, destination)
        for name, service in routes.items()
        for rule in service.route
        for destination in (*rule.weights, *(mirror.to for mirror in rule.mirrors))
    ]
    return all(service in routes and version in routes[service].versions for service, version in named)


def size(case: Case) -> int:
    """The length of the case as text."""
    return len(json.dumps([case.table, [request.as_json() for request in case.requests]]))


def _without_one(node: Any) -> Iterator[Any]:
    """Yield the tree without one of its entries, for each entry of every mapping and list in it."""
    if isinstance(node, dict):
        for key in node:
            yield {other: value for other, value in node.items() if other != key}
            for smaller in _without_one(node[key]):
                yield {**node, key: smaller}
    elif isinstance(node, list):
        for index, entry in enumerate(node):
            yield [*node[:index], *node[index + 1 :]]
            for smaller in _without_one(entry):
                yield [*node[:index], smaller, *node[index + 1 :]]


def _simpler(request: WireRequest) -> Iterator[WireRequest]:
    content = request.as_json()
    for index in range(len(request.headers)):
        yield WireRequest.from_json({**content, "headers": [*request.headers[:index], *request.headers[index + 1 :]]})
    path = request.path.split("?")[0]
    for shorter in ("/", path, path[:-1]):
        if 0 < len(shorter) < len(request.path):
            yield WireRequest.from_json({**content, "path": shorter})
    if request.method != "GET":
        yield WireRequest.from_json({**content, "method": "GET"})
