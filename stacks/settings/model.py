"""Every setting of a stack: type, default, bounds and description.

A stack's file `Pulumi.<stack>.yaml` has them under `config:`, each key with the namespace `istio-canary:`. Keys are in
camelCase there, and in snake_case in these classes. Names are those of Kubernetes or Istio where they have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, Strict, Tag, model_validator

from stacks.settings.autoscaling import Autoscaling
from stacks.settings.cluster import AnyClusterSettings, ClusterSettings
from stacks.settings.disruption import DisruptionBudget
from stacks.settings.encrypted import PlainOrEncrypted
from stacks.settings.environment_variables import EnvFrom, Variables
from stacks.settings.fields import (
    FileName,
    Image,
    MountPath,
)
from stacks.settings.gate_service import GateServiceSettings
from stacks.settings.kubernetes_values import PodTemplateSpec
from stacks.settings.mesh import MeshSettings
from stacks.settings.probes import LivenessProbe, Probe, StartupProbe, accepts_connections
from stacks.settings.proxy_sync import ProxySyncSettings
from stacks.settings.pull_secrets import PullSecrets
from stacks.settings.resources import Resources
from stacks.settings.revisions import NamespaceSettings
from stacks.settings.rollout_group import RolloutGroup
from stacks.settings.rollout_runner import RolloutRunnerSettings
from stacks.settings.security import SecurityContext
from stacks.settings.service_account import ServiceAccount
from stacks.settings.strategy import Seconds, ServiceStrategy, Strategy, StrategyName
from stacks.settings.telemetry import TelemetrySettings
from stacks.settings.volumes import VolumeMounts, Volumes
from traffic.fields import DnsLabel, HeaderName, Model, OpenPort, wrong
from traffic.model import (
    DEPLOYED,
    OUTSIDE,
    ExternalService,
    OutsideVersion,
    RolloutStrategy,
    ServiceRouting,
    SharedGateway,
    Source,
    VersionRouting,
    version_label,
)
from traffic.model.outside import kind_of_version

Count = Annotated[int, Field(ge=0, le=1000)]


class ImagePullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Sample(StrEnum):
    """The samples that a stack can enable."""

    WEBSITE = "website"
    HELLO_MINIKUBE = "hello-minikube"
    JAVA_SERVICE = "java-service"
    ASSETS = "assets"
    ASSETS_INGRESS = "assets-ingress"
    CLOUD_NATIVE_STARTER = "cloud-native-starter"


class VersionSettings(VersionRouting):
    """One version of a service: one Deployment."""

    image: Image = Field(examples=["hashicorp/http-echo:1.0.0"], description="Image of the container.")
    port: OpenPort = Field(examples=[8080], description="Port that the container listens on.")
    replicas: Count | None = Field(
        default=1, description="Number of pods; null leaves the number to somebody else, such as another autoscaler."
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        examples=[{"minReplicas": 2, "maxReplicas": 10, "cpu": 70}],
        description="Lets a HorizontalPodAutoscaler decide about the number of pods, instead of `replicas`.",
    )
    name: DnsLabel = Field(default="", description="Name of the Deployment; defaults to <service>-<version>.")
    command: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), description="Replaces the image's entrypoint."
    )
    args: Annotated[tuple[str, ...], Strict(False)] = Field(default=(), description="Replaces the image's arguments.")
    env: Variables = Field(
        default_factory=dict,
        description="Environment variables: text, encrypted text, or valueFrom.",
    )
    env_from: Annotated[tuple[EnvFrom, ...], Strict(False)] = Field(
        default=(),
        examples=[[{"secretRef": {"name": "billing-db"}}]],
        description="Environment variables for all keys of Secrets and ConfigMaps.",
    )
    resources: Resources = Field(default_factory=Resources, description="Requests and limits of the container.")
    readiness_probe: Probe = Field(
        default_factory=accepts_connections,
        description="When the pod gets requests; by default, when its port accepts connections.",
    )
    liveness_probe: LivenessProbe | None = Field(
        default=None, description="When the container is restarted; by default, only when it exits."
    )
    startup_probe: StartupProbe | None = Field(
        default=None, description="When the container has started; until then, the other probes are not run."
    )
    pod_template: PodTemplateSpec | None = Field(
        default=None,
        examples=[{"spec": {"nodeSelector": {"disktype": "ssd"}}}],
        description="Kubernetes' PodTemplateSpec, laid over this version's pods, and over the service's podTemplate.",
    )
    strategy: Strategy = Field(default_factory=Strategy, description="How new pods replace old ones.")
    min_ready_seconds: Seconds = Field(
        default=0, description="Seconds a new pod must stay ready to be available; below `readyWithin`."
    )
    termination_grace_period_seconds: Seconds = Field(default=30, description="Seconds a pod has to shut down.")
    pre_stop_seconds: Seconds = Field(
        default=5,
        description="Seconds that a pod keeps serving before it shuts down, until every proxy knows.",
    )
    security_context: SecurityContext = Field(
        default_factory=SecurityContext,
        description="What the container may do; by default, what the restricted Pod Security Standard allows.",
    )
    config_files: dict[MountPath, dict[FileName, PlainOrEncrypted]] = Field(
        default_factory=dict,
        description="Read-only files, by folder and name; a change replaces the pods.",
    )
    volumes: Volumes = Field(
        default=(), examples=[[{"name": "tmp", "emptyDir": {}}]], description="Volumes of the pods."
    )
    volume_mounts: VolumeMounts = Field(
        default=(),
        examples=[[{"name": "tmp", "mountPath": "/tmp"}]],  # noqa: S108 - a path in a container
        description="Where the container has the volumes.",
    )
    image_pull_secrets: PullSecrets = Field(
        default=(),
        examples=[["regcred"]],
        description="Secrets for a private registry, in the service's namespace.",
    )
    pod_disruption_budget: DisruptionBudget | None = Field(
        default=None,
        examples=[{"maxUnavailable": 1}],
        description="How many of its pods may be evicted at a time; defaults to the service's.",
    )
    image_pull_policy: Annotated[ImagePullPolicy, Strict(False)] = Field(
        default=ImagePullPolicy.IF_NOT_PRESENT, description="When the image is pulled."
    )

    @property
    def least_replicas(self) -> int | None:
        """The number of pods, with autoscaling the least one; None if somebody else decides about it."""
        return self.autoscaling.min_replicas if self.autoscaling else self.replicas

    @property
    def scaled_by(self) -> str:
        """Who decides about the number of pods, in words; empty if it is `replicas`."""
        if self.autoscaling:
            return f"autoscaling, {self.autoscaling.min_replicas} to {self.autoscaling.max_replicas}"
        return "" if self.replicas is not None else "not managed"

    @model_validator(mode="after")
    def _shuts_down_in_time(self) -> VersionSettings:
        if 0 < self.termination_grace_period_seconds <= self.pre_stop_seconds:
            raise wrong(
                f"a pod would be killed after {self.termination_grace_period_seconds} s, before its preStop hook of "
                f"{self.pre_stop_seconds} s ends",
                "terminationGracePeriodSeconds above preStopSeconds",
                f"write terminationGracePeriodSeconds: {self.pre_stop_seconds + 25}",
            )
        return self


AnyVersionSettings = Annotated[
    Annotated[VersionSettings, Tag(DEPLOYED)] | Annotated[OutsideVersion, Tag(OUTSIDE)],
    Discriminator(kind_of_version),
]


class ServiceSettings(ServiceRouting):
    """One service: its hosts, its versions with their pods, and the route between them."""

    versions: Annotated[dict[DnsLabel, AnyVersionSettings], Field(min_length=1)] = Field(
        examples=[{"version-1": {"image": "hashicorp/http-echo:1.0.0", "port": 5678}}],
        description="The versions, by name, which is also the name of Istio's subset.",
    )
    strategy: ServiceStrategy = Field(
        default_factory=lambda: ServiceStrategy.model_validate(StrategyName.CANARY.value),
        examples=["blueGreen", {"blueGreen": {"active": "version-1"}}, {"ramped": {"maxUnavailable": 1}}],
        description="How a new state of the service takes over: recreate or ramped, how the pods of a version are "
        "replaced; blueGreen or canary, how requests move from one version to another.",
    )
    pod_disruption_budget: DisruptionBudget | None = Field(
        default=None,
        examples=[{"maxUnavailable": 1}],
        description="How many pods of each version may be evicted at a time, unless the version says it.",
    )
    adopt: bool = Field(
        default=False,
        description="Take over objects of the same names that someone else has made: their fields are overwritten.",
    )

    @property
    def deployed(self) -> dict[str, VersionSettings]:
        """The versions that the stack deploys."""
        return {name: one for name, one in self.versions.items() if isinstance(one, VersionSettings)}

    @property
    def outside(self) -> dict[str, OutsideVersion]:
        """The versions that the stack does not make."""
        return {name: one for name, one in self.versions.items() if isinstance(one, OutsideVersion)}

    pod_template: PodTemplateSpec | None = Field(
        default=None,
        examples=[{"spec": {"nodeSelector": {"disktype": "ssd"}}}],
        description="Kubernetes' PodTemplateSpec, laid over the pods of every version.",
    )
    service_account: ServiceAccount = Field(
        default_factory=ServiceAccount,
        examples=[{"annotations": {"iam.gke.io/gcp-service-account": "shop@project.iam.gserviceaccount.com"}}],
        description="The ServiceAccount of its pods; by default, one with the service's name.",
    )

    def pod_labels(self, name: str, version: str) -> dict[str, str] | None:
        """Return the labels of a version's pods; None if it has none, such as a host outside the mesh. `name` is the
        service's name.
        """
        given = self.versions[version]
        if isinstance(given, OutsideVersion):
            is_pods = given.source is Source.PODS
            return {**self.selector_of(name), **given.pod_labels(version)} if is_pods else None
        own: Mapping[str, str] = ((given.pod_template or {}).get("metadata") or {}).get("labels") or {}
        return {**own, **self.selector_of(name), "app": name, "version": version_label(name, version)}

    def account(self, name: str) -> str:
        """Return the ServiceAccount of the pods; `name` is the service's name."""
        return self.service_account.name or name


