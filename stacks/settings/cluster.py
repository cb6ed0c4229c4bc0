"""The cluster of a stack: one that exists, one of another stack, or one that the stack creates, by kind.

Every kind tells how this machine reaches it (`kube.kubeconfig.ClusterAccess`): by a kubeconfig's path and context, or
by the text of one that the stack's file has encrypted, or that a stack has as an output, which is asked for when it is
needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, Strict, Tag, model_validator

from kube.late_kubeconfig import LateKubeconfig
from stacks.settings.cluster_fields import (
    AwsRegion,
    AwsZone,
    AzureLocation,
    ControlPlaneNetwork,
    EntraId,
    FullKubernetesVersion,
    GcpLocation,
    GcpProject,
    GkeName,
    KubeconfigPathOrText,
    KubernetesVersion,
    Label,
    LabelText,
    MinorKubernetesVersion,
    Networks,
    StackName,
    own_labels,
)
from stacks.settings.encrypted import Encrypted
from stacks.settings.kubeconfig_text import late_kubeconfig
from stacks.settings.output_cluster import FromOutput
from traffic.fields import DnsLabel, Model, Text, wrong

SANDBOXES = "/var/lib/istio-canary"
"""Where the sandboxes of `canary sandbox up` are; a test holds it against theirs."""
OTHER_STACK = "stackReference"


class Kind(StrEnum):
    """The kinds of clusters. `stackReference` needs no `kind`."""

    EXISTING = "existing"
    SANDBOX = "sandbox"
    MINIKUBE = "minikube"
    KIND = "kind"
    GKE = "gke"
    EKS = "eks"
    AKS = "aks"


class Places(dict[str, str]):
    """Where a file names a cluster, by key: two files may name the same one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)


class ClusterSettings(Model):
    """A cluster that exists, reached by a kubeconfig."""

    is_created: ClassVar[bool] = False

    kind: Literal["existing"] = Field(default="existing", description="A cluster that exists.")
    path_or_text: KubeconfigPathOrText | None = Field(
        default=None,
        alias="kubeconfig",
        examples=["~/.kube/config"],
        description="Path, with ~ and $VARS, or the text, encrypted; defaults to $KUBECONFIG or ~/.kube/config.",
    )
    context: Text | None = Field(
        default=None, examples=["staging"], description="Context in the kubeconfig; defaults to its current context."
    )
    _places: Places = PrivateAttr(default_factory=Places)
    _late: LateKubeconfig | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        if isinstance(self.path_or_text, Encrypted):
            self._late = late_kubeconfig()

    @property
    def kubeconfig(self) -> str | None:
        """The path of the kubeconfig; None for kubectl's default, and for a text."""
        return None if isinstance(self.path_or_text, Encrypted) else self.path_or_text

    def named_at(self, key: str) -> str | None:
        """Return where the stack's file names a key, or else the cluster: `Pulumi.dev.yaml:5: istio-canary:cluster`."""
        return self._places.get(key)

    def placed(self, places: Mapping[str, str]) -> Self:
        """Return the same cluster, which knows these places by key."""
        found = self.model_copy()
        found._places = Places(places)
        return found

    @property
    def late(self) -> LateKubeconfig | None:
        """Where the decrypted text of the kubeconfig comes from; None if it is a file."""
        return self._late


class SandboxSettings(Model):
    """The cluster of `canary sandbox up` on this machine."""

    is_created: ClassVar[bool] = False

    kind: Literal["sandbox"] = Field(description="The cluster of `canary sandbox up` on this machine.")
    name: DnsLabel = Field(default="sandbox", description="The sandbox's name.")

    @property
    def kubeconfig(self) -> str:
        """The path of the sandbox's kubeconfig."""
        return f"{SANDBOXES}/{self.name}/kubeconfig"

    @property
    def context(self) -> str:
        """The sandbox's context in it."""
        return f"istio-canary-{self.name}"

    @property
    def late(self) -> None:
        """None: the kubeconfig is a file."""
        return


class OtherStackSettings(FromOutput):
    """The cluster that another stack of Pulumi has as its outputs `kubeconfig` and `endpoint`."""

    is_created: ClassVar[bool] = False

    stack_reference: StackName = Field(
        examples=["organization/istio-canary/prod-cluster"],
        description="Stack whose output `kubeconfig` is taken, as <organization>/<project>/<stack>.",
    )

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the cluster of the stack {self.stack_reference}"


