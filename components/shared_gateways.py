"""Gateways shared by several services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.networking.v1 import Gateway

from components.base import Component
from traffic import render
from traffic.model import SharedGateway


@dataclass(frozen=True, kw_only=True)
class SharedGatewaysArgs:
    """The Gateways by name. `namespace` and `selector` are those of the pods of the mesh's gateway, which a Gateway
    configures unless it names others.
    """

    namespace: pulumi.Input[str]
    selector: Mapping[str, str]
    gateways: Mapping[str, SharedGateway]


class SharedGateways(Component):
    """A Gateway (networking.istio.io/v1) for each, in the namespace of the gateway's pods, where Istio looks for the
    Secrets with their certificates (Istio: "Secure Gateways").

    A missing Secret does not fail the run, but its port serves no TLS until the Secret exists.
    """

    gateways: pulumi.Output[list[str]]
    """The Gateways, each as `<namespace>/<name>`."""

    def __init__(self, name: str, args: SharedGatewaysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "istio-canary:index:SharedGateways", name, opts, formerly="istio-canary:shared_gateways:SharedGateways"
        )
        gateways = [self._gateway(args, gateway) for gateway in args.gateways]

        self.gateways = pulumi.Output.all(*(gateway.id for gateway in gateways))
        self.register_outputs({"gateways": self.gateways})

    def _gateway(self, args: SharedGatewaysArgs, gateway: str) -> Gateway:
        shared = args.gateways[gateway]
        namespace = shared.namespace or args.namespace
        return Gateway(
            f"{gateway}-shared-gateway",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=gateway, namespace=namespace),
            spec=render.shared_gateway(shared, shared.selector or args.selector),
            opts=self._child(),
        )
