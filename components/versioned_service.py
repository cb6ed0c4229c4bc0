"""A service in several versions: one Deployment per version, and one Service in front of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from components.service_ports import container_ports, service_ports
from components.waiting import after_wait, waited_for
from traffic.model import NamedPort, ServiceProtocol

PROGRESS_DEADLINE = 600
"""Kubernetes' default progressDeadlineSeconds, which is raised for Deployments that may take longer."""


@dataclass(frozen=True, kw_only=True)
class DisruptionBudgetArgs:
    """How many pods may be evicted at a time: one of the two, a number or a percentage."""

    min_available: pulumi.Input[int | str] | None = None
    max_unavailable: pulumi.Input[int | str] | None = None


@dataclass(frozen=True, kw_only=True)
class VersionArgs:
    """One version: the Deployment `name`, whose pods have the label `version: <label>`.

    `config_files` are read-only files by folder and name; changing one replaces the pods. `further_ports` are container
    ports by name, beside `port`. Durations are in seconds.
    """

    name: str
    label: str
    image: pulumi.Input[str]
    port: pulumi.Input[int]
    security_context: pulumi.Input[k8s.core.v1.SecurityContextArgs]
    readiness_probe: pulumi.Input[k8s.core.v1.ProbeArgs] | None = None
    liveness_probe: pulumi.Input[k8s.core.v1.ProbeArgs] | None = None
    replicas: pulumi.Input[int] = 1
    command: Sequence[pulumi.Input[str]] = ()
    args: Sequence[pulumi.Input[str]] = ()
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    strategy: pulumi.Input[k8s.apps.v1.DeploymentStrategyArgs] | None = None
    min_ready_seconds: pulumi.Input[int] | None = None
    termination_grace_period_seconds: pulumi.Input[int] = 30
    pre_stop_seconds: int = 5
    config_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    further_ports: Mapping[str, int] = field(default_factory=dict)
    disruption_budget: DisruptionBudgetArgs | None = None
    image_pull_policy: pulumi.Input[str] = "IfNotPresent"


@dataclass(frozen=True, kw_only=True)
class VersionedServiceArgs:
    """The Service `service` on `port`, and its versions by name. `ready_within` is in seconds, for each Deployment.

    `protocol` is that of `port`; `further_ports` are ports beside it, which every version has.
    With `speaks_tls` the pods terminate TLS themselves, and their sidecars pass it through. `idle` are the versions
    that no route sends requests to; `complete` builds them. `pod_annotations` are those of every version's pods.
    `until_rolled_out` has, for the versions for which Pulumi's own wait does not suffice, what returns once the
    Deployment has rolled out.
    """

    service: str
    namespace: pulumi.Input[str]
    port: pulumi.Input[int]
    versions: Mapping[str, VersionArgs]
    protocol: ServiceProtocol = ServiceProtocol.HTTP
    further_ports: Sequence[NamedPort] = ()
    speaks_tls: bool = False
    idle: frozenset[str] = frozenset()
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    ready_within: int = 300
    until_rolled_out: Mapping[str, Callable[[], None]] = field(default_factory=dict)


