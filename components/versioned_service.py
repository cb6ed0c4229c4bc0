"""A service in several versions: one Deployment per version, and one Service in front of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.autoscaling import AutoscalingArgs, horizontal_pod_autoscaler
from components.base import Component, adopting
from components.pod_files import Mounted, config_files
from components.pod_variables import Variable, secret_variables, variables
from components.pods import laid_over_pods
from components.secrets import SecretText, fingerprints_hash, immutable_secret
from components.service_ports import container_ports, service_ports
from components.waiting import after_wait, waited_for
from traffic.model import NamedPort, ServiceProtocol

REPLICAS = "spec.replicas"
"""A Deployment's number of pods. If it were left out instead of ignored, Kubernetes would reset it to 1."""

TAKES_REPLICAS = {"pulumi.com/patchForce": "true"}
"""Annotation of a Deployment whose number of pods is the stack's: it is set even if an autoscaler, or `kubectl scale`,
has set another one. Where that changes, the annotation does, so that the provider updates the Deployment."""

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

    `config_files` are read-only files by folder and name; changing one replaces the pods, as does changing a secret
    text of `env`. `image_pull_secrets` are names of Secrets. `further_ports` are container ports by name, beside
    `port`. Durations are in seconds. `owns_replicas` is whether `replicas` decides about the number of pods at all
    times, or `autoscaling` or somebody else does; with `keeps_replicas` this run leaves the number of an existing
    Deployment alone. `pod_template` is laid over the pods.
    """

    name: str
    label: str
    image: pulumi.Input[str]
    port: pulumi.Input[int]
    security_context: pulumi.Input[k8s.core.v1.SecurityContextArgs]
    readiness_probe: pulumi.Input[k8s.core.v1.ProbeArgs] | None = None
    liveness_probe: pulumi.Input[k8s.core.v1.ProbeArgs] | None = None
    startup_probe: pulumi.Input[k8s.core.v1.ProbeArgs] | None = None
    replicas: pulumi.Input[int] | None = 1
    owns_replicas: bool = True
    keeps_replicas: bool = False
    autoscaling: AutoscalingArgs | None = None
    pod_template: Mapping[str, Any] | None = None
    command: Sequence[pulumi.Input[str]] = ()
    args: Sequence[pulumi.Input[str]] = ()
    env: Mapping[str, Variable] = field(default_factory=dict)
    env_from: Sequence[k8s.core.v1.EnvFromSourceArgs] = ()
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    strategy: pulumi.Input[k8s.apps.v1.DeploymentStrategyArgs] | None = None
    min_ready_seconds: pulumi.Input[int] | None = None
    termination_grace_period_seconds: pulumi.Input[int] = 30
    pre_stop_seconds: int = 5
    config_files: Mapping[str, Mapping[str, str | SecretText]] = field(default_factory=dict)
    further_ports: Mapping[str, int] = field(default_factory=dict)
    volumes: Sequence[k8s.core.v1.VolumeArgs] = ()
    volume_mounts: Sequence[k8s.core.v1.VolumeMountArgs] = ()
    image_pull_secrets: Sequence[str] = ()
    disruption_budget: DisruptionBudgetArgs | None = None
    image_pull_policy: pulumi.Input[str] = "IfNotPresent"


@dataclass(frozen=True, kw_only=True)
class VersionedServiceArgs:
    """The Service `service` on `port`, and its versions by name. `ready_within` is in seconds, for each Deployment.

    The Service selects pods by `selector`, by default `app: <service>`, and sends to their port `target_port`, or that
    with the name `http` if it is None. Its main port is called `port_name`, or by its `protocol`; `further_ports` are
    ports beside it, which every version has. With `adopt`, fields of an existing Service are overwritten.

    With `has_late_port` the Service gets another port, and `complete` builds it: the old one must stay until no route
    uses it.

    With `is_selected_elsewhere` another controller decides which pods an existing Service selects.

    With `speaks_tls` the pods terminate TLS themselves, and their sidecars pass it through. `idle` are the versions
    that no route sends requests to; `complete` builds them. `pod_annotations` are those of every version's pods.
    `account` is a ServiceAccount that exists; with None, one is made, with `account_annotations`.
    `until_rolled_out` has, for the versions for which Pulumi's own wait does not suffice, what returns once the
    Deployment has rolled out.
    """

    service: str
    namespace: pulumi.Input[str]
    port: pulumi.Input[int]
    versions: Mapping[str, VersionArgs]
    protocol: ServiceProtocol = ServiceProtocol.HTTP
    further_ports: Sequence[NamedPort] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    target_port: int | None = None
    adopt: bool = False
    port_name: str | None = None
    has_late_port: bool = False
    speaks_tls: bool = False
    is_selected_elsewhere: bool = False
    idle: frozenset[str] = frozenset()
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    account_annotations: Mapping[str, str] = field(default_factory=dict)
    ready_within: int = 300
    until_rolled_out: Mapping[str, Callable[[], None]] = field(default_factory=dict)


class VersionedService(Component):
    """A ServiceAccount, a Service for all versions, and for each version a Deployment, its ConfigMaps and Secrets and,
    if it has them, a PodDisruptionBudget and a HorizontalPodAutoscaler (Kubernetes: "Specifying a Disruption Budget for
    your Application", "Horizontal Pod Autoscaling").

    Pods continue to serve for `pre_stop_seconds` after they are told to terminate, until every proxy has removed them
    (Kubernetes: "Container Lifecycle Hooks", sleep). ConfigMaps are immutable and named by their content: new content
    is a new ConfigMap, the pods roll over to it, and the old one is deleted last, so no pod starts without its files.
    Secrets are the same, but named by the fingerprints of their texts.

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
        self._account = args.account or self._service_account(name, args).metadata.name
        service = [] if args.has_late_port else [self._service(name, args)]
        self._deployments = {
            version: self._deployment(version) for version in args.versions if version not in args.idle
        }

        self.serving = [*service, *self._deployments.values()]
        self.service_name = service[0].metadata.name if service else pulumi.Output.from_input(args.service)

    def complete(
        self,
        routes: Sequence[pulumi.Resource],
        until_unused: Callable[[], None] | None,
        until_port_unused: Callable[[], None] | None = None,
    ) -> None:
        """Build the Deployments of the idle versions, which depend on `routes`, and register the outputs.

        `until_unused` returns once no Envoy sends requests to the idle versions; only then may they lose pods. None if
        none of them gets requests.
        """
        if self._args.has_late_port:
            self._service(self._name, self._args, routes, until_port_unused)
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
            metadata=_metadata(args.service, args, annotations=dict(args.account_annotations) or None),
            automount_service_account_token=False,
            image_pull_secrets=_references(_pull_secrets(args)) or None,
            opts=self._child(),
        )

    def _service(
        self,
        name: str,
        args: VersionedServiceArgs,
        after: Sequence[pulumi.Resource] = (),
        wait: Callable[[], None] | None = None,
    ) -> k8s.core.v1.Service:
        """Pulumi waits for the Deployments; waiting for endpoints as well would hang if all have 0 replicas."""
        annotations = {"pulumi.com/skipAwait": "true", **adopting(args.adopt)}
        return k8s.core.v1.Service(
            f"{name}-service",
            metadata=_metadata(args.service, args, annotations=annotations),
            spec=k8s.core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=dict(args.selector) or {"app": args.service},
                ports=service_ports(
                    args.port,
                    args.protocol,
                    args.further_ports,
                    speaks_tls=args.speaks_tls,
                    name=args.port_name,
                    target_port=args.target_port,
                    is_adopted=args.adopt,
                ),
            ),
            opts=self._child(
                depends_on=list(after),
                hooks=after_wait(f"{name}: no Envoy uses the port that it loses", wait),
                ignore_changes=["spec.selector", "spec.ports"] if args.is_selected_elsewhere else None,
            ),
        )

    def _deployment(
        self, key: str, after: Sequence[pulumi.Resource] = (), wait: Callable[[], None] | None = None
    ) -> pulumi.Input[k8s.apps.v1.Deployment]:
        name, args, version = f"{self._name}-{key}", self._args, self._args.versions[key]
        labels = {"app": args.service, "version": version.label}
        mounted = self._config_files(name, args, version)
        secret = self._secret_variables(name, args, version)
        volumes = [*(one.volume for one in mounted), *version.volumes]
        self._disruption_budget(name, args, version, labels)
        ready_within = f"{args.ready_within}s"
        template = k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(
                labels={**args.selector, **labels}, annotations=dict(args.pod_annotations) or None
            ),
            spec=k8s.core.v1.PodSpecArgs(
                service_account_name=self._account,
                automount_service_account_token=False,
                termination_grace_period_seconds=version.termination_grace_period_seconds,
                containers=[_container(args.service, version, mounted, secret)],
                volumes=volumes or None,
                image_pull_secrets=_references(version.image_pull_secrets) or None,
            ),
        )
        deployment = k8s.apps.v1.Deployment(
            name,
            metadata=_metadata(
                version.name, args, labels=labels, annotations=TAKES_REPLICAS if version.owns_replicas else None
            ),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=version.replicas,
                min_ready_seconds=version.min_ready_seconds,
                progress_deadline_seconds=max(PROGRESS_DEADLINE, args.ready_within),
                strategy=version.strategy,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
                template=laid_over_pods(template, version.pod_template),
            ),
            opts=self._child(
                depends_on=list(after),
                hooks=after_wait(f"{name}: no Envoy sends requests to it", wait),
                custom_timeouts=pulumi.CustomTimeouts(create=ready_within, update=ready_within),
                ignore_changes=[REPLICAS] if version.keeps_replicas else None,
            ),
        )
        if version.autoscaling is not None:
            horizontal_pod_autoscaler(
                f"{name}-autoscaler",
                version.autoscaling,
                _metadata(version.name, args, labels=labels),
                version.name,
                self._child(
                    depends_on=[*after, deployment],
                    hooks=after_wait(f"{name}-autoscaler: no Envoy sends requests to its pods", wait),
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

    def _config_files(self, name: str, args: VersionedServiceArgs, version: VersionArgs) -> list[Mounted]:
        return config_files(
            name, version.config_files, lambda end: _metadata(f"{version.name}-{end}", args), self._child
        )

    def _secret_variables(
        self, name: str, args: VersionedServiceArgs, version: VersionArgs
    ) -> pulumi.Output[str] | None:
        texts = secret_variables(version.env)
        if not texts:
            return None
        metadata = _metadata(f"{version.name}-env-{fingerprints_hash('env', texts)}", args)
        secret = immutable_secret(f"{name}-env", metadata, texts, self._child())
        made: pulumi.Output[str] = secret.metadata.name
        return made


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


def _pull_secrets(args: VersionedServiceArgs) -> list[str]:
    """Those of all versions, which share the account; it gives them to pods that name none."""
    return list(dict.fromkeys(name for version in args.versions.values() for name in version.image_pull_secrets))


def _references(names: Sequence[str]) -> list[k8s.core.v1.LocalObjectReferenceArgs]:
    return [k8s.core.v1.LocalObjectReferenceArgs(name=name) for name in names]


def _container(
    service: str, version: VersionArgs, mounted: Sequence[Mounted], secret: pulumi.Input[str] | None
) -> k8s.core.v1.ContainerArgs:
    """The security context is set on the container, not on the pod, which would affect Istio's injected containers."""
    return k8s.core.v1.ContainerArgs(
        name=service,
        image=version.image,
        image_pull_policy=version.image_pull_policy,
        command=list(version.command) or None,
        args=list(version.args) or None,
        env=variables(version.env, secret) or None,
        env_from=list(version.env_from) or None,
        ports=container_ports(version.port, version.further_ports),
        resources=version.resources,
        readiness_probe=version.readiness_probe,
        liveness_probe=version.liveness_probe,
        startup_probe=version.startup_probe,
        lifecycle=_pre_stop_sleep(version.pre_stop_seconds),
        volume_mounts=[*(one.mount for one in mounted), *version.volume_mounts] or None,
        security_context=version.security_context,
    )


def _pre_stop_sleep(seconds: int) -> k8s.core.v1.LifecycleArgs | None:
    if seconds == 0:
        return None
    sleep = k8s.core.v1.SleepActionArgs(seconds=seconds)
    return k8s.core.v1.LifecycleArgs(pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=sleep))