def _none_if_empty(value: Any) -> Any:
    """Pulumi.yaml has a default for every key, which cannot be null."""
    return None if value == "" else value


def _settable(header: str) -> str:
    if header in ("host", "content-length", "transfer-encoding", "connection"):
        raise wrong(
            f"the header {header!r} controls the connection itself",
            "a custom response header",
            "write x-served-version",
        )
    return header


def _once(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    twice = [sample for index, sample in enumerate(samples) if sample in samples[:index]]
    if twice:
        raise wrong(f"{twice[0].value} is given twice", "each sample once", "remove one of the two")
    return samples


SettableHeader = Annotated[HeaderName, AfterValidator(_settable)]


class Settings(Model):
    """All settings of a stack."""

    cluster: AnyClusterSettings = Field(
        default_factory=ClusterSettings,
        examples=[{"context": "staging"}, {"stackReference": "organization/istio-canary/prod-cluster"}],
        description="The cluster that the stack is deployed to: one that exists, that of another stack, or one that "
        "the stack creates, by `kind`.",
    )
    mesh: MeshSettings = Field(default_factory=MeshSettings, description="The Istio mesh.")
    version_header: Annotated[SettableHeader | None, BeforeValidator(_none_if_empty)] = Field(
        default=None,
        description="Response header with the version that served the request, such as x-served-version.",
    )
    ready_within: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=300, description="Seconds that `up` waits for each Deployment and each chart."
    )
    taken_within: Annotated[int, Field(ge=1, le=600)] = Field(
        default=30, description="Seconds within which the mesh's Envoys must apply a change of routes."
    )
    proxy_sync: ProxySyncSettings = Field(
        default_factory=ProxySyncSettings,
        examples=[{"ask": "gateway", "waitSeconds": 10}],
        description="How `up` knows that the Envoys have applied a change of routes.",
    )
    samples: Annotated[tuple[Annotated[Sample, Strict(False)], ...], AfterValidator(_once), Strict(False)] = Field(
        default=(), description="Samples whose settings are laid under those of the stack."
    )
    gateways: dict[DnsLabel, SharedGateway] = Field(
        default_factory=dict, description="Gateways that services share, by name: ports, hosts, TLS."
    )
    services: dict[DnsLabel, ServiceSettings] = Field(default_factory=dict, description="Services, by name.")
    rollouts: dict[DnsLabel, RolloutStrategy] = Field(
        default_factory=dict,
        examples=[{"careful": {"steps": [{"weight": 10, "for": "10m"}, {"weight": 100}]}}],
        description="Strategies of rollouts, by a name that rules use.",
    )
    rollout_groups: dict[DnsLabel, RolloutGroup] = Field(
        default_factory=dict,
        examples=[{"checkout": {"services": ["articles", "web-api", "frontend"]}}],
        description="Services that are rolled out together, by one verdict, by the name of their group.",
    )
    fence: Annotated[bool | None, BeforeValidator(_none_if_empty)] = Field(
        default=None,
        description="Whether an admission policy keeps versions that an aborted rollout has barred without requests; "
        "by default, if the stack has rollouts, and whoever runs it may create such policies.",
    )
    gate_service: GateServiceSettings = Field(
        default_factory=GateServiceSettings,
        examples=[{"enabled": True}],
        description="The service that tells other engines of rollouts whether a canary may rise; off by default.",
    )
    rollout_runner: RolloutRunnerSettings = Field(
        default_factory=RolloutRunnerSettings,
        examples=[{"enabled": True}],
        description="A pod in the cluster that moves rollouts without a person and without a CI job.",
    )
    namespaces: dict[DnsLabel, NamespaceSettings] = Field(
        default_factory=dict, description="Settings for all services of a namespace, by its name."
    )
    egress: dict[DnsLabel, ExternalService] = Field(
        default_factory=dict, description="Hosts outside the mesh that its services may call, by a name of your choice."
    )
    telemetry: TelemetrySettings = Field(
        default_factory=TelemetrySettings, description="Metrics, traces and access logs, and the servers for them."
    )
    _engines: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    """Rollouts that other engines move, by service (`stacks.settings.engines`)."""