class VersionedService(Component):
    """A ServiceAccount, a Service for all versions, and for each version a Deployment, its ConfigMaps and, if it has a
    budget, a PodDisruptionBudget (Kubernetes: "Specifying a Disruption Budget for your Application").

    Pods continue to serve for `pre_stop_seconds` after they are told to terminate, until every proxy has removed them
    (Kubernetes: "Container Lifecycle Hooks", sleep). ConfigMaps are immutable and named by their content: new content
    is a new ConfigMap, the pods roll over to it, and the old one is deleted last, so no pod starts without its files.

    A version that the routes no longer use may lose pods only after the routes have changed, so the caller builds the
    routing first and then calls `complete`, which builds the idle versions and registers the outputs.

    A Deployment that is not ready within `ready_within` fails the run.
    """

    service_name: pulumi.Output[str]
    """Name of the Service."""
    deployment_names: pulumi.Output[dict[str, str]]
    """Deployment names by version; set by `complete`."""
    serving: Sequence[pulumi.Input[pulumi.Resource]]
    """The Service and the Deployments that receive requests; routes depend on them."""

    def __init__(self, name: str, args: VersionedServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "istio-canary:index:VersionedService",
            name,
            opts,
            formerly="istio-canary:versioned_service:VersionedService",
        )
        self._name, self._args = name, args
        self._account = self._service_account(name, args)
        service = self._service(name, args)
        self._deployments = {
            version: self._deployment(version) for version in args.versions if version not in args.idle
        }

        self.serving = [service, *self._deployments.values()]
        self.service_name = service.metadata.name

    def complete(self, routes: Sequence[pulumi.Resource], until_unused: Callable[[], None] | None) -> None:
        """Build the Deployments of the idle versions, which depend on `routes`, and register the outputs.

        `until_unused` returns once no Envoy sends requests to the idle versions; only then may they lose pods. None if
        none of them gets requests.
        """
        for version in self._args.versions:
            if version in self._args.idle:
                self._deployments[version] = self._deployment(version, routes, until_unused)
        self.deployment_names = pulumi.Output.all(
            **{
                version: pulumi.Output.from_input(self._deployments[version]).apply(lambda one: one.metadata.name)
                for version in self._args.versions
            }
        )
        self.register_outputs({"service_name": self.service_name, "deployment_names": self.deployment_names})

    def _service_account(self, name: str, args: VersionedServiceArgs) -> k8s.core.v1.ServiceAccount:
        return k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=_metadata(args.service, args),
            automount_service_account_token=False,
            opts=self._child(),
        )

    def _service(self, name: str, args: VersionedServiceArgs) -> k8s.core.v1.Service:
        """Pulumi waits for the Deployments; waiting for endpoints as well would hang if all have 0 replicas."""
        return k8s.core.v1.Service(
            f"{name}-service",
            metadata=_metadata(args.service, args, annotations={"pulumi.com/skipAwait": "true"}),
            spec=k8s.core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector={"app": args.service},
                ports=service_ports(args.port, args.protocol, args.further_ports, speaks_tls=args.speaks_tls),
            ),
            opts=self._child(),
        )

    def _deployment(
        self, key: str, after: Sequence[pulumi.Resource] = (), wait: Callable[[], None] | None = None
    ) -> pulumi.Input[k8s.apps.v1.Deployment]:
        name, args, version = f"{self._name}-{key}", self._args, self._args.versions[key]
        labels = {"app": args.service, "version": version.label}
        volumes, mounts = self._config(name, args, version)
        self._disruption_budget(name, args, version, labels)
        ready_within = f"{args.ready_within}s"
        deployment = k8s.apps.v1.Deployment(
            name,
            metadata=_metadata(version.name, args, labels=labels),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=version.replicas,
                min_ready_seconds=version.min_ready_seconds,
                progress_deadline_seconds=max(PROGRESS_DEADLINE, args.ready_within),
                strategy=version.strategy,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels, annotations=dict(args.pod_annotations) or None),
                    spec=k8s.core.v1.PodSpecArgs(
                        service_account_name=self._account.metadata.name,
                        automount_service_account_token=False,
                        termination_grace_period_seconds=version.termination_grace_period_seconds,
                        containers=[_container(args.service, version, mounts)],
                        volumes=volumes or None,
                    ),
                ),
            ),
            opts=self._child(
                depends_on=list(after),
                hooks=after_wait(f"{name}: no Envoy sends requests to it", wait),
                custom_timeouts=pulumi.CustomTimeouts(create=ready_within, update=ready_within),
            ),
        )
        return waited_for(deployment, args.until_rolled_out.get(key))

    def _disruption_budget(
        self, name: str, args: VersionedServiceArgs, version: VersionArgs, labels: Mapping[str, str]
    ) -> None:
        budget = version.disruption_budget
        if budget is None:
            return
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata=_metadata(version.name, args, labels=labels),
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                min_available=budget.min_available,
                max_unavailable=budget.max_unavailable,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
            ),
            opts=self._child(),
        )

    def _config(
        self, name: str, args: VersionedServiceArgs, version: VersionArgs
    ) -> tuple[list[k8s.core.v1.VolumeArgs], list[k8s.core.v1.VolumeMountArgs]]:
        volumes, mounts = [], []
        for index, (folder, files) in enumerate(sorted(version.config_files.items())):
            config_map = k8s.core.v1.ConfigMap(
                f"{name}{folder}",
                metadata=_metadata(f"{version.name}-{content_hash(folder, files)}", args),
                data=dict(files),
                immutable=True,
                opts=self._child(),
            )
            volumes.append(
                k8s.core.v1.VolumeArgs(
                    name=f"config-{index}",
                    config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=config_map.metadata.name),
                )
            )
            mounts.append(k8s.core.v1.VolumeMountArgs(name=f"config-{index}", mount_path=folder, read_only=True))
        return volumes, mounts


def content_hash(folder: str, files: Mapping[str, str]) -> str:
    """Return a hash of a folder's files, ten hexadecimal digits."""
    text = json.dumps([folder, dict(files)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _metadata(
    name: str,
    args: VersionedServiceArgs,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=args.namespace,
        labels=dict(labels or {"app": args.service}),
        annotations=annotations,
    )


def _container(
    service: str, version: VersionArgs, mounts: list[k8s.core.v1.VolumeMountArgs]
) -> k8s.core.v1.ContainerArgs:
    """The security context is set on the container, not on the pod, which would affect Istio's injected containers."""
    return k8s.core.v1.ContainerArgs(
        name=service,
        image=version.image,
        image_pull_policy=version.image_pull_policy,
        command=list(version.command) or None,
        args=list(version.args) or None,
        env=[_variable(key, value) for key, value in version.env.items()] or None,
        ports=container_ports(version.port, version.further_ports),
        resources=version.resources,
        readiness_probe=version.readiness_probe,
        liveness_probe=version.liveness_probe,
        lifecycle=_pre_stop_sleep(version.pre_stop_seconds),
        volume_mounts=mounts or None,
        security_context=version.security_context,
    )


def _pre_stop_sleep(seconds: int) -> k8s.core.v1.LifecycleArgs | None:
    if seconds == 0:
        return None
    sleep = k8s.core.v1.SleepActionArgs(seconds=seconds)
    return k8s.core.v1.LifecycleArgs(pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=sleep))


def _variable(name: str, value: pulumi.Input[str]) -> k8s.core.v1.EnvVarArgs:
    """An empty value is omitted: Kubernetes drops it, and every later update would show a diff."""
    return k8s.core.v1.EnvVarArgs(name=name, value=None if value == "" else value)
