"""The schemas of Kubernetes' own types, read from schemas.json when one is asked for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

FILE = Path(__file__).with_name("schemas.json")
"""Written by kube/kubernetes_schemas/generate.py."""
REFERENCE = "$ref"
ITEMS_BY = "x-kubernetes-patch-merge-key"
"""The field by which a strategic merge tells the items of a list apart; other lists are replaced as a whole."""

Schema: TypeAlias = dict[str, Any]


def version() -> str:
    """Return the version of Kubernetes that the schemas are from, such as 1.36.3."""
    return str(_content()["version"])


def schemas() -> dict[str, Schema]:
    """Return all schemas by name, such as `io.k8s.api.core.v1.PodTemplateSpec`."""
    found: dict[str, Schema] = _content()["schemas"]
    return found


def resolved(schema: Schema) -> Schema:
    """Return the schema that a reference leads to, or the schema itself."""
    return schemas()[schema[REFERENCE]] if REFERENCE in schema else schema


def field_of(schema: Schema, name: str) -> Schema:
    """Return the schema of a field of an object, empty where there is none."""
    schema = resolved(schema)
    found: Schema = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or {}
    return found


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_bytes())
    return content


HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
CORE = "io.k8s.api.core.v1."


@cache
def alternatives_of(name: str) -> tuple[str, ...]:
    """Return the fields of a type of which an object has exactly one, such as a volume's source; none for most types.

    The published schemas do not say it, but the API server requires it.
    """
    if name == f"{CORE}Volume":
        return tuple(field for field in schemas()[name]["properties"] if field != "name")
    known = {
        f"{CORE}Probe": HANDLERS,
        f"{CORE}LifecycleHandler": (*(one for one in HANDLERS if one != "grpc"), "sleep"),
        f"{CORE}EnvVar": ("value", "valueFrom"),
    }
    return known.get(name, ())
