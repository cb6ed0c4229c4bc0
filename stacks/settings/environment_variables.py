"""Environment variables of a container: texts, encrypted texts, and what Kubernetes reads elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from stacks.settings.encrypted import ENCRYPTED, TEXT, Encrypted, kind_of_text
from stacks.settings.fields import FileName, Quantity, VariableName
from stacks.settings.problems import shown
from traffic.fields import Model, ObjectName, wrong

SOURCE = "<source>"
"""Marker of variables with `valueFrom` in the locations of validation errors; no key can have this name."""

FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
"""Fields of a pod that a variable can have (Kubernetes: "Downward API", available fields)."""
FIELD = rf"{'|'.join(map(re.escape, FIELDS))}|metadata\.(labels|annotations)\['[^']+'\]"
RESOURCE = r"(requests|limits)\.(cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+)"


def _field_path(value: str) -> str:
    if re.fullmatch(FIELD, value):
        return value
    raise wrong(
        f"{value!r} is not a field of the pod that a variable can have",
        f"{', '.join(FIELDS)}, metadata.labels['<key>'] or metadata.annotations['<key>']",
        "write metadata.name, for example",
    )


def _container_resource(value: str) -> str:
    if re.fullmatch(RESOURCE, value):
        return value
    raise wrong(
        f"{value!r} is not a resource that a variable can have",
        "requests or limits, a dot, and cpu, memory, ephemeral-storage or hugepages-<size>",
        "write limits.memory, for example",
    )


FieldPath = Annotated[str, AfterValidator(_field_path), WithJsonSchema({"type": "string", "pattern": f"^({FIELD})$"})]
ContainerResource = Annotated[
    str, AfterValidator(_container_resource), WithJsonSchema({"type": "string", "pattern": f"^{RESOURCE}$"})
]


class KeyRef(Model):
    """A key of a Secret or a ConfigMap in the service's namespace."""

    name: ObjectName = Field(examples=["billing-db"], description="Name of the Secret or ConfigMap.")
    key: FileName = Field(examples=["password"], description="Key in it.")
    optional: bool = Field(default=False, description="Whether the pod starts without it.")


class FieldRef(Model):
    """A field of the pod."""

    field_path: FieldPath = Field(examples=["metadata.name"], description="Path of the field.")
    api_version: str | None = Field(default=None, description="Version of the path's schema; Kubernetes takes v1.")


class ResourceFieldRef(Model):
    """A request or limit of a container."""

    resource: ContainerResource = Field(examples=["limits.memory"], description="The request or limit.")
    container_name: str | None = Field(default=None, description="The container; defaults to this one.")
    divisor: Quantity | None = Field(default=None, description="Unit of the value, such as 1Mi; Kubernetes takes 1.")


class ValueFrom(Model):
    """Where Kubernetes reads a variable (Kubernetes' EnvVarSource)."""

    secret_key_ref: KeyRef | None = Field(default=None, description="A key of a Secret in the service's namespace.")
    config_map_key_ref: KeyRef | None = Field(
        default=None, description="A key of a ConfigMap in the service's namespace."
    )
    field_ref: FieldRef | None = Field(default=None, description="A field of the pod.")
    resource_field_ref: ResourceFieldRef | None = Field(
        default=None, description="A request or limit of the container."
    )

    @model_validator(mode="after")
    def _one_source(self) -> ValueFrom:
        require_one(self, "valueFrom", "write secretKeyRef: {name: billing-db, key: password}, for example")
        return self


class Sourced(Model):
    """A variable that Kubernetes reads elsewhere."""

    value_from: ValueFrom = Field(
        examples=[{"secretKeyRef": {"name": "billing-db", "key": "password"}}],
        description="Where the variable is read when the container starts.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_a_variable(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "valueFrom" in value or "value_from" in value:
            return value
        allowed = "text, an encrypted text, or a mapping with the key valueFrom"
        sources = [field.alias for field in ValueFrom.model_fields.values()]
        if value and value.keys() <= set(sources):
            raise wrong("the source of a variable is not under valueFrom", allowed,
                        f"write {{valueFrom: {shown(dict(value))}}}")  # fmt: skip
        if list(value) == ["value"] and isinstance(value["value"], (str, int, float)):
            text = value["value"] if isinstance(value["value"], str) else shown(value["value"])
            raise wrong("a variable's text is not under `value` here", allowed, f"write {shown(text)}")
        return value


def _kind(value: Any) -> str:
    if isinstance(value, Sourced) or (isinstance(value, Mapping) and kind_of_text(value) == TEXT):
        return SOURCE
    return kind_of_text(value)


Variable = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[Encrypted, Tag(ENCRYPTED)] | Annotated[Sourced, Tag(SOURCE)],
    Discriminator(_kind),
]
"""The value of an environment variable."""


def _as_mapping(value: Any) -> Any:
    """Kubernetes' own list of variables has another form here."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
        written = {str(one["name"]): one.get("value", {key: one[key] for key in one if key != "name"}) for one in value}
        raise wrong("this is a list of variables", "a mapping of names to values", f"write {shown(written)}")
    return value


Variables = Annotated[dict[VariableName, Variable], BeforeValidator(_as_mapping)]


class SourceRef(Model):
    """A Secret or ConfigMap in the service's namespace."""

    name: ObjectName = Field(examples=["billing-db"], description="Name of the Secret or ConfigMap.")
    optional: bool = Field(default=False, description="Whether the pod starts without it.")


class EnvFrom(Model):
    """Variables for all keys of a Secret or ConfigMap (Kubernetes' EnvFromSource)."""

    prefix: VariableName | None = Field(default=None, description="Text before the name of each variable.")
    secret_ref: SourceRef | None = Field(default=None, description="The Secret.")
    config_map_ref: SourceRef | None = Field(default=None, description="The ConfigMap.")

    @model_validator(mode="after")
    def _one_source(self) -> EnvFrom:
        require_one(self, "the entry", "write secretRef: {name: billing-db}, for example", ignored=("prefix",))
        return self


def require_one(model: Model, what: str, fix: str, ignored: tuple[str, ...] = ()) -> None:
    """Raise the error for a model of which not exactly one field is set, `ignored` ones apart."""
    fields = {name: field.alias for name, field in type(model).model_fields.items() if name not in ignored}
    given = [str(alias) for name, alias in fields.items() if getattr(model, name) is not None]
    if len(given) != 1:
        names = [str(alias) for alias in fields.values()]
        raise wrong(
            f"{' and '.join(given)} are both set" if given else f"{what} has no source",
            f"exactly one of {', '.join(names)}",
            f"remove {' or '.join(given)}" if given else fix,
        )
