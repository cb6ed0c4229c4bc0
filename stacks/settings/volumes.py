"""Volumes of a pod and where its container mounts them, with Kubernetes' own field names (Kubernetes: "Volumes")."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema, model_validator

from stacks.settings.environment_variables import FieldRef, ResourceFieldRef, require_one
from stacks.settings.fields import FileName, MountPath, Quantity
from traffic.fields import DnsLabel, Model, ObjectName, Text, wrong

OCTAL = r"0?[0-7]{3}"
LARGEST_MODE = 0o777


def _mode(value: Any) -> Any:
    """The permissions as a number; quoted, they are octal, as for chmod."""
    if isinstance(value, str) and re.fullmatch(OCTAL, value):
        return int(value, 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_MODE:
        return value
    octal = str(value) if re.fullmatch(OCTAL, str(value)) else "0400"
    raise wrong(
        "these are no permissions of a file",
        'octal in quotes from "0000" to "0777", as for chmod, or the same number in decimal, at most 511',
        f'write "{octal.zfill(4)}"' + ("" if octal == str(value) else ", for example"),
    )


def _relative_path(value: str) -> str:
    if value and not value.startswith("/") and ".." not in value.split("/"):
        return value
    raise wrong(
        f"{value!r} is not a path inside the volume",
        "a path that does not begin with / and has no '..'",
        f"write {value.replace('..', '').strip('/') or 'tls/key.pem'}, for example",
    )


Mode = Annotated[
    int,
    BeforeValidator(_mode),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST_MODE},
                   {"type": "string", "pattern": f"^{OCTAL}$"}]}
    ),
]  # fmt: skip
RelativePath = Annotated[str, AfterValidator(_relative_path), WithJsonSchema({"type": "string", "pattern": r"^[^/]"})]


class KeyToPath(Model):
    """A key of a Secret or ConfigMap as a file."""

    key: FileName = Field(examples=["tls.key"], description="The key.")
    path: RelativePath = Field(examples=["tls.key"], description="Path of the file in the volume.")
    mode: Mode | None = Field(default=None, description='Permissions of the file, such as "0400".')


Items = Annotated[tuple[KeyToPath, ...], Strict(False)]


class SecretVolume(Model):
    """The keys of a Secret as files."""

    secret_name: ObjectName = Field(examples=["billing-tls"], description="Name of the Secret.")
    items: Items = Field(default=(), description="The keys that become files; all by default.")
    default_mode: Mode | None = Field(default=None, description='Permissions of the files; Kubernetes takes "0644".')
    optional: bool = Field(default=False, description="Whether the pod starts without it.")


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as files."""

    name: ObjectName = Field(examples=["billing-rates"], description="Name of the ConfigMap.")
    items: Items = Field(default=(), description="The keys that become files; all by default.")
    default_mode: Mode | None = Field(default=None, description='Permissions of the files; Kubernetes takes "0644".')
    optional: bool = Field(default=False, description="Whether the pod starts without it.")


class EmptyDir(Model):
    """An empty folder that is deleted with the pod."""

    medium: Literal["", "Memory"] = Field(default="", description="Memory for a tmpfs; by default, the node's disk.")
    size_limit: Quantity | None = Field(default=None, description="The pod is evicted above this size.")


class ClaimVolume(Model):
    """A PersistentVolumeClaim of the service's namespace."""

    claim_name: ObjectName = Field(examples=["billing-data"], description="Name of the claim.")
    read_only: bool = Field(default=False, description="Whether it is mounted read-only.")


class ProjectedObject(Model):
    """A Secret or ConfigMap in a projected volume."""

    name: ObjectName = Field(examples=["billing-tls"], description="Name of the Secret or ConfigMap.")
    items: Items = Field(default=(), description="The keys that become files; all by default.")
    optional: bool = Field(default=False, description="Whether the pod starts without it.")


class PodFile(Model):
    """A field or resource of the pod as a file."""

    path: RelativePath = Field(examples=["labels"], description="Path of the file in the volume.")
    field_ref: FieldRef | None = Field(default=None, description="A field of the pod.")
    resource_field_ref: ResourceFieldRef | None = Field(default=None, description="A request or limit of a container.")
    mode: Mode | None = Field(default=None, description='Permissions of the file, such as "0400".')

    @model_validator(mode="after")
    def _one_source(self) -> PodFile:
        require_one(self, "the file", "write fieldRef: {fieldPath: metadata.name}, for example", ("path", "mode"))
        return self


class DownwardApi(Model):
    """Fields of the pod as files."""

    items: Annotated[tuple[PodFile, ...], Field(min_length=1), Strict(False)] = Field(description="The files.")


class ServiceAccountToken(Model):
    """A token of the service's ServiceAccount that the kubelet renews."""

    path: RelativePath = Field(examples=["token"], description="Path of the file in the volume.")
    audience: Text | None = Field(default=None, description="Who accepts it; by default, Kubernetes' API server.")
    expiration_seconds: Annotated[int, Field(ge=600, le=4294967296)] | None = Field(
        default=None, description="Lifetime; Kubernetes takes 3600."
    )


class Projection(Model):
    """One source of a projected volume."""

    secret: ProjectedObject | None = Field(default=None, description="The keys of a Secret.")
    config_map: ProjectedObject | None = Field(default=None, description="The keys of a ConfigMap.")
    downward_api: DownwardApi | None = Field(default=None, alias="downwardAPI", description="Fields of the pod.")
    service_account_token: ServiceAccountToken | None = Field(
        default=None, description="A token of the service's ServiceAccount."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Projection:
        require_one(self, "the entry", "write secret: {name: billing-tls}, for example")
        return self


class Projected(Model):
    """Several sources in one folder."""

    sources: Annotated[tuple[Projection, ...], Field(min_length=1), Strict(False)] = Field(
        examples=[[{"secret": {"name": "billing-tls"}}]], description="What is in the folder."
    )
    default_mode: Mode | None = Field(default=None, description='Permissions of the files; Kubernetes takes "0644".')


class Volume(Model):
    """A volume of the pods: its name and one source."""

    name: DnsLabel = Field(examples=["tls"], description="Name, by which volumeMounts refer to it.")
    secret: SecretVolume | None = Field(default=None, description="The keys of a Secret as files.")
    config_map: ConfigMapVolume | None = Field(default=None, description="The keys of a ConfigMap as files.")
    empty_dir: EmptyDir | None = Field(default=None, description="An empty folder that is deleted with the pod.")
    persistent_volume_claim: ClaimVolume | None = Field(default=None, description="A PersistentVolumeClaim.")
    projected: Projected | None = Field(default=None, description="Several sources in one folder.")

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        require_one(self, "the volume", "write emptyDir: {}, for example", ignored=("name",))
        return self


class VolumeMount(Model):
    """Where the container has a volume."""

    name: DnsLabel = Field(examples=["tls"], description="Name of the volume.")
    mount_path: MountPath = Field(examples=["/etc/tls"], description="Folder, or file with subPath.")
    sub_path: RelativePath | None = Field(default=None, description="A folder or file of the volume instead of all.")
    read_only: bool = Field(default=False, description="Whether the container cannot write to it.")


Volumes = Annotated[tuple[Volume, ...], Strict(False)]
VolumeMounts = Annotated[tuple[VolumeMount, ...], Strict(False)]
