"""The gate service in the cluster: tells the controllers of other engines whether a canary may rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from components.telemetry import workload

NAME, PORT = "istio-canary-gate", 8087
USER = 65532
READS: Mapping[str, tuple[str, str]] = {
    "configmaps": ("", "list"),
    "virtualservices": ("networking.istio.io", "get"),
}
"""What it reads in the namespaces of the services: the API group and the verb of each resource."""


@dataclass(frozen=True, kw_only=True)
class GateServiceArgs:
    """The gate service for services in `judged` namespaces, with this Prometheus.

    `allowed_namespaces` are those of the controllers that may ask it. `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    judged: Mapping[str, pulumi.Input[str]]
    allowed_namespaces: Sequence[str] = ()
    ready_within: int = 300


class GateService(Component):
    """A Deployment with one pod, Service `istio-canary-gate` on port 8087, its account and NetworkPolicy.

    It has a Role in each namespace of the services, to list ConfigMaps and to read VirtualServices, and no other right:
    it writes nothing, and reads no Secret. Its answers are verdicts, without authentication; pods of
    `allowed_namespaces` reach it, where the cluster's network plugin implements NetworkPolicies.
    """

    url: pulumi.Output[str]
    """URL of the gate service inside the cluster."""

    def __init__(self, name: str, args: GateServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:GateService", name, opts)
        account = workload.service_account(f"{name}-account", NAME, args.namespace, self._child())
        for namespace, given in args.judged.items():
            self._rights(f"{name}-{namespace}", given, args.namespace)
        service = workload.cluster_ip_service(
            f"{name}-service", NAME, NAME, args.namespace, [workload.service_port("http", PORT)], self._child()
        )
        rules = workload.allow([PORT], (), args.allowed_namespaces)
        workload.network_policy(f"{name}-policy", NAME, args.namespace, rules, self._child())
        self._deployment(name, args, account)

        self.url = pulumi.Output.concat("http://", service.metadata.name, ".", args.namespace, f":{PORT}")
        self.register_outputs({"url": self.url})

    def _rights(self, name: str, namespace: pulumi.Input[str], own: pulumi.Input[str]) -> None:
        metadata = workload.metadata(NAME, NAME, namespace)
        rules = [
            k8s.rbac.v1.PolicyRuleArgs(api_groups=[group], resources=[resource], verbs=[verb])
            for resource, (group, verb) in READS.items()
        ]
        k8s.rbac.v1.Role(f"{name}-role", metadata=metadata, rules=rules, opts=self._child())
        k8s.rbac.v1.RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=NAME),
            subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=own)],
            opts=self._child(),
        )

    def _deployment(self, name: str, args: GateServiceArgs, account: k8s.core.v1.ServiceAccount) -> None:
        judged = [word for namespace in args.judged.values() for word in ("--namespace", namespace)]
        workload.deployment(
            f"{name}-server",
            workload.ServerArgs(
                name=NAME,
                namespace=args.namespace,
                image=args.image,
                user=USER,
                ports={"http": PORT},
                args=[
                    *("gate", "serve", *judged),
                    *("--prometheus", args.prometheus_url),
                    *("--listen", f"0.0.0.0:{PORT}"),
                ],
                readiness_probe=workload.probe("/healthz", "http", period_seconds=5, timeout_seconds=4),
                liveness_probe=workload.probe("/livez", "http", initial_delay_seconds=30, period_seconds=15),
                service_account=account.metadata.name,
                ready_within=args.ready_within,
            ),
            self._child(),
        )