class MinikubeSettings(FromOutput):
    """A minikube that the stack creates and deletes."""

    kind: Literal["minikube"] = Field(description="A minikube that the stack creates and deletes.")
    profile: DnsLabel = Field(default="istio-canary", description="The minikube's profile, which is its context too.")
    kubernetes_version: KubernetesVersion = Field(examples=["1.34.1"], description="Release of Kubernetes, in quotes.")
    driver: Literal["docker", "podman", "kvm2", "qemu2", "virtualbox"] | None = Field(
        default=None, description="What the node runs in; by default, what minikube finds."
    )
    nodes: Annotated[int, Field(ge=1, le=10)] = Field(default=1, description="Number of nodes.")
    cpus: Annotated[int, Field(ge=2, le=64)] = Field(default=4, description="CPUs of each node.")
    memory: Annotated[int, Field(ge=2048, le=262144)] = Field(default=6144, description="Memory of each node, in MiB.")

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the minikube {self.profile}"


class KindSettings(FromOutput):
    """A kind (Kubernetes in Docker) that the stack creates and deletes."""

    kind: Literal["kind"] = Field(description="A kind (Kubernetes in Docker) that the stack creates and deletes.")
    name: DnsLabel = Field(default="istio-canary", description="The cluster's name; its context is kind-<name>.")
    kubernetes_version: FullKubernetesVersion = Field(
        examples=["1.34.0"], description="Release of Kubernetes, in quotes: all three numbers, as kindest/node has it."
    )
    workers: Annotated[int, Field(ge=0, le=10)] = Field(default=0, description="Nodes beside the control plane's.")

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the kind {self.name}"


class Nodes(Model):
    """The autoscaled nodes of a cluster."""

    min: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Least number of nodes.")
    max: Annotated[int, Field(ge=1, le=1000)] = Field(default=3, description="Greatest number of nodes.")
    machine_type: Text | None = Field(
        default=None,
        examples=["e2-standard-4"],
        description="The cloud's name for the machine; by default, one with 4 CPUs and 16 GiB.",
    )
    disk_size: Annotated[int, Field(ge=20, le=2000)] = Field(default=100, description="Disk of each node, in GB.")

    @model_validator(mode="before")
    @classmethod
    def _is_no_number(cls, value: Any) -> Any:
        if type(value) is int and 1 <= value <= 1000:
            allowed = "a mapping with the keys min, max, machineType, diskSize"
            fix = f"write nodes: {{min: {value}, max: {value}}}, for as many at any time"
            raise wrong("the number of nodes follows the load, between `min` and `max`", allowed, fix)
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            given = "max" in self.model_fields_set
            what = f"min {self.min} is more than max {self.max}{'' if given else ', the default'}"
            raise wrong(
                what, "min of at most max", f"write min: {self.max}" if given else f"write max: {self.min}, too"
            )
        return self


class CloudSettings(FromOutput):
    """What the clusters of all clouds have. Their nodes have no public addresses, and their secrets are encrypted."""

    name: DnsLabel | None = Field(default=None, description="The cluster's name; defaults to <project>-<stack>.")
    nodes: Nodes = Field(default_factory=Nodes, description="The autoscaled nodes.")
    authorized_networks: Networks = Field(
        examples=[["198.51.100.0/24"]],
        description="Networks whose callers may ask the API server: of those who run `canary`, and of pipelines.",
    )
    deletion_protection: bool = Field(
        default=True, description="The cloud refuses to delete the cluster until this is false."
    )
    labels: Annotated[dict[Label, LabelText], Field(max_length=30), AfterValidator(own_labels)] = Field(
        default_factory=dict,
        examples=[{"cost-center": "shop"}],
        description="Labels or tags of what is created, for bills; the project and the stack are added.",
    )

    @property
    def place(self) -> str:
        """The cloud's region or zone."""
        raise NotImplementedError


class Channel(StrEnum):
    """GKE's release channels."""

    RAPID = "RAPID"
    REGULAR = "REGULAR"
    STABLE = "STABLE"
    EXTENDED = "EXTENDED"


class GkeSettings(CloudSettings):
    """A cluster of Google Kubernetes Engine."""

    name: GkeName | None = Field(default=None, description="The cluster's name; defaults to <project>-<stack>.")
    kind: Literal["gke"] = Field(description="A cluster of Google Kubernetes Engine that the stack creates.")
    project: GcpProject = Field(examples=["my-project-1"], description="Id of the Google Cloud project.")
    location: GcpLocation = Field(
        examples=["europe-west1"], description="Region, for a control plane in three zones, or zone."
    )
    release_channel: Annotated[Channel, Strict(False)] = Field(
        default=Channel.REGULAR, description="GKE's release channel, which keeps the version supported."
    )
    version: KubernetesVersion | None = Field(
        default=None, examples=["1.34"], description="Least release of the control plane; by default, the channel's."
    )
    control_plane_cidr: ControlPlaneNetwork = Field(
        default="172.16.0.0/28", description="Private network of the control plane, a /28 that nothing else uses."
    )

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the GKE cluster in {self.project}, {self.location}"

    @property
    def place(self) -> str:
        """The region or zone."""
        return self.location


