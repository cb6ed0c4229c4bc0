"""A stack's settings, turned into its environment: the cluster's provider, namespaces, mesh, services and routing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pulumi
import pulumi_kubernetes as k8s

from components.canary_routing import CanaryRouting, CanaryRoutingArgs
from components.istio_mesh import GatewayArgs, IstioMesh, IstioMeshArgs, gateway_selector
from components.namespace import Namespace, NamespaceArgs
from components.versioned_service import VersionArgs, VersionedService, VersionedServiceArgs
from stacks.cluster import ClusterFacts, namespaces_of
from stacks.settings import SecurityContext, ServiceSettings, Settings, Strategy, StrategyType, VersionSettings
from traffic.fields import Model
from traffic.model import version_label

T = TypeVar("T")


class Environment:
    """Everything that a stack consists of, built from its settings and from what the cluster holds already.

    `outputs` are the stack's outputs: `gateway` (service, namespace) and `services` (namespace, hosts, versions with
    their Deployments, and the weights of the rule that takes all other requests).
    """

    outputs: dict[str, pulumi.Input[Any]]

    def __init__(self, settings: Settings, cluster: ClusterFacts, owner: str) -> None:
        self._settings = settings
        self._cluster = cluster
        self._owner = owner
        self._in_cluster = pulumi.ResourceOptions(provider=self._provider())

        self._namespaces = self._build_namespaces()
        self._mesh = self._build_mesh() if settings.mesh.install else None
        services = {name: self._build_service(name, service) for name, service in settings.services.items()}
        for name, service in settings.services.items():
            self._build_routing(name, service, after=services[name])

        self.outputs = {"gateway": self._gateway(), "services": self._services(services)}

    def _provider(self) -> k8s.Provider:
        """The kube-system namespace's uid says which cluster this is, wherever its kubeconfig lies."""
        return k8s.Provider(
            "cluster",
            kubeconfig=self._settings.cluster.kubeconfig,
            context=self._settings.cluster.context,
            cluster_identifier=self._cluster.uid,
        )

    def _build_namespaces(self) -> dict[str, Namespace]:
        return {
            name: Namespace(
                name,
                NamespaceArgs(
                    name=name, owner=self._owner, labels=labels, adopt=name in self._cluster.foreign_namespaces
                ),
                self._in_cluster,
            )
            for name, labels in namespaces_of(self._settings).items()
        }

    def _build_mesh(self) -> IstioMesh:
        mesh = self._settings.mesh
        return IstioMesh(
            "mesh",
            IstioMeshArgs(
                version=mesh.version,
                charts=mesh.charts,
                namespace=self._namespaces[mesh.namespace].namespace_name,
                mtls=mesh.mtls.value,
                gateway=GatewayArgs(
                    name=mesh.gateway.name,
                    namespace=self._namespaces[mesh.gateway.namespace].namespace_name,
                    service_type=mesh.gateway.service_type.value,
                    ports=mesh.gateway.ports,
                    node_port=mesh.gateway.node_port,
                ),
                push_debounce=mesh.push_debounce,
                base_values=mesh.values.base,
                istiod_values=mesh.values.istiod,
                gateway_values=mesh.values.gateway,
                ready_within=self._settings.ready_within,
            ),
            self._in_cluster,
        )

    def _build_service(self, name: str, service: ServiceSettings) -> VersionedService:
        return VersionedService(
            name,
            VersionedServiceArgs(
                service=name,
                namespace=self._namespaces[service.namespace].namespace_name,
                port=service.port,
                versions={
                    version: version_args(name, version, settings) for version, settings in service.versions.items()
                },
                ready_within=self._settings.ready_within,
            ),
            self._in_mesh(),
        )

    def _build_routing(self, name: str, service: ServiceSettings, after: VersionedService) -> CanaryRouting:
        """After the service: requests are routed to pods that are ready."""
        return CanaryRouting(
            f"{name}-routing",
            CanaryRoutingArgs(
                service=name,
                namespace=self._namespaces[service.namespace].namespace_name,
                hosts=service.hosts,
                port=service.port,
                versions=tuple(service.versions),
                route=service.route,
                gateway_port=service.gateway_port,
                gateway_selector=gateway_selector(self._settings.mesh.gateway.name),
                version_header=self._settings.version_header,
            ),
            self._in_mesh(after),
        )

    def _in_mesh(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of what needs Istio's sidecars or CRDs, once istiod serves them."""
        istiod = [] if self._mesh is None else [self._mesh.control_plane]
        depends_on = pulumi.ResourceOptions(depends_on=[*istiod, *after])
        return pulumi.ResourceOptions.merge(self._in_cluster, depends_on)

    def _gateway(self) -> dict[str, pulumi.Input[str]]:
        gateway = self._settings.mesh.gateway
        if self._mesh is None:
            return {"service": gateway.name, "namespace": gateway.namespace}
        return {"service": self._mesh.gateway_service, "namespace": self._mesh.gateway_namespace}

    def _services(self, built: Mapping[str, VersionedService]) -> dict[str, pulumi.Input[Any]]:
        return {
            name: {
                "namespace": service.namespace,
                "hosts": list(service.hosts),
                "versions": built[name].deployment_names,
                "weights": next((rule.weights for rule in service.route if not rule.match), {}),
            }
            for name, service in self._settings.services.items()
        }


def version_args(service: str, version: str, settings: VersionSettings) -> VersionArgs:
    """Return what the component needs to know of one version."""
    return VersionArgs(
        name=settings.name,
        label=version_label(service, version),
        image=settings.image,
        port=settings.port,
        replicas=settings.replicas,
        command=settings.command,
        args=settings.args,
        env=settings.env,
        resources=_said(settings.resources, k8s.core.v1.ResourceRequirementsArgs),
        readiness_probe=_said(settings.readiness_probe, k8s.core.v1.ProbeArgs),
        liveness_probe=_said(settings.liveness_probe, k8s.core.v1.ProbeArgs),
        strategy=_strategy(settings.strategy),
        security_context=_security_context(settings.security_context),
        min_ready_seconds=settings.min_ready_seconds or None,
        termination_grace_period_seconds=settings.termination_grace_period_seconds,
        pre_stop_seconds=settings.pre_stop_seconds,
        config_files=settings.config_files,
        image_pull_policy=settings.image_pull_policy.value,
    )


def _said(settings: Model | None, args: Callable[..., T]) -> T | None:
    """Return Kubernetes' `args` with what the settings say, and None where they say nothing.

    The fields have the same names. Defaults are Kubernetes' own and left out: it drops empty and zero values from its
    objects, and an update would find a difference for ever.
    """
    said = settings.model_dump(by_alias=False, exclude_defaults=True) if settings else {}
    return args(**said) if said else None


def _security_context(context: SecurityContext) -> k8s.core.v1.SecurityContextArgs:
    """Return all of it: the defaults are ours, not Kubernetes'.

    It keeps 0 and false of these fields, which are pointers in its API, and drops empty lists alone.
    """
    add, drop = list(context.capabilities.add), list(context.capabilities.drop)
    return k8s.core.v1.SecurityContextArgs(
        run_as_user=context.run_as_user,
        run_as_group=context.run_as_group,
        run_as_non_root=context.run_as_non_root,
        read_only_root_filesystem=context.read_only_root_filesystem,
        allow_privilege_escalation=context.allow_privilege_escalation,
        capabilities=k8s.core.v1.CapabilitiesArgs(add=add or None, drop=drop or None) if add or drop else None,
        seccomp_profile=k8s.core.v1.SeccompProfileArgs(type=context.seccomp_profile.type.value),
    )


def _strategy(strategy: Strategy) -> k8s.apps.v1.DeploymentStrategyArgs:
    if strategy.type is StrategyType.RECREATE:
        return k8s.apps.v1.DeploymentStrategyArgs(type=strategy.type.value)
    rolling_update = k8s.apps.v1.RollingUpdateDeploymentArgs(
        max_surge=strategy.max_surge, max_unavailable=strategy.max_unavailable
    )
    return k8s.apps.v1.DeploymentStrategyArgs(type=strategy.type.value, rolling_update=rolling_update)
