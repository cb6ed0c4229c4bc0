"""The Istio routing of a service: which version gets which requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.networking.v1 import DestinationRule, Gateway, ServiceEntry, VirtualService

from components.base import Component, adopting
from components.waiting import after_wait, waited_for
from traffic import render
from traffic.model import OutsideVersion, RouteTable, ServiceRouting, Source, own_gateway
from traffic.model.backend import EgressTable

_Kind = TypeVar("_Kind", DestinationRule, Gateway, ServiceEntry, VirtualService)

DEPLOYED_ELSEWHERE = "istio-canary/deployed-elsewhere"
"""Annotation of a DestinationRule: the subsets whose pods the stack does not deploy. The policies read it, too."""

HTTP = "spec.http"
"""A VirtualService's http routes."""
SUBSETS = "spec.subsets"
"""A DestinationRule's subsets."""


@dataclass(frozen=True, kw_only=True)
class CanaryRoutingArgs:
    """The routing of `service`, as defined in `routes[service]`.

    `routes` contains every service that the route sends requests to. Shared Gateways are in `gateway_namespace`, or as
    `gateway_namespaces` says by name; the service's own Gateway selects pods by `gateway_selector`. If `version_header`
    is set, that response header names the version that served the request. `egress` are the hosts outside that routes
    may lead to. With `adopt`, fields of existing objects of the same names are overwritten.

    `until_unused` returns once no Envoy uses the removed subsets, `until_known` once every Envoy knows the added
    versions; each is None if there are none.

    `until_left` returns once no Envoy uses hosts outside that the routes led to, so that what makes them known may be
    deleted at the end of the run.

    `former` are VirtualServices by name, with specs that apply to no request. Those that the service has no more are
    written so after the others: a deletion would come only at the end of the run.

    With `has_late_subsets`, `complete` builds the DestinationRule: routes use the removed subsets until they are
    written, and `until_known` has added the new ones.

    With `keeps_http`, the http routes of VirtualServices that exist are not compared: in a preview, a rollout's may not
    be those of Pulumi's state.

    Another controller writes the weights of the versions `divided`, of which the first one gets all requests at the
    start; with `keeps_subsets` it has begun, and owns the subsets. With `is_routed_elsewhere`, VirtualServices and
    DestinationRule are another controller's as a whole.
    """

    service: str
    namespace: pulumi.Input[str]
    routes: RouteTable
    gateway_namespace: str
    gateway_selector: Mapping[str, str]
    gateway_namespaces: Mapping[str, str] = field(default_factory=dict)
    version_header: str | None = None
    egress: EgressTable = field(default_factory=dict)
    adopt: bool = False
    until_unused: Callable[[], None] | None = None
    until_known: Callable[[], None] | None = None
    until_left: Callable[[], None] | None = None
    former: Mapping[str, render.Spec] = field(default_factory=dict)
    has_late_subsets: bool = False
    keeps_http: bool = False
    keeps_subsets: bool = False
    divided: tuple[str, str] | None = None
    is_routed_elsewhere: bool = False


