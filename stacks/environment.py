"""Builds a stack's environment from its settings: provider, namespaces, mesh, services and routing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import pulumi

from components.canary_routing import CanaryRouting, CanaryRoutingArgs
from components.egress import Egress, EgressArgs
from components.engine_rollout import EngineRollout
from components.gate_service import GateService
from components.istio_mesh import GatewayArgs, IstioMesh, IstioMeshArgs
from components.names import REVISION
from components.namespace import Namespace, NamespaceArgs
from components.rollout_fence import RolloutFence
from components.shared_gateways import SharedGateways, SharedGatewaysArgs
from components.versioned_service import VersionedService, VersionedServiceArgs
from kube.kubeconfig import ClusterUnreachableError
from kube.rollouts import RolloutTimeoutError, until_rolled_out
from rollout.plan import plans
from stacks.cluster_facts import ClusterFacts, namespaces_of
from stacks.clusters import build_cluster, gateway_values, provider_of
from stacks.engine_objects import (
    divided,
    engine_rollout_args,
    gate_service_args,
    has_begun,
    is_routed_elsewhere,
    is_workload,
    left_to_engine,
)
from stacks.gateway_pods import gateway_namespaces
from stacks.mesh_of_stack import described
from stacks.mesh_revisions import istiods_of
from stacks.mesh_traffic import own_mesh_config, own_proxy_config
from stacks.outside import target_port
from stacks.pod_counts import replicas_of
from stacks.proxies import proxies_of
from stacks.revisions import keeps_crds, revision_annotation
from stacks.rollout_fence import fence_of
from stacks.rollout_runner import build_rollout_runner
from stacks.secret_texts import Decrypt, masked
from stacks.security import build_gateway_policies, build_policies
from stacks.settings.engines import engines_of
from stacks.settings.model import ServiceSettings, Settings
from stacks.telemetry import (
    TelemetryServers,
    build_mesh_telemetry,
    istiod_settings,
    pod_annotations_of,
    proxy_config_of,
)
from stacks.transitions import Transitions
from stacks.version_args import version_args
from traffic.graph import all_targets, called_by, called_first, callers_of
from traffic.model import (
    OutboundTrafficPolicy,
    Target,
    gateway_selector,
)


class Environment:
    """All resources of a stack, built from its settings and the facts about its cluster.

    `outputs` are the stack's outputs: `cluster` (the uid of its namespace kube-system; of a cluster that the stack
    creates, `kubeconfig`, a secret, and `endpoint` instead), `gateway` (service, namespace), `mesh` if the stack
    installs it (`stacks.mesh_of_stack`), and `services` (namespace, hosts, versions with their Deployments, and the
    weights of the default rule).
    `decrypt` returns the texts that are encrypted in the settings; by default, all are masked. `routes_left` are
    services whose http routes are not compared (`stacks.with_rollouts.Effective`).
    """

    outputs: dict[str, pulumi.Input[Any]]

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterFacts,
        owner: str,
        grafana_admin_password: pulumi.Input[str] | None = None,
        decrypt: Decrypt = masked,
        routes_left: AbstractSet[str] = frozenset(),
    ) -> None:
        self._settings = settings
        self._routes_left = routes_left
        self._decrypt = decrypt
        self._cluster = cluster
        self._owner = owner
        self._kubernetes = build_cluster(settings, cluster.uid, owner, decrypt)
        self._in_cluster = pulumi.ResourceOptions(provider=provider_of(self._kubernetes))
        self._proxies = proxies_of(settings, cluster.routes)
        self._used = all_targets(settings.services)
        self._transitions = Transitions(settings, cluster.routes, self._proxies)
        self._plans = plans(settings.services, replicas_of(settings, cluster.routes.replicas), cluster.routes)

        self._mesh: IstioMesh | None = None
        if settings.mesh.stack_reference:
            pulumi.StackReference("mesh-stack", settings.mesh.stack_reference)
        self._namespaces = self._build_namespaces(of_revision=False)
        if cluster.has_fence or settings.fence:
            RolloutFence("rollout-fence", fence_of(settings, owner), self._in_cluster)
        TelemetryServers(
            settings, self._namespace(settings.telemetry.namespace), grafana_admin_password, self._in_cluster
        )
        build_rollout_runner(settings, self._namespace, self._in_cluster)
        self._mesh = self._build_mesh() if settings.mesh.install else None
        self._namespaces |= self._build_namespaces(of_revision=True)
        gate_service = gate_service_args(settings, self._namespace)
        if gate_service is not None:
            GateService("gate-service", gate_service, self._in_mesh())
        build_mesh_telemetry(settings, self._namespace, self._in_mesh())
        self._at_gateway = build_gateway_policies(settings, self._namespace, self._in_mesh)
        self._policies = build_policies(settings, self._namespace, self._in_mesh, self._at_gateway)
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

        self.outputs = {
            **self._outputs_of_cluster(),
            "gateway": self._gateway(),
            **({"mesh": described(settings)} if settings.mesh.install else {}),
            "services": self._outputs_of_services(),
        }

    def routes_written(self, service: str) -> pulumi.Output[list[str]]:
        """Return the VirtualServices of a service, known once they are written."""
        return self._routings[service].virtual_services

    def _build_namespaces(self, of_revision: bool) -> dict[str, Namespace]:
        """Those that name a revision get its label only when its istiod is ready: until then no pod could start."""
        telemetry = self._settings.telemetry.namespace
        return {
            name: Namespace(
                name,
                NamespaceArgs(
                    name=name, owner=self._owner, labels=labels, adopt=name in self._cluster.foreign_namespaces
                ),
                self._in_mesh() if of_revision else self._in_cluster,
            )
            for name, labels in namespaces_of(self._settings).items()
            if (REVISION in labels and name != telemetry) is of_revision
        }

    def _build_mesh(self) -> IstioMesh:
        mesh = self._settings.mesh
        policy = mesh.outbound_traffic_policy
        mesh_config, istiod_env = istiod_settings(self._settings)
        mesh_config = {**mesh_config, **own_mesh_config(mesh)}
        ingress_classes = ingress_classes_of(self._settings)
        if ingress_classes:
            mesh_config = {**mesh_config, "ingressSelector": gateway_selector(mesh.gateway.name)["istio"]}
        return IstioMesh(
            "mesh",
            IstioMeshArgs(
                revisions=istiods_of(mesh),
                revision=mesh.behind(mesh.usual_revision),
                tags=mesh.tags,
                keeps_crds=keeps_crds(mesh, self._cluster.crds_version),
                namespace=self._namespaces[mesh.namespace].namespace_name,
                mtls=mesh.mtls.value,
                gateway=GatewayArgs(
                    name=mesh.gateway.name,
                    namespace=self._namespaces[mesh.gateway.namespace].namespace_name,
                    service_type=mesh.gateway.service_type.value,
                    ports=mesh.gateway.ports,
                    node_ports=mesh.gateway.node_ports,
                    proxy_config={**proxy_config_of(self._settings), **own_proxy_config(mesh)},
                    revision=mesh.gateway.revision or mesh.usual_revision,
                ),
                outbound_traffic_policy=None if policy is OutboundTrafficPolicy.ALLOW_ANY else policy.value,
                push_debounce=mesh.push_debounce,
                mesh_config=mesh_config,
                istiod_env=istiod_env,
                ingress_classes=ingress_classes,
                base_values=mesh.values.base,
                istiod_values=mesh.values.istiod,
                gateway_values=gateway_values(self._settings),
                ready_within=self._settings.ready_within,
            ),
            self._in_cluster,
        )

    def _build_egress(self) -> list[Egress]:
        """Created before the services, which may call these hosts as soon as they start.

        With an existing mesh, the ServiceEntries are in a namespace of the stack; they apply to all namespaces anyway.
        """
        settings = self._settings
        namespaces = [settings.mesh.namespace] if self._mesh is not None else sorted(self._namespaces)
        if not settings.egress or not namespaces:
            return []
        args = EgressArgs(
            namespace=self._namespace(namespaces[0]),
            external_services=settings.egress,
            routed=frozenset(target.version for target in self._used if target.is_egress),
        )
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
                selector=service.selector_of(name),
                target_port=target_port(service),
                port_name=self._transitions.port_name(name),
                has_late_port=self._transitions.has_late_port(name),
                adopt=service.adopt,
                versions={
                    version: left_to_engine(
                        self._settings,
                        name,
                        version,
                        version_args(
                            name,
                            version,
                            settings,
                            self._cluster.routes.replicas,
                            service.container_ports(version),
                            self._decrypt,
                        ),
                    )
                    for version, settings in service.deployed.items()
                },
                protocol=service.protocol,
                further_ports=service.further_ports,
                speaks_tls=service.speaks_tls,
                idle=frozenset(
                    version
                    for version in service.deployed
                    if Target(name, version) not in self._used and not is_workload(self._settings, name, version)
                ),
                is_selected_elsewhere=is_routed_elsewhere(self._settings, name),
                pod_annotations={
                    **pod_annotations_of(self._settings),
                    **revision_annotation(self._settings, service.namespace),
                },
                account=service.service_account.name,
                account_annotations=service.service_account.annotations,
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
            for version, given in service.deployed.items()
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
        policies: list[pulumi.Resource] = [
            self._policies[key] for key in (name, f"{service.namespace}/") if key in self._policies
        ]
        policies += [self._at_gateway[name]] if name in self._at_gateway else []
        plan = self._plans[name]
        begun = has_begun(self._settings, name, self._cluster.routes)
        called = [name, *called_by(name, service)]
        serving = [resource for other in called for resource in self._services[other].serving]
        known = [self._routings[other].subsets for other in called if other in self._routings]
        subsets = [resource for resources in known for resource in resources]
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
                egress=self._settings.egress,
                adopt=service.adopt,
                until_unused=until(self._proxies.until_unused, plan.removed),
                until_known=self._transitions.before_routes(
                    name, called, until(partial(self._proxies.until_known, caller=name), plan.activated)
                ),
                until_left=self._transitions.after_routes(name),
                former=self._transitions.out_of_effect(name, self._plans.values()),
                has_late_subsets=self._transitions.has_late_subsets(name),
                keeps_http=name in self._routes_left or begun,
                keeps_subsets=begun,
                divided=divided(self._settings, name),
                is_routed_elsewhere=is_routed_elsewhere(self._settings, name),
            ),
            self._in_mesh(*serving, *subsets, *policies, *after),
        )

    def _complete_service(self, name: str, callers: Sequence[str]) -> None:
        """Build after the routes what these have to leave first: idle versions, a renamed version's subset, a port."""
        routes = [route for caller in (name, *callers) for route in self._routings[caller].routes]
        wait = until(self._proxies.until_unused, self._plans[name].draining)
        self._services[name].complete(routes, wait, self._transitions.before_port(name))
        self._routings[name].complete(routes)
        if name in engines_of(self._settings):
            args = engine_rollout_args(self._settings, name, self._namespace(self._settings.services[name].namespace))
            after = [*self._services[name].serving, *self._routings[name].routes]
            EngineRollout(f"{name}-rollout", args, self._in_mesh(*after))

    def _namespace(self, name: str) -> pulumi.Input[str]:
        """The namespace's name, an output if the stack manages it; that of an existing mesh already exists."""
        return self._namespaces[name].namespace_name if name in self._namespaces else name

    def _in_mesh(self, *after: pulumi.Input[pulumi.Resource]) -> pulumi.ResourceOptions:
        """Options of resources that need Istio's sidecars or CRDs: they are created after istiod is ready."""
        istiod = [] if self._mesh is None else self._mesh.control_plane
        depends_on = pulumi.ResourceOptions(depends_on=[*istiod, *after])
        return pulumi.ResourceOptions.merge(self._in_cluster, depends_on)

    def _gateway(self) -> dict[str, pulumi.Input[str]]:
        gateway = self._settings.mesh.gateway
        if self._mesh is None:
            return {"service": gateway.name, "namespace": gateway.namespace}
        return {"service": self._mesh.gateway_service, "namespace": self._mesh.gateway_namespace}

    def _outputs_of_cluster(self) -> dict[str, pulumi.Input[Any]]:
        """Of a cluster that the stack creates, how it is reached; there is no other one to mistake for it."""
        if not self._settings.cluster.is_created:
            return {"cluster": self._cluster.uid}
        built = self._kubernetes
        return {"kubeconfig": built.kubeconfig, "endpoint": built.endpoint} if built else {}

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