class EksSettings(CloudSettings):
    """A cluster of Amazon Elastic Kubernetes Service."""

    kind: Literal["eks"] = Field(description="A cluster of Amazon EKS that the stack creates.")
    region: AwsRegion = Field(examples=["eu-central-1"], description="AWS region.")
    version: MinorKubernetesVersion = Field(examples=["1.34"], description="Release of Kubernetes, in quotes.")
    zones: Annotated[tuple[AwsZone, ...], Field(max_length=6, strict=False)] | None = Field(
        default=None,
        examples=[["eu-central-1a", "eu-central-1b"]],
        description="Availability zones of the nodes, at least two; defaults to a and b of the region.",
    )

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the EKS cluster in {self.region}"

    @property
    def place(self) -> str:
        """The region."""
        return self.region

    @model_validator(mode="after")
    def _in_the_region(self) -> Self:
        if self.zones is not None and len(set(self.zones)) < 2:
            allowed = "two zones or more, which EKS asks for"
            other = "a" if f"{self.region}a" not in self.zones else "b"
            raise wrong(f"there is one zone of {self.region}", allowed, f"add {self.region}{other}, for example")
        far = [zone for zone in self.zones or () if not zone.startswith(self.region)]
        if far:
            allowed = f"zones of {self.region}, such as {self.region}a"
            raise wrong(f"the zone {far[0]} is not in {self.region}", allowed, f"write {self.region}a, for example")
        return self


class AksSettings(CloudSettings):
    """A cluster of Azure Kubernetes Service."""

    kind: Literal["aks"] = Field(description="A cluster of Azure Kubernetes Service that the stack creates.")
    location: AzureLocation = Field(examples=["westeurope"], description="Azure region.")
    version: KubernetesVersion = Field(examples=["1.34"], description="Release of Kubernetes, in quotes.")
    admin_groups: Annotated[tuple[EntraId, ...], Field(min_length=1, max_length=20, strict=False)] = Field(
        examples=[["11111111-2222-3333-4444-555555555555"]],
        description="Groups of Microsoft Entra that administer the cluster, by object id; you must be in one.",
    )

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        return f"the AKS cluster in {self.location}"

    @property
    def place(self) -> str:
        """The region."""
        return self.location


MODELS: Mapping[str, type[Model]] = {
    Kind.EXISTING: ClusterSettings,
    Kind.SANDBOX: SandboxSettings,
    Kind.MINIKUBE: MinikubeSettings,
    Kind.KIND: KindSettings,
    Kind.GKE: GkeSettings,
    Kind.EKS: EksSettings,
    Kind.AKS: AksSettings,
    OTHER_STACK: OtherStackSettings,
}
"""The settings of each kind."""


def marker(kind: str) -> str:
    """Return the marker of a kind in the locations of validation errors; no key can have this name."""
    return f"<cluster {kind}>"


MARKED: Mapping[str, type[Model]] = {marker(kind): model for kind, model in MODELS.items()}
"""The settings of each kind, by marker."""


def kind_of_cluster(value: Any) -> str:
    """Return the marker for a cluster's settings; without `kind`, it exists, or is that of another stack."""
    if isinstance(value, Model):
        return next(mark for mark, model in MARKED.items() if type(value) is model)
    if not isinstance(value, Mapping):
        return marker(Kind.EXISTING)
    kind = value.get("kind")
    if kind is None and (OTHER_STACK in value or "stack_reference" in value):
        return marker(OTHER_STACK)
    return marker(str(kind) if "kind" in value else Kind.EXISTING)


AnyClusterSettings = Annotated[
    Annotated[ClusterSettings, Tag(marker(Kind.EXISTING))]
    | Annotated[SandboxSettings, Tag(marker(Kind.SANDBOX))]
    | Annotated[MinikubeSettings, Tag(marker(Kind.MINIKUBE))]
    | Annotated[KindSettings, Tag(marker(Kind.KIND))]
    | Annotated[GkeSettings, Tag(marker(Kind.GKE))]
    | Annotated[EksSettings, Tag(marker(Kind.EKS))]
    | Annotated[AksSettings, Tag(marker(Kind.AKS))]
    | Annotated[OtherStackSettings, Tag(marker(OTHER_STACK))],
    Discriminator(kind_of_cluster),
]
"""The cluster of a stack, of any kind."""
CreatedSettings = MinikubeSettings | KindSettings | GkeSettings | EksSettings | AksSettings
"""The kinds that the stack creates itself."""