class CanaryRouting(Component):
    """VirtualService and DestinationRule `<service>`, and Gateway `<service>-gateway` if the service has its own.

    With an `ingress_class_name`, an Ingress `<service>` takes the place of the own Gateway, and of the VirtualService
    for callers outside the mesh.

    Their specs are rendered by `traffic.render` from the same route that is simulated and measured. Weights are only in
    the VirtualService, so a change of weights updates one resource. (A service with the host `*` that also routes
    callers inside the mesh needs a second one, `<service>-mesh`.) A VirtualService is written only after the subsets it
    names exist and every Envoy knows their pods; otherwise Envoy would answer 503 (Istio: "Traffic Management Best
    Practices").

    An error that `until_unused` or `until_known` raises fails the run.
    """

    gateway: pulumi.Output[str | None]
    """The service's own Gateway, as `<namespace>/<name>`; None if it only uses shared ones."""
    virtual_services: pulumi.Output[list[str]]
    """The VirtualServices, each as `<namespace>/<name>`."""
    ingress: pulumi.Output[str | None]
    """The Ingress, as `<namespace>/<name>`; None if there is none."""
    destination_rule: pulumi.Output[str]
    """The DestinationRule, as `<namespace>/<name>`."""
    subsets: list[pulumi.Resource]
    """What makes its versions known to Istio; other services' routes to this one depend on it."""
    routes: list[pulumi.Resource]
    """The VirtualServices and the Ingress, and former ones; pods that they no longer use may be removed after them."""

    def __init__(self, name: str, args: CanaryRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "istio-canary:index:CanaryRouting", name, opts, formerly="istio-canary:canary_routing:CanaryRouting"
        )
        gateways = self._gateways(name, args)
        self._name, self._args = name, args
        if args.is_routed_elsewhere:
            self._leave(gateways)
            return
        ingresses = self._ingresses(name, args)
        subsets = [] if args.has_late_subsets else [self._destination_rule(name, args)]
        outside = self._outside(name, args)
        specs = _rendered(args)
        virtual_services = self._virtual_services(name, args, specs, after=[*gateways, *subsets, *outside])

        former = [
            self._virtual_service(name, args, object_name, spec, [*virtual_services, *ingresses])
            for object_name, spec in args.former.items()
            if object_name not in specs
        ]

        self.routes = [*virtual_services, *ingresses, *former]
        self.subsets = [*(subsets or virtual_services), *outside]
        self.gateway = gateways[0].id if gateways else pulumi.Output.from_input(None)
        left: list[pulumi.Output[str]] = [_id(waited_for(one, args.until_left)) for one in virtual_services]
        self.virtual_services = pulumi.Output.all(*left)
        self.ingress = ingresses[0].id if ingresses else pulumi.Output.from_input(None)
        if subsets:
            self._register(subsets[0])

    def _leave(self, gateways: Sequence[Gateway]) -> None:
        """Nothing but the own Gateway is the stack's."""
        self.routes, self.subsets = [], []
        none: pulumi.Output[str | None] = pulumi.Output.from_input(None)
        self.gateway, self.ingress = (gateways[0].id if gateways else none), none
        self.virtual_services, self.destination_rule = pulumi.Output.from_input([]), pulumi.Output.from_input("")
        self.register_outputs({"gateway": self.gateway, "virtual_services": self.virtual_services})

    def complete(self, routes: Sequence[pulumi.Resource]) -> None:
        """Build the DestinationRule after all `routes` that lead to the service, if its removed subsets are in use."""
        if self._args.has_late_subsets and not self._args.is_routed_elsewhere:
            self._register(self._destination_rule(self._name, self._args, routes))

    def _register(self, destination_rule: DestinationRule) -> None:
        self.destination_rule = destination_rule.id
        self.register_outputs(
            {
                "gateway": self.gateway,
                "virtual_services": self.virtual_services,
                "ingress": self.ingress,
                "destination_rule": self.destination_rule,
            }
        )

    def _gateways(self, name: str, args: CanaryRoutingArgs) -> list[Gateway]:
        """The service's own Gateway, if the service is bound to it."""
        service = args.routes[args.service]
        if own_gateway(args.service) not in service.gateways or service.has_ingress(args.service):
            return []
        spec = render.own_gateway(service, args.gateway_selector)
        return [self._object(Gateway, f"{name}-gateway", args, own_gateway(args.service), spec)]

    def _ingresses(self, name: str, args: CanaryRoutingArgs) -> list[k8s.networking.v1.Ingress]:
        """The Ingress, if the service has one. Pulumi would wait for its address, which istiod may not know."""
        if not args.routes[args.service].has_ingress(args.service):
            return []
        spec = render.ingress(args.routes, args.service)
        return [
            k8s.networking.v1.Ingress(
                f"{name}-ingress",
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    name=args.service,
                    namespace=args.namespace,
                    labels={"app": args.service},
                    annotations={"pulumi.com/skipAwait": "true"},
                ),
                spec=spec,
                opts=self._child(),
            )
        ]

    def _destination_rule(
        self, name: str, args: CanaryRoutingArgs, after: Sequence[pulumi.Resource] = ()
    ) -> DestinationRule:
        spec = render.destination_rule(args.service, args.routes[args.service])
        hooks = after_wait(f"{name}: no Envoy uses the removed subsets", args.until_unused)
        elsewhere = deployed_elsewhere(args.routes[args.service])
        return self._object(
            DestinationRule,
            f"{name}-destination-rule",
            args,
            args.service,
            spec,
            annotations={DEPLOYED_ELSEWHERE: ",".join(elsewhere)} if elsewhere else None,
            depends_on=list(after),
            hooks=hooks,
            ignore_changes=[SUBSETS] if args.keeps_subsets else None,
        )

    def _outside(self, name: str, args: CanaryRoutingArgs) -> list[pulumi.Resource]:
        """What makes versions known to Istio that are another Service or a host outside the mesh."""
        service = args.routes[args.service]
        made: list[pulumi.Resource] = [
            self._object(ServiceEntry, f"{name}-{object_name}-service-entry", args, object_name, spec)
            for object_name, spec in render.service_entries(args.service, service).items()
        ]
        made += [
            self._object(DestinationRule, f"{name}-{object_name}-destination-rule", args, object_name, spec)
            for object_name, spec in render.outside_destination_rules(args.service, service).items()
        ]
        return made

    def _virtual_services(
        self, name: str, args: CanaryRoutingArgs, specs: dict[str, render.Spec], after: list[pulumi.Resource]
    ) -> list[VirtualService]:
        hooks = after_wait(f"{name}: every Envoy knows the added versions", args.until_known)
        made: dict[str, VirtualService] = {}
        # That for callers inside the mesh first: until it exists, the other one still applies to them.
        for object_name, spec in reversed(specs.items()):
            made[object_name] = self._virtual_service(name, args, object_name, spec, [*after, *made.values()], hooks)
        return [made[object_name] for object_name in specs]

    def _virtual_service(
        self,
        name: str,
        args: CanaryRoutingArgs,
        object_name: str,
        spec: render.Spec,
        after: list[pulumi.Resource],
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> VirtualService:
        return self._object(
            VirtualService,
            f"{name}{object_name.removeprefix(args.service)}-virtual-service",
            args,
            object_name,
            spec,
            depends_on=after,
            hooks=hooks,
            ignore_changes=[HTTP] if args.keeps_http else None,
        )

    def _object(
        self,
        kind: type[_Kind],
        name: str,
        args: CanaryRoutingArgs,
        object_name: str,
        spec: render.Spec,
        annotations: Mapping[str, str] | None = None,
        **options: object,
    ) -> _Kind:
        return kind(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=object_name,
                namespace=args.namespace,
                labels={"app": args.service},
                annotations={**(annotations or {}), **adopting(args.adopt)} or None,
            ),
            spec=spec,
            opts=self._child(**options),
        )


def _rendered(args: CanaryRoutingArgs) -> dict[str, render.Spec]:
    rendering = {
        "gateway_namespace": args.gateway_namespace,
        "gateway_namespaces": args.gateway_namespaces,
        "version_header": args.version_header,
        "egress": args.egress,
    }
    if args.divided is not None:
        return render.divided_virtual_services(args.routes, args.service, args.divided, **rendering)
    return render.virtual_services(args.routes, args.service, **rendering)  # type: ignore[arg-type]


def deployed_elsewhere(service: ServiceRouting) -> list[str]:
    """Return the versions whose pods someone else deploys, in the service's namespace."""
    return [
        name
        for name, version in service.versions.items()
        if isinstance(version, OutsideVersion) and version.source is Source.PODS
    ]


def _id(resource: pulumi.Input[VirtualService]) -> pulumi.Output[str]:
    return pulumi.Output.from_input(resource).apply(lambda one: one.id)
