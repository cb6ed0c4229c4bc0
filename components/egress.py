"""Hosts outside the mesh that its services may call."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.networking.v1 import DestinationRule, ServiceEntry

from components.base import Component
from traffic import render
from traffic.model import ExternalService


@dataclass(frozen=True, kw_only=True)
class EgressArgs:
    """The external services by name, and the namespace of their ServiceEntries. Routes lead to those in `routed`."""

    namespace: pulumi.Input[str]
    external_services: Mapping[str, ExternalService]
    routed: Set[str] = frozenset()


class Egress(Component):
    """A ServiceEntry (networking.istio.io/v1) for each external service, and a DestinationRule where routes lead to one
    that speaks TLS: callers originate it.

    It is exported to all namespaces, so it applies to the whole mesh (Istio: ServiceEntry, exportTo).
    """

    service_entries: pulumi.Output[list[str]]
    """The ServiceEntries, each as `<namespace>/<name>`."""

    def __init__(self, name: str, args: EgressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Egress", name, opts, formerly="istio-canary:egress:Egress")
        entries = [self._service_entry(name, args, external) for external in args.external_services]
        for external in sorted(args.routed):
            self._destination_rule(name, args, external)

        self.service_entries = pulumi.Output.all(*(entry.id for entry in entries))
        self.register_outputs({"service_entries": self.service_entries})

    def _service_entry(self, name: str, args: EgressArgs, external: str) -> ServiceEntry:
        return ServiceEntry(
            f"{name}-{external}",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=external, namespace=args.namespace),
            spec=render.service_entry(args.external_services[external]),
            opts=self._child(),
        )

    def _destination_rule(self, name: str, args: EgressArgs, external: str) -> None:
        spec = render.egress_destination_rule(args.external_services[external])
        if spec is not None:
            DestinationRule(
                f"{name}-{external}-destination-rule",
                metadata=k8s.meta.v1.ObjectMetaArgs(name=external, namespace=args.namespace),
                spec=spec,
                opts=self._child(),
            )
