"""The routing between the versions of a service, from the mesh's gateway on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from traffic import render
from traffic.model import Route

API_VERSION = "networking.istio.io/v1"


@dataclass(frozen=True, kw_only=True)
class CanaryRoutingArgs:
    """Which requests reach the service, and how they are shared out.

    `hosts` are claimed on `gateway_port` of the pods that `gateway_selector` names. `port` is the Service's.
    `versions` names every version that has pods, also those that the route sends nothing to. With
    `version_header`, that response header names the version that served.
    """

    service: str
    namespace: pulumi.Input[str]
    hosts: Sequence[str]
    port: int
    versions: Sequence[str]
    route: Route
    gateway_port: int
    gateway_selector: Mapping[str, str]
    version_header: str | None = None


class CanaryRouting(Component):
    """Gateway `<service>-gateway`, and VirtualService and DestinationRule `<service>`, of networking.istio.io/v1.

    What they say is rendered by `traffic.render` from the same route that is simulated and measured, and the weights
    stand in the VirtualService alone: a change of weights updates one resource. The subsets of the DestinationRule
    are there before the VirtualService names them (Istio: "Traffic Management Best Practices"), so that no request
    is answered with 503 for a subset that Envoy does not know yet.
    """

    gateway: pulumi.Output[str]
    """The Gateway, as `<namespace>/<name>`."""
    virtual_service: pulumi.Output[str]
    """The VirtualService, as `<namespace>/<name>`."""
    destination_rule: pulumi.Output[str]
    """The DestinationRule, as `<namespace>/<name>`."""

    def __init__(self, name: str, args: CanaryRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        gateway = self._gateway(name, args)
        destination_rule = self._destination_rule(name, args)
        virtual_service = self._virtual_service(name, args, after=[gateway, destination_rule])

        self.gateway = gateway.id
        self.virtual_service = virtual_service.id
        self.destination_rule = destination_rule.id
        self.register_outputs(
            {
                "gateway": self.gateway,
                "virtual_service": self.virtual_service,
                "destination_rule": self.destination_rule,
            }
        )

    def _gateway(self, name: str, args: CanaryRoutingArgs) -> k8s.apiextensions.CustomResource:
        spec = render.gateway(hosts=args.hosts, port=args.gateway_port, selector=args.gateway_selector)
        return k8s.apiextensions.CustomResource(
            f"{name}-gateway",
            api_version=API_VERSION,
            kind="Gateway",
            metadata=_metadata(gateway_name(args.service), args),
            spec=spec,
            opts=self._child(),
        )

    def _destination_rule(self, name: str, args: CanaryRoutingArgs) -> k8s.apiextensions.CustomResource:
        spec = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: render.destination_rule(service=args.service, namespace=namespace, versions=args.versions)
        )
        return k8s.apiextensions.CustomResource(
            f"{name}-destination-rule",
            api_version=API_VERSION,
            kind="DestinationRule",
            metadata=_metadata(args.service, args),
            spec=spec,
            opts=self._child(),
        )

    def _virtual_service(
        self, name: str, args: CanaryRoutingArgs, after: list[pulumi.Resource]
    ) -> k8s.apiextensions.CustomResource:
        spec = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: render.virtual_service(
                service=args.service,
                namespace=namespace,
                hosts=args.hosts,
                gateways=[gateway_name(args.service)],
                route=args.route,
                port=args.port,
                version_header=args.version_header,
            )
        )
        return k8s.apiextensions.CustomResource(
            f"{name}-virtual-service",
            api_version=API_VERSION,
            kind="VirtualService",
            metadata=_metadata(args.service, args),
            spec=spec,
            opts=self._child(depends_on=after),
        )


def gateway_name(service: str) -> str:
    """Return the name of a service's Gateway."""
    return f"{service}-gateway"


def _metadata(name: str, args: CanaryRoutingArgs) -> k8s.meta.v1.ObjectMetaArgs:
    return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=args.namespace, labels={"app": args.service})
