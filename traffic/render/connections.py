"""Routes of connections: the matches of a VirtualService's `tcp` and `tls` lists
(https://istio.io/latest/docs/reference/config/networking/virtual-service/#L4MatchAttributes, #TLSMatchAttributes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


def connection_matches(rule: Rule, at: Place, references: Callable[[Sequence[str]], list[str]]) -> Iterator[Spec]:
    """Yield the matches of a rule; none if it takes every connection. `references` are the names of gateways there.

    Inside the mesh a match names the port, or it would take the connections to the service's further ports as well.
    """
    for match in rule.match or (EVERY_CONNECTION,):
        outside = [gateway for gateway in at.gateways if gateway != MESH]
        if match.port is not None or match.gateways or MESH not in at.gateways:
            yield from _some(_spec(match, at, references(match.gateways), match.port))
            continue
        if outside and not (match.source_labels or match.source_namespace):
            yield from _some(_spec(match, at, references(outside), None))
        inside = references([MESH]) if outside else []
        yield from _some(_spec(match, at, inside, at.service.port))


def _spec(match: Match, at: Place, gateways: list[str], port: int | None) -> Spec:
    """Istio requires server names in every match of a TLS route: all hosts, if the rule does not say which."""
    is_tls = at.service.route_kind is RouteKind.TLS
    spec: Spec = {
        "sniHosts": list(match.sni_hosts or at.hosts) if is_tls else [],
        "port": port,
        "sourceLabels": dict(sorted(match.source_labels.items())),
        "sourceNamespace": match.source_namespace,
        "gateways": gateways,
    }
    return {key: value for key, value in spec.items() if value}


def _some(spec: Spec) -> Iterator[Spec]:
    if spec:
        yield spec
