"""Who may call what, in the stack's order: policies at the gateway, of services, of namespaces and of the mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi

from components.gateway_policies import GatewayPolicies
from components.security_policies import SecurityPolicies, SecurityPoliciesArgs
from stacks.gateway_policies import gateway_policies
from stacks.settings.model import Settings
from traffic.addresses import at_pods
from traffic.model import MutualTls, NamespaceSecurity, gateway_selector

NamespaceOf = Callable[[str], pulumi.Input[str]]
"""The namespace's name, an output if the stack manages it."""

InMesh = Callable[..., pulumi.ResourceOptions]
"""Options of resources that need Istio's CRDs; created after the resources that are given."""


def build_gateway_policies(settings: Settings, namespace: NamespaceOf, in_mesh: InMesh) -> dict[str, GatewayPolicies]:
    """Return the policies at the gateway by service.

    Created before the services' own policies, which let in what the gateway does not deny, and before routes.
    """
    return {
        name: GatewayPolicies(f"{name}-gateway-security", args, in_mesh())
        for name, args in gateway_policies(settings, namespace).items()
    }


def build_policies(
    settings: Settings, namespace: NamespaceOf, in_mesh: InMesh, at_gateway: Mapping[str, GatewayPolicies]
) -> dict[str, SecurityPolicies]:
    """Return the policies by service, and by `<namespace>/` for those of a namespace.

    ALLOW policies are created before the deny-by-default policies of a namespace or the mesh.
    """
    policies = {
        name: SecurityPolicies(
            f"{name}-security",
            SecurityPoliciesArgs(
                namespace=namespace(service.namespace),
                service=name,
                selector=service.selector_of(name),
                mtls=service.mtls,
                authorization=service.authorization and at_pods(service.authorization, settings.mesh.gateway.namespace),
                jwt=service.jwt,
            ),
            in_mesh(*[at_gateway[name]] if name in at_gateway else []),
        )
        for name, service in settings.services.items()
        if service.mtls or service.authorization or service.jwt
    }
    of_namespaces = _policies_of_namespaces(settings, namespace)
    allowed = [*policies.values(), *_build_open_gateway(settings, namespace, in_mesh, of_namespaces)]
    return policies | {
        f"{name}/": SecurityPolicies(f"{name}/security", args, in_mesh(*allowed))
        for name, args in of_namespaces.items()
    }


def _build_open_gateway(
    settings: Settings, namespace: NamespaceOf, in_mesh: InMesh, of_namespaces: Mapping[str, SecurityPoliciesArgs]
) -> list[SecurityPolicies]:
    """Deny-by-default also applies to the gateway's pods, where it would block every request from outside.

    So the gateway allows all; a request still needs an `authorization.allow` of the service it calls.
    """
    gateway = settings.mesh.gateway
    denying = {name for name, args in of_namespaces.items() if args.deny_by_default}
    if not denying & {gateway.namespace, settings.mesh.namespace}:
        return []
    args = SecurityPoliciesArgs(namespace=namespace(gateway.namespace), allow_all=gateway_selector(gateway.name))
    return [SecurityPolicies(f"{gateway.namespace}/gateway-security", args, in_mesh())]


def _policies_of_namespaces(settings: Settings, namespace: NamespaceOf) -> dict[str, SecurityPoliciesArgs]:
    """Policies by namespace; those of Istio's root namespace apply to the whole mesh."""
    configured: dict[str, NamespaceSecurity] = {
        service.namespace: settings.namespaces[service.namespace]
        for service in settings.services.values()
        if service.namespace in settings.namespaces
    }
    if settings.mesh.install and settings.mesh.deny_by_default:
        configured[settings.mesh.namespace] = NamespaceSecurity(deny_by_default=True)
    return {
        name: SecurityPoliciesArgs(
            namespace=namespace(name),
            mtls=MutualTls(mode=security.mtls) if security.mtls else None,
            deny_by_default=security.deny_by_default,
        )
        for name, security in configured.items()
    }
