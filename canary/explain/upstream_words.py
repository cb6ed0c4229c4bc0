"""What Envoy speaks to the versions that get a request, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traffic.model import RouteTable
    from traffic.simulate import Decision, Forwarded

GRPC_HEADERS = (("content-type", "application/grpc"), ("te", "trailers"))
"""Headers of every gRPC request (gRPC: "gRPC over HTTP2")."""


def upstream_protocols(routes: RouteTable, decision: Decision, outcome: Forwarded) -> dict[str, str]:
    """Return what Envoy speaks to the pods of each destination: `HTTP/1.1`, `HTTP/2` or `the client's protocol`.

    Other Services and hosts outside are left out: whoever makes them decides. Inside the mesh a request keeps its port
    on the way to the service's own versions.
    """
    from traffic.simulate import upstream
    from traffic.simulate.upstream import has_pods

    port = decision.request.asked_port if decision.request.caller else None
    return {
        share.destination: upstream(
            routes, share.target, port if share.target.service == decision.service else None
        ).value
        for share in outcome.shares
        if has_pods(routes, share.target)
    }


def upstream_sentence(routes: RouteTable, decision: Decision, outcome: Forwarded) -> str:
    """Return the sentence about it; empty for plain HTTP, and for requests at which it makes no difference."""
    from traffic.simulate import Upstream, is_grpc

    found = upstream_protocols(routes, decision, outcome)
    plain = [name for name, protocol in found.items() if protocol == Upstream.HTTP1]
    if not is_grpc(decision.request):
        others = {protocol for protocol in found.values() if protocol != Upstream.HTTP1}
        return f"Envoy speaks {' or '.join(sorted(others))} to the pods." if others else ""
    if plain:
        return (
            f"Envoy speaks HTTP/1.1 to {' and '.join(plain)}: a gRPC server refuses that, and the caller gets "
            "UNAVAILABLE or INTERNAL (protocol: GRPC makes it HTTP/2)."
        )
    return "Envoy speaks HTTP/2 to the pods, as gRPC needs."
