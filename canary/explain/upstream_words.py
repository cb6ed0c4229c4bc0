"""What Envoy speaks to the destinations of a request, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Decision, Forwarded, Share, Upstream

GRPC_HEADERS = (("content-type", "application/grpc"), ("te", "trailers"))
"""Headers of every gRPC request (gRPC: "gRPC over HTTP2")."""


def upstream_protocols(settings: Settings, decision: Decision, outcome: Forwarded) -> dict[str, str]:
    """Return what Envoy speaks to each destination: `HTTP/1.1`, `HTTP/2` or `the client's protocol`.

    Other Services are left out: whoever makes them decides. Inside the mesh a request keeps its port on the way to the
    service's own versions.
    """
    found = ((share.destination, _spoken(settings, decision, share)) for share in outcome.shares)
    return {destination: spoken.value for destination, spoken in found if spoken is not None}


def _spoken(settings: Settings, decision: Decision, share: Share) -> Upstream | None:
    from traffic.simulate import upstream
    from traffic.simulate.upstream import is_service, upstream_of_egress

    if share.target.is_egress:
        return upstream_of_egress(share.target, settings.egress)
    if is_service(settings.services, share.target):
        return None
    port = decision.request.asked_port if decision.request.caller else None
    return upstream(settings.services, share.target, port if share.target.service == decision.service else None)


def upstream_sentence(settings: Settings, decision: Decision, outcome: Forwarded) -> str:
    """Return the sentence about it; empty for plain HTTP, and for requests at which it makes no difference."""
    from traffic.simulate import Upstream, is_grpc
    from traffic.simulate.upstream import has_pods

    found = upstream_protocols(settings, decision, outcome)
    plain = [name for name, protocol in found.items() if protocol == Upstream.HTTP1]
    all_pods = all(has_pods(settings.services, share.target) for share in outcome.shares)
    others = {name: protocol for name, protocol in found.items() if protocol != Upstream.HTTP1}
    to = "the pods" if all_pods else " and ".join(others)
    if not is_grpc(decision.request):
        return f"Envoy speaks {' or '.join(sorted(set(others.values())))} to {to}." if others else ""
    if plain:
        return (
            f"Envoy speaks HTTP/1.1 to {' and '.join(plain)}: a gRPC server refuses that, and the caller gets "
            "UNAVAILABLE or INTERNAL (protocol: GRPC makes it HTTP/2)."
        )
    return f"Envoy speaks HTTP/2 to {to}, as gRPC needs." if others else ""
