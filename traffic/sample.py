"""A request that meets exactly one rule of a route, to be sent through the gateway to measure that rule."""

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
    """Why no request was found for a rule; `inside` if only callers inside the mesh can meet it."""

    reason: str
    inside: bool = False


def sample_request(
    simulator: Simulator, service: str, index: int, *, seed: int = 0, path: str = "/"
) -> Request | NoSample:
    """Return a request to the gateway that meets the rule at `index` of `service` and no other.

    The simplest request is tried first (GET, only the headers that are required, and `path` if the rule leaves it
    open), then random ones from `seed`, so that the same routes give the same request. It is verified by the simulator,
    and can be sent unchanged.
    """
    settings = simulator.routes[service]
    route, rule = settings.route, settings.route[index]
    cover = covered_by(route, index)
    if cover is not None:
        return NoSample(f"rule {cover + 1} matches every request that rule {index + 1} would match")
    ways = [way for way in _ways(simulator, service, rule) if not way[1].claims]
    if not ways and any(match.claims for match in rule.match):
        return NoSample(f"rule {index + 1} requires a token, which only its issuer can sign")
    if not ways:
        return _not_outside(simulator, service, index)
    # Not for secrets: a fixed seed makes the result reproducible.
    rng = random.Random(seed)  # noqa: S311
    earlier = [match for before in route[:index] for match in before.match]
    named = any(match.authority or "host" in match.headers for match in (*earlier, *rule.match))
    try:
        for attempt in range(TRIES):
            entry, match = ways[attempt % len(ways)]
            plain = attempt < len(ways)
            request = candidate([match], earlier, _at(entry, match, named, rng, plain, path), rng, plain)
            if _can_be_sent(request) and _meets(simulator, service, index, request):
                return request
    except re.error as error:
        return NoSample(f"no value can be generated for a regular expression of rule {index + 1}: {error}")
    return NoSample(f"{TRIES} requests were tried, and none meets rule {index + 1} without meeting an earlier rule")


def _ways(simulator: Simulator, service: str, rule: Rule) -> Iterator[tuple[Entry, Match]]:
    """The entries of the service where a match of the rule can hold, plain HTTP first."""
    ways = [
        entry for entry in entries(service, simulator.routes[service], simulator.gateways) if not entry.server.redirects
    ]
    for entry in sorted(ways, key=lambda entry: entry.scheme):
        seen = Request(port=entry.server.port).seen
        assert seen is not None
        placed = seen.at(entry.gateway, simulator.proxy_of(entry.gateway))
        for match in rule.match or (EVERY_REQUEST,):
            if all(condition.holds(placed) for condition in conditions(match) if condition.kind in OF_PLACE):
                yield entry, match


def _not_outside(simulator: Simulator, service: str, index: int) -> NoSample:
    settings = simulator.routes[service]
    if all(gateway == MESH for gateway in settings.gateways):
        return NoSample("the route only applies inside the mesh, and requests are measured at the gateway", inside=True)
    matches = settings.route[index].match
    if any(match.source_labels or match.source_namespace or MESH in match.gateways for match in matches):
        why = f"rule {index + 1} applies to callers inside the mesh, and requests are measured at the gateway"
        return NoSample(why, inside=True)
    return NoSample(f"rule {index + 1} requires a gateway or port at which the service has no route")


def _at(entry: Entry, match: Match, named: bool, rng: random.Random, plain: bool, path: str) -> Request:
    """A request at the entry, for one of its hosts; for a wildcard, one that begins as the match requires.

    If every host is accepted, none is set, so that the gateway's own address is sent, unless rules match on the host.
    """
    first = "canary-verify" if plain else token(rng)
    if match.authority is not None and match.authority.exact is None:
        first = text([match.authority], rng, plain).rstrip(".")
    authority = entry.domain.replace("*", first, 1)
    if entry.domain == "*":
        authority = f"{first}.invalid" if named else ""
    return Request(
        authority=authority, scheme=entry.scheme, port=entry.server.port, path=path, deployment=entry.deployment
    )


def _meets(simulator: Simulator, service: str, index: int, request: Request) -> bool:
    decision = simulator.decide(request)
    return decision.service == service and decision.index == index and not decision.sticks


def _can_be_sent(request: Request) -> bool:
    """Whether HTTP clients and Envoy forward the request unchanged (no path that Envoy would normalise)."""
    return (
        SAFE_PATH.fullmatch(request.path) is not None
        and not re.search(r"/\.{1,2}(/|$)|//", request.path.split("?")[0])
        and all(re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value) for _, value in request.pairs)
        and re.fullmatch(r"[\x21-\x7e]*", request.authority) is not None
    )
