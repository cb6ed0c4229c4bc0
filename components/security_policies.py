"""Access policies for the pods of a service, a namespace or the mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.security.v1 import AuthorizationPolicy, PeerAuthentication, RequestAuthentication

from components.base import Component
from traffic import render
from traffic.model import Authorization, JwtRule, MutualTls

DENY_BY_DEFAULT = "deny-by-default"
ALLOW_ALL = "allow-all"

_Kind = TypeVar("_Kind", AuthorizationPolicy, PeerAuthentication, RequestAuthentication)


@dataclass(frozen=True, kw_only=True)
class SecurityPoliciesArgs:
    """Policies for the pods of `service`, or for all pods of `namespace` if it is None.

    `selector` are the labels of the service's pods, by default `app: <service>`.

    Policies of Istio's root namespace apply to the whole mesh. `authorization` and `jwt` require a `service`.
    `deny_by_default` denies every request that no ALLOW policy matches; `allow_all` selects, by label, pods to which
    every request is allowed.
    """

    namespace: pulumi.Input[str]
    service: str | None = None
    selector: Mapping[str, str] | None = None
    mtls: MutualTls | None = None
    authorization: Authorization | None = None
    jwt: Sequence[JwtRule] = ()
    deny_by_default: bool = False
    allow_all: Mapping[str, str] | None = None


class SecurityPolicies(Component):
    """The configured PeerAuthentication, RequestAuthentication and AuthorizationPolicies (security.istio.io/v1).

    Policies of a service are named after it; the PeerAuthentication of a namespace is named `default` (Istio:
    PeerAuthentication).
    """

    policies: pulumi.Output[list[str]]
    """The policies, each as `<namespace>/<name>`."""

    def __init__(self, name: str, args: SecurityPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "istio-canary:index:SecurityPolicies",
            name,
            opts,
            formerly="istio-canary:security_policies:SecurityPolicies",
        )
        policies = [
            *self._peer_authentication(name, args),
            *self._request_authentication(name, args),
            *self._authorization_policies(name, args),
        ]

        self.policies = pulumi.Output.all(*(policy.id for policy in policies))
        self.register_outputs({"policies": self.policies})

    def _peer_authentication(self, name: str, args: SecurityPoliciesArgs) -> list[PeerAuthentication]:
        if args.mtls is None:
            return []
        spec = render.peer_authentication(args.mtls, args.service, args.selector)
        return [self._object(PeerAuthentication, f"{name}-peer-authentication", args, args.service or "default", spec)]

    def _request_authentication(self, name: str, args: SecurityPoliciesArgs) -> list[RequestAuthentication]:
        if not args.jwt or args.service is None:
            return []
        spec = render.request_authentication(args.service, args.jwt, args.selector)
        return [self._object(RequestAuthentication, f"{name}-request-authentication", args, args.service, spec)]

    def _authorization_policies(self, name: str, args: SecurityPoliciesArgs) -> list[AuthorizationPolicy]:
        specs: dict[str, render.Spec] = {}
        if args.authorization is not None and args.service is not None:
            specs |= render.authorization_policies(args.service, args.authorization, args.selector)
        if args.deny_by_default:
            specs[DENY_BY_DEFAULT] = render.deny_by_default()
        if args.allow_all is not None:
            specs[ALLOW_ALL] = render.allow_all(args.allow_all)
        return [
            self._object(AuthorizationPolicy, f"{name}-{policy.removeprefix(f'{args.service}-')}", args, policy, spec)
            for policy, spec in specs.items()
        ]

    def _object(
        self, kind: type[_Kind], name: str, args: SecurityPoliciesArgs, object_name: str, spec: render.Spec
    ) -> _Kind:
        labels = {"app": args.service} if args.service else None
        return kind(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(name=object_name, namespace=args.namespace, labels=labels),
            spec=spec,
            opts=self._child(),
        )
