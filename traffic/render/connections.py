"""Routes of connections: the matches of a VirtualService's `tcp` and `tls` lists
(https://istio.io/latest/docs/reference/config/networking/virtual-service/#L4MatchAttributes, #TLSMatchAttributes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from traffic.model import MESH, Match, RouteKind, Rule, ServiceRouting
from traffic.render.spec import Spec

EVERY_CONNECTION = Match.model_construct()
"""The match of a rule without `match`."""


@dataclass(frozen=True)
class Place:
    """The VirtualService that a rule is rendered for: the service, and its hosts and gateways there."""

    service: ServiceRouting
    hosts: Sequence[str]
    gateways: Sequence[str]


def connection_matches(
    rule: Rule, at: Place, references: Callable[[Sequence[str]], list[str]], taken: AbstractSet[str] = frozenset()
) -> Iterator[Spec]:
    """Yield the matches of a rule; none if it takes every connection. `references` are the names of gateways there.

    Inside the mesh a match names the port, or it would take the connections to the service's further ports as well.
    `taken` are server names that earlier rules have.
    """
    for match in rule.match or (EVERY_CONNECTION,):
        for name in _server_names(match, at, taken):
            yield from _matches(match, name, at, references)


def server_names_taken(rule: Rule, at: Place) -> frozenset[str]:
    """Return the server names that a rule has wherever the connection comes from, so that no later one gets them."""
    always = (match for match in rule.match or (EVERY_CONNECTION,) if not _is_of_place(match))
    return frozenset(name for match in always for name in _server_names(match, at, frozenset()) if name)


def _is_of_place(match: Match) -> bool:
    return bool(match.port or match.gateways or match.source_labels or match.source_namespace)


def _server_names(match: Match, at: Place, taken: AbstractSet[str]) -> Sequence[str | None]:
    """Istio requires server names in every match of a TLS route: all hosts, if the rule does not say which.

    Each is a match of its own. Of a match with several names istiod would drop all, if an earlier one has any of them
    (measured).
    """
    if at.service.route_kind is not RouteKind.TLS:
        return [None]
    names = match.sni_hosts or tuple(at.hosts)
    return [name for name in names if name not in taken] or names


def _matches(
    match: Match, name: str | None, at: Place, references: Callable[[Sequence[str]], list[str]]
) -> Iterator[Spec]:
    outside = [gateway for gateway in at.gateways if gateway != MESH]
    if match.port is not None or match.gateways or MESH not in at.gateways:
        yield from _some(_spec(match, name, references(match.gateways), match.port))
        return
    if outside and not (match.source_labels or match.source_namespace):
        yield from _some(_spec(match, name, references(outside), None))
    yield from _some(_spec(match, name, references([MESH]) if outside else [], at.service.port))


def _spec(match: Match, name: str | None, gateways: list[str], port: int | None) -> Spec:
    spec: Spec = {
        "sniHosts": [name] if name is not None else [],
        "port": port,
        "sourceLabels": dict(sorted(match.source_labels.items())),
        "sourceNamespace": match.source_namespace,
        "gateways": gateways,
    }
    return {key: value for key, value in spec.items() if value}


def _some(spec: Spec) -> Iterator[Spec]:
    if spec:
        yield spec
