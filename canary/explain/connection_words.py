"""Connections of TCP and TLS: the question about one from the command line, and words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.explain.explanation import Question
    from stacks.settings.model import Settings
    from traffic.simulate import Caller, Request


def connection_words(request: Request) -> str:
    """Return a connection in words: `TLS connection to port 443 for broker.example.com`."""
    whose = f" for {request.authority}" if request.authority and request.scheme == "tls" else ""
    to = f" to {request.authority}:{request.asked_port}" if request.caller else f" to port {request.asked_port}"
    return f"{request.scheme.upper()} connection{to}{'' if request.caller else whose}"


def connection_of(settings: Settings, question: Question, caller: Caller | None) -> Request:
    """Return the connection to simulate; raises CommandError for what a connection does not have."""
    from traffic.simulate import Request, entries

    service = settings.services[question.service]
    protocol = service.protocol.value
    for given, option in (
        (question.path != "/", question.path),
        (bool(question.headers), "--header"),
        (question.method is not None, "--request"),
        (question.https, "--https"),
    ):
        if given:
            raise CommandError(
                f"{option} has no effect: {question.service} speaks {protocol}, in which Envoy sees no requests",
                ExitCode.CONFIG,
                fix=f"ask about a connection: canary explain {question.service}, with --port, --from"
                + (" or --host for the server name (SNI)" if protocol == "TLS" else ""),
            )
    if caller is not None:
        host = question.host or f"{question.service}.{service.namespace}"
        scheme = service.route_kind.value
        return Request(authority=host, scheme=scheme, port=question.port or service.port, caller=caller)
    known = list(entries(question.service, service, settings.gateways))
    if not known:
        raise CommandError(
            f"{question.service} is not bound to a gateway that takes {protocol}",
            ExitCode.CONFIG,
            fix=f"name the caller inside the mesh: canary explain {question.service} --from <service>/<version>",
        )
    chosen = next((entry for entry in known if question.port in (None, entry.server.port)), known[0])
    domain = "" if chosen.domain == "*" else chosen.domain.replace("*", "any", 1)
    name = question.host or domain if chosen.scheme == "tls" else ""
    port = question.port or chosen.server.port
    return Request(authority=name, scheme=chosen.scheme, port=port, deployment=chosen.deployment)
