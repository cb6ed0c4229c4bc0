"""Policies of services at the gateway's pods: what is decided about a request before it is routed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.security.v1 import AuthorizationPolicy, RequestAuthentication

from components.base import Component
from traffic import render
from traffic.model import AccessRule, JwtRule


@dataclass(frozen=True, kw_only=True)
class GatewayPoliciesArgs:
    """Policies of the service `service` in `service_namespace`; `namespace` and `selector` are the namespace and the
    labels of the gateway's pods.

    `jwt` are tokens to validate, `denied` requests that get 403, at container ports `ports` of the gateway, at all of
    them if none is given.
    """

    namespace: pulumi.Input[str]
    selector: Mapping[str, str]
    service: str
    service_namespace: str
    jwt: Sequence[JwtRule] = ()
    denied: Sequence[AccessRule] = ()
    ports: Sequence[int] = ()


class GatewayPolicies(Component):
    """A RequestAuthentication and an AuthorizationPolicy (security.istio.io/v1) in the namespace of the gateway's pods,
    each named `<service>.<namespace of the service>`: other stacks may have services of the same name at this gateway.

    A RequestAuthentication has no hosts: it validates the tokens of all requests at the gateway.
    """

    policies: pulumi.Output[list[str]]
    """The policies, each as `<namespace>/<name>`."""

    def __init__(self, name: str, args: GatewayPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:GatewayPolicies", name, opts)
        policies: list[RequestAuthentication | AuthorizationPolicy] = []
        metadata = k8s.meta.v1.ObjectMetaArgs(
            name=f"{args.service}.{args.service_namespace}", namespace=args.namespace, labels={"app": args.service}
        )
        if args.jwt:
            spec = render.gateway_request_authentication(args.jwt, args.selector)
            policies.append(
                RequestAuthentication(
                    f"{name}-request-authentication", metadata=metadata, spec=spec, opts=self._child()
                )
            )
        if args.denied:
            spec = render.gateway_denial(args.denied, args.selector, args.ports)
            policies.append(AuthorizationPolicy(f"{name}-deny", metadata=metadata, spec=spec, opts=self._child()))

        self.policies = pulumi.Output.all(*(policy.id for policy in policies))
        self.register_outputs({"policies": self.policies})
