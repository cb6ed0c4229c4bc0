"""A request that meets exactly one rule of a route: what is sent through the gateway to measure that rule."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from traffic.candidates import candidate, text, token
from traffic.model import MESH, Match, Rule
from traffic.reach import EVERY_REQUEST, covered_by
from traffic.simulate import Entry, Request, Simulator, conditions, entries
from traffic.simulate.conditions import OF_PLACE

TRIES = 500
SAFE_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*(\?[\x21\x23-\x7e]*)?")


@dataclass(frozen=True)
class NoSample:
    """No request was found for a rule, and why; `inside` where only callers inside the mesh can meet it."""

    reason: str
    inside: bool = False


def sample_request(simulator: Simulator, service: str, index: int, *, seed: int = 0) -> Request | NoSample:
    """Return a request that meets the rule at `index` of `service` and no other, as it is sent to the gateway.

    The simplest is tried first (GET /, only the headers that are asked for), then random ones from `seed`, so that
    the same routes give the same request. Each is checked by the simulator, and can go over the wire as it is.
    """
    settings = simulator.routes[service]
    route, rule = settings.route, settings.route[index]
    cover = covered_by(route, index)
    if cover is not None:
        return NoSample(f"rule {cover + 1} takes every request that rule {index + 1} asks for")
    ways = list(_ways(simulator, service, rule))
    if not ways:
        return _not_outside(simulator, service, index)
    # Not for secrets: a fixed seed makes the same choice every time.
    rng = random.Random(seed)  # noqa: S311
    earlier = [match for before in route[:index] for match in before.match]
    named = any(match.authority or "host" in match.headers for match in (*earlier, *rule.match))
    try:
        for attempt in range(TRIES):
            entry, match = ways[attempt % len(ways)]
            plain = attempt < len(ways)
            request = candidate([match], earlier, _at(entry, match, named, rng, plain), rng, plain)
            if _can_be_sent(request) and _meets(simulator, service, index, request):
                return request
    except re.error as error:
        return NoSample(f"no value can be made up for a regular expression of rule {index + 1}: {error}")
    return NoSample(f"{TRIES} requests were tried and none meets rule {index + 1} and no rule before it")


def _ways(simulator: Simulator, service: str, rule: Rule) -> Iterator[tuple[Entry, Match]]:
    """The ways into the service where a match of the rule can hold, those of plain HTTP first."""
    ways = [
        entry for entry in entries(service, simulator.routes[service], simulator.gateways) if not entry.server.redirects
    ]
    for entry in sorted(ways, key=lambda entry: entry.scheme):
        seen = Request(port=entry.server.port).seen
        assert seen is not None
        placed = seen.at(entry.gateway, simulator.proxy)
        for match in rule.match or (EVERY_REQUEST,):
            if all(condition.holds(placed) for condition in conditions(match) if condition.kind in OF_PLACE):
                yield entry, match


def _not_outside(simulator: Simulator, service: str, index: int) -> NoSample:
    settings = simulator.routes[service]
    if all(gateway == MESH for gateway in settings.gateways):
        return NoSample("the route holds inside the mesh alone, and requests are measured at the gateway", inside=True)
    matches = settings.route[index].match
    if any(match.source_labels or match.source_namespace or MESH in match.gateways for match in matches):
        why = f"rule {index + 1} holds for callers inside the mesh, and requests are measured at the gateway"
        return NoSample(why, inside=True)
    return NoSample(f"rule {index + 1} asks for a gateway or a port that the service is not at")


def _at(entry: Entry, match: Match, named: bool, rng: random.Random, plain: bool) -> Request:
    """A request at the entry, for one of its hosts; of many one that begins as the match asks.

    Where every host is taken none is named, so that the gateway's own address is sent; unless rules look at the host.
    """
    first = "canary-verify" if plain else token(rng)
    if match.authority is not None and match.authority.exact is None:
        first = text([match.authority], rng, plain).rstrip(".")
    authority = entry.domain.replace("*", first, 1)
    if entry.domain == "*":
        authority = f"{first}.invalid" if named else ""
    return Request(authority=authority, scheme=entry.scheme, port=entry.server.port)


def _meets(simulator: Simulator, service: str, index: int, request: Request) -> bool:
    decision = simulator.decide(request)
    return decision.service == service and decision.index == index and not decision.sticks


def _can_be_sent(request: Request) -> bool:
    """Whether HTTP clients and Envoy pass the request on unchanged (no path that Envoy would normalise)."""
    return (
        SAFE_PATH.fullmatch(request.path) is not None
        and not re.search(r"/\.{1,2}(/|$)|//", request.path.split("?")[0])
        and all(re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value) for _, value in request.pairs)
        and re.fullmatch(r"[\x21-\x7e]*", request.authority) is not None
    )
