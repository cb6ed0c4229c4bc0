"""Requests of gRPC: how a rule of a gRPC service is measured without knowing its methods.

A gRPC server answers every call with HTTP 200; the status of the call is in a header or trailer of its own. A method
that it does not have is UNIMPLEMENTED, which shows as well as any other answer which version it came from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from canary.explain.upstream_words import GRPC_HEADERS

if TYPE_CHECKING:
    from traffic.simulate import Decision, Request, Simulator

ANSWERED = ("0", "12")
"""OK and UNIMPLEMENTED: the statuses of calls that a server has answered."""


def as_grpc(simulator: Simulator, decision: Decision) -> Request:
    """Return the decision's request as a call of gRPC if it goes to gRPC services and the same rule decides that."""
    from traffic.model import ServiceProtocol
    from traffic.simulate import Forwarded

    outcome, request = decision.outcome, decision.request
    if not isinstance(outcome, Forwarded):
        return request
    called = [share.target for share in outcome.shares if not share.target.is_egress]
    protocols = {simulator.routes[target.service].protocol for target in called}
    if protocols != {ServiceProtocol.GRPC}:
        return request
    named = {name.lower() for name, _ in request.pairs}
    headers = (*request.pairs, *((name, value) for name, value in GRPC_HEADERS if name not in named))
    call = replace(request, headers=headers, method="POST" if request.method == "GET" else request.method)
    return call if simulator.decide(call).index == decision.index else request
