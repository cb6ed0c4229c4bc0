"""Whether a service allows the caller of a request, by the stack's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Identity, Request


def is_caller_allowed(settings: Settings, name: str, request: Request) -> bool | None:
    """Return whether the pods of the service `name` allow the request; None if only they can know.

    A caller outside the mesh reaches them through the gateway, whose identity they see.
    """
    from traffic.addresses import at_pods
    from traffic.model import Mtls
    from traffic.simulate import is_allowed

    service = settings.services.get(name)
    if service is None:
        return True
    around = settings.namespaces.get(service.namespace)
    closed = settings.mesh.deny_by_default or bool(around and around.deny_by_default)
    rules = service.authorization and at_pods(service.authorization, settings.mesh.gateway.namespace)
    allowed = is_allowed(rules, closed, _identity(settings, request), request.method)
    mode = (service.mtls and service.mtls.mode) or (around and around.mtls) or settings.mesh.mtls
    policy = service.traffic_policy
    # Without mutual TLS a caller has no identity; whether it has is not known where ports or callers decide.
    is_sure = mode is not Mtls.DISABLE and not (service.mtls and service.mtls.port_level_mtls)
    is_sure = is_sure and not (policy and policy.tls)
    if service.authorization is not None and not is_sure:
        return None
    return None if allowed and service.jwt else allowed


def denial(settings: Settings, name: str) -> str:
    """Return why the service denies a request, in words."""
    from stacks.settings.problems import key_path

    authorization = settings.services[name].authorization
    if authorization is None:
        return "it has no authorization, and denyByDefault denies what none allows"
    return f"{key_path(('services', name, 'authorization'))} does not allow the request"


def _identity(settings: Settings, request: Request) -> Identity:
    from stacks.gateway_pods import gateway_that_gets
    from traffic.simulate import Identity

    caller = request.caller
    if caller is None:
        return Identity(gateway_that_gets(settings, request).namespace, None)
    app = caller.labels.get("app", "")
    service = settings.services.get(app)
    is_known = service is not None and service.namespace == caller.namespace
    return Identity(caller.namespace, service.account(app) if service is not None and is_known else None)
