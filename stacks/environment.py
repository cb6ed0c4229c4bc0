"""Builds a stack's environment from its settings: provider, namespaces, mesh, services and routing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.canary_routing import CanaryRouting, CanaryRoutingArgs
from components.egress import Egress, EgressArgs
from components.istio_mesh import GatewayArgs, IstioMesh, IstioMeshArgs
from components.namespace import Namespace, NamespaceArgs
from components.security_policies import SecurityPolicies, SecurityPoliciesArgs
from components.shared_gateways import SharedGateways, SharedGatewaysArgs
from components.versioned_service import DisruptionBudgetArgs, VersionArgs, VersionedService, VersionedServiceArgs
from components.workload_args import args_of, deployment_strategy, security_context
from kube.kubeconfig import ClusterUnreachableError
from kube.rollouts import RolloutTimeoutError, until_rolled_out
from rollout.plan import plans
from rollout.proxy_sync import ProxySync
from stacks.cluster_facts import ClusterFacts, namespaces_of
from stacks.gateway_pods import gateway_namespaces, other_gateway_pods
from stacks.settings.model import ServiceSettings, Settings, VersionSettings
from stacks.settings.security import SecurityContext
from stacks.telemetry import (
    TelemetryServers,
    build_mesh_telemetry,
    istiod_settings,
    pod_annotations_of,
    proxy_config_of,
)
from traffic.fields import Model
from traffic.graph import all_targets, called_by, called_first, callers_of
from traffic.model import (
    MutualTls,
    NamespaceSecurity,
    OutboundTrafficPolicy,
    Target,
    gateway_selector,
    version_label,
)


class Environment:
    """All resources of a stack, built from its settings and the facts about its cluster.

    `outputs` are the stack's outputs: `cluster` (the uid of its namespace kube-system), `gateway` (service, namespace)
    and `services` (namespace, hosts, versions with their Deployments, and the weights of the default rule).
    """

    outputs: dict[str, pulumi.Input[Any]]

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterFacts,
        owner: str,
        grafana_admin_password: pulumi.Input[str] | None = None,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._owner = owner
        self._in_cluster = pulumi.ResourceOptions(provider=self._provider())
        self._proxies = self._proxy_sync()
        self._used = all_targets(settings.services)
        self._plans = plans(settings.services, replicas_of(settings), cluster.routes)

        self._namespaces = self._build_namespaces()
        TelemetryServers(
            settings, self._namespace(settings.telemetry.namespace), grafana_admin_password, self._in_cluster
        )
        self._mesh = self._build_mesh() if settings.mesh.install else None
        build_mesh_telemetry(settings, self._namespace, self._in_mesh())
        self._policies = self._build_policies()
        egress = self._build_egress()
        gateways = self._build_gateways()
        self._services = {
            name: self._build_service(name, service, after=egress) for name, service in settings.services.items()
        }
        self._routings: dict[str, CanaryRouting] = {}
        for name in called_first(settings.services):
            self._routings[name] = self._build_routing(name, after=gateways)
        for name, callers in callers_of(settings.services).items():
            self._complete_service(name, callers)

        self.outputs = {"cluster": cluster.uid, "gateway": self._gateway(), "services": self._outputs_of_services()}

    def _provider(self) -> k8s.Provider:
        """The cluster's identifier is never updated: the provider would be replaced, with every resource of the stack.

        If the same kubeconfig leads to another cluster, the engine would create all of them there, and then delete them
        there as those of the old provider.

        ConfigMaps and Secrets are updated in place: by default the provider replaces them, and with them whatever
        mounts them, such as Prometheus with its data.
        """
        return k8s.Provider(
            "cluster",
            kubeconfig=self._settings.cluster.kubeconfig,
            context=self._settings.cluster.context,
            cluster_identifier=self._cluster.uid,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
            opts=pulumi.ResourceOptions(ignore_changes=["clusterIdentifier"]),
        )

    def _proxy_sync(self) -> ProxySync:
        settings, gateway = self._settings, self._settings.mesh.gateway
        return ProxySync(
            cluster=settings.cluster,
            routes=settings.services,
            gateway_namespace=gateway.namespace,
            gateway_selector=gateway_selector(gateway.name),
            other_gateways=tuple(other_gateway_pods(settings).values()),
            timeout_seconds=settings.taken_within,
            in_mesh=self._cluster.routes.in_mesh or any(service.in_mesh for service in settings.services.values()),
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
        policy = mesh.outbound_traffic_policy
        mesh_config, istiod_env = istiod_settings(self._settings)
        ingress_classes = ingress_classes_of(self._settings)
        if ingress_classes:
            mesh_config = {**mesh_config, "ingressSelector": gateway_selector(mesh.gateway.name)["istio"]}
        return IstioMesh(
            "mesh",
            IstioMeshArgs(
                version=mesh.version,
                charts=mesh.charts,
                hub=mesh.hub,
                namespace=self._namespaces[mesh.namespace].namespace_name,
                mtls=mesh.mtls.value,
                gateway=GatewayArgs(
                    name=mesh.gateway.name,
                    namespace=self._namespaces[mesh.gateway.namespace].namespace_name,
                    service_type=mesh.gateway.service_type.value,
                    ports=mesh.gateway.ports,
                    node_ports=mesh.gateway.node_ports,
                    proxy_config=proxy_config_of(self._settings),
                ),
                outbound_traffic_policy=None if policy is OutboundTrafficPolicy.ALLOW_ANY else policy.value,
                push_debounce=mesh.push_debounce,
                mesh_config=mesh_config,
                istiod_env=istiod_env,
                ingress_classes=ingress_classes,
                base_values=mesh.values.base,
                istiod_values=mesh.values.istiod,
                gateway_values=mesh.values.gateway,
                ready_within=self._settings.ready_within,
            ),
            self._in_cluster,
        )

    def _build_policies(self) -> dict[str, SecurityPolicies]:
        """The policies by service, and by `<namespace>/` for those of a namespace.

        ALLOW policies are created before the deny-by-default policies of a namespace or the mesh.
        """
        policies = {
            name: SecurityPolicies(
                f"{name}-security",
                SecurityPoliciesArgs(
                    namespace=self._namespace(service.namespace),
                    service=name,
                    mtls=service.mtls,
                    authorization=service.authorization,
                    jwt=service.jwt,
                ),
                self._in_mesh(),
            )
            for name, service in self._settings.services.items()
            if service.mtls or service.authorization or service.jwt
        }
        allowed = [*policies.values(), *self._build_open_gateway()]
        return policies | {
            f"{name}/": SecurityPolicies(f"{name}/security", args, self._in_mesh(*allowed))
            for name, args in self._policies_of_namespaces().items()
        }

    def _build_open_gateway(self) -> list[SecurityPolicies]:
        """Deny-by-default also applies to the gateway's pods, where it would block every request from outside.

        So the gateway allows all; a request still needs an `authorization.allow` of the service it calls.
        """
        settings = self._settings
        gateway = settings.mesh.gateway
        denying = {name for name, args in self._policies_of_namespaces().items() if args.deny_by_default}
        if not denying & {gateway.namespace, settings.mesh.namespace}:
            return []
        args = SecurityPoliciesArgs(
            namespace=self._namespace(gateway.namespace), allow_all=gateway_selector(gateway.name)
        )
        return [SecurityPolicies(f"{gateway.namespace}/gateway-security", args, self._in_mesh())]

    def _policies_of_namespaces(self) -> dict[str, SecurityPoliciesArgs]:
        """Policies by namespace; those of Istio's root namespace apply to the whole mesh."""
        settings = self._settings
        configured = {
            service.namespace: settings.namespaces[service.namespace]
            for service in settings.services.values()
            if service.namespace in settings.namespaces
        }
        if self._mesh is not None and settings.mesh.deny_by_default:
            configured[settings.mesh.namespace] = NamespaceSecurity(deny_by_default=True)
        return {
            name: SecurityPoliciesArgs(
                namespace=self._namespace(name),
                mtls=MutualTls(mode=security.mtls) if security.mtls else None,
                deny_by_default=security.deny_by_default,
            )
            for name, security in configured.items()
        }

    def _build_egress(self) -> list[Egress]:
        """Created before the services, which may call these hosts as soon as they start.

        With an existing mesh, the ServiceEntries are in a namespace of the stack; they apply to all namespaces anyway.
        """
        settings = self._settings
        namespaces = [settings.mesh.namespace] if self._mesh is not None else sorted(self._namespaces)
        if not settings.egress or not namespaces:
            return []
        args = EgressArgs(namespace=self._namespace(namespaces[0]), external_services=settings.egress)
        return [Egress("egress", args, self._in_mesh())]

    def _build_gateways(self) -> list[SharedGateways]:
        settings = self._settings
        if not settings.gateways:
            return []
        gateway = settings.mesh.gateway
        args = SharedGatewaysArgs(
            namespace=self._namespace(gateway.namespace),
            selector=gateway_selector(gateway.name),
            gateways=settings.gateways,
        )
        return [SharedGateways("gateways", args, self._in_mesh())]

    def _build_service(self, name: str, service: ServiceSettings, after: Sequence[Egress]) -> VersionedService:
        return VersionedService(
            name,
            VersionedServiceArgs(
                service=name,
                namespace=self._namespace(service.namespace),
                port=service.port,
                versions={
                    version: version_args(name, version, settings, service.container_ports(version))
                    for version, settings in service.versions.items()
                },
                protocol=service.protocol,
                further_ports=service.further_ports,
                speaks_tls=service.speaks_tls,
                idle=frozenset(version for version in service.versions if Target(name, version) not in self._used),
                pod_annotations=pod_annotations_of(self._settings),
                ready_within=self._settings.ready_within,
                until_rolled_out=self._rollouts(service),
            ),
            self._in_mesh(*after),
        )

    def _rollouts(self, service: ServiceSettings) -> dict[str, Callable[[], None]]:
        """What waits for the rollout of each version whose Deployment exists; see docs/architecture.md."""
        known = self._cluster.routes.generations
        return {
            version: partial(self._until_rolled_out, service.namespace, given.name, since)
            for version, given in service.versions.items()
            if (since := known.get((service.namespace, given.name))) is not None
        }

    def _until_rolled_out(self, namespace: str, name: str, since: int) -> None:
        settings = self._settings
        try:
            until_rolled_out(settings.cluster, namespace, name, settings.ready_within, since)
        except (RolloutTimeoutError, ClusterUnreachableError) as error:
            raise pulumi.RunError(str(error)) from None

    def _build_routing(self, name: str, after: Sequence[SharedGateways]) -> CanaryRouting:
        """Created after the services it routes to, so that their pods are ready and their subsets exist. If two
        services route to each other, one of them has to come first.
        """
        service = self._settings.services[name]
        mesh = self._settings.mesh
        policies = [self._policies[key] for key in (name, f"{service.namespace}/") if key in self._policies]
        plan = self._plans[name]
        called = [name, *called_by(name, service)]
        serving = [resource for other in called for resource in self._services[other].serving]
        subsets = [self._routings[other].subsets for other in called if other in self._routings]
        return CanaryRouting(
            f"{name}-routing",
            CanaryRoutingArgs(
                service=name,
                namespace=self._namespace(service.namespace),
                routes=self._settings.services,
                gateway_namespace=mesh.gateway.namespace,
                gateway_selector=gateway_selector(mesh.gateway.name),
                gateway_namespaces=gateway_namespaces(self._settings),
                version_header=self._settings.version_header,
                until_unused=until(self._proxies.until_unused, plan.removed),
                until_known=until(partial(self._proxies.until_known, caller=name), plan.activated),
            ),
            self._in_mesh(*serving, *subsets, *policies, *after),
        )

    def _complete_service(self, name: str, callers: Sequence[str]) -> None:
        """Build the idle versions after the routes: they keep their pods until no Envoy sends them requests."""
        routes = [route for caller in (name, *callers) for route in self._routings[caller].routes]
        wait = until(self._proxies.until_unused, self._plans[name].draining)
        self._services[name].complete(routes, wait)

    def _namespace(self, name: str) -> pulumi.Input[str]:
        """The namespace's name, an output if the stack manages it; that of an existing mesh already exists."""
        return self._namespaces[name].namespace_name if name in self._namespaces else name

    def _in_mesh(self, *after: pulumi.Input[pulumi.Resource]) -> pulumi.ResourceOptions:
        """Options of resources that need Istio's sidecars or CRDs: they are created after istiod is ready."""
        istiod = [] if self._mesh is None else [self._mesh.control_plane]
        depends_on = pulumi.ResourceOptions(depends_on=[*istiod, *after])
        return pulumi.ResourceOptions.merge(self._in_cluster, depends_on)

    def _gateway(self) -> dict[str, pulumi.Input[str]]:
        gateway = self._settings.mesh.gateway
        if self._mesh is None:
            return {"service": gateway.name, "namespace": gateway.namespace}
        return {"service": self._mesh.gateway_service, "namespace": self._mesh.gateway_namespace}

    def _outputs_of_services(self) -> dict[str, pulumi.Input[Any]]:
        return {
            name: {
                "namespace": service.namespace,
                "hosts": list(service.hosts),
                "versions": self._services[name].deployment_names,
                "weights": next((rule.weights for rule in service.route if not rule.match), {}),
            }
            for name, service in self._settings.services.items()
        }


def ingress_classes_of(settings: Settings) -> list[str]:
    """Return the classes of the Ingresses that expose the stack's services."""
    exposed = (service for name, service in settings.services.items() if service.has_ingress(name))
    return sorted({service.ingress_class_name for service in exposed if service.ingress_class_name})


def until(wait: Callable[[frozenset[Target]], None], targets: frozenset[Target]) -> Callable[[], None] | None:
    """Return `wait` bound to `targets`, or None if there are none to wait for."""

    return partial(wait, targets) if targets else None


def replicas_of(settings: Settings) -> dict[Target, int]:
    """Return the configured number of pods of each version."""
    return {
        Target(name, version): given.replicas
        for name, service in settings.services.items()
        for version, given in service.versions.items()
    }


def version_args(
    service: str, version: str, settings: VersionSettings, further_ports: Mapping[str, int]
) -> VersionArgs:
    """Return the component's arguments for one version, with its container ports beside the main one."""
    return VersionArgs(
        name=settings.name,
        label=version_label(service, version),
        image=settings.image,
        port=settings.port,
        replicas=settings.replicas,
        command=settings.command,
        args=settings.args,
        env=settings.env,
        resources=args_of(k8s.core.v1.ResourceRequirementsArgs, _explicit_fields(settings.resources)),
        readiness_probe=args_of(k8s.core.v1.ProbeArgs, _explicit_fields(settings.readiness_probe)),
        liveness_probe=args_of(k8s.core.v1.ProbeArgs, _explicit_fields(settings.liveness_probe)),
        strategy=deployment_strategy(
            settings.strategy.type.value, settings.strategy.max_surge, settings.strategy.max_unavailable
        ),
        security_context=_security_context(settings.security_context),
        min_ready_seconds=settings.min_ready_seconds or None,
        termination_grace_period_seconds=settings.termination_grace_period_seconds,
        pre_stop_seconds=settings.pre_stop_seconds,
        config_files=settings.config_files,
        further_ports=further_ports,
        disruption_budget=args_of(DisruptionBudgetArgs, _explicit_fields(settings.pod_disruption_budget)),
        image_pull_policy=settings.image_pull_policy.value,
    )


def _explicit_fields(settings: Model | None) -> dict[str, Any]:
    return settings.model_dump(by_alias=False, exclude_defaults=True) if settings else {}


def _security_context(context: SecurityContext) -> k8s.core.v1.SecurityContextArgs:
    return security_context(
        add=context.capabilities.add,
        drop=context.capabilities.drop,
        seccomp_profile=context.seccomp_profile.type.value,
        **context.model_dump(by_alias=False, exclude={"capabilities", "seccomp_profile"}),
    )
