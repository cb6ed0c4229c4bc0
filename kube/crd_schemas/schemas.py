"""The schemas of Istio's CRDs, read from the package pulumi_kubernetes_istio_crds when one is asked for."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

PACKAGE = "pulumi_kubernetes_istio_crds"

Schema: TypeAlias = dict[str, Any]
"""A structural schema, as a CRD has it (`openAPIV3Schema`)."""
FieldPath: TypeAlias = tuple[str | int, ...]


class SchemasMissingError(Exception):
    """The package with the schemas is not installed."""


def is_istio(api_version: str) -> bool:
    """Return whether Istio defines kinds in the API group of this apiVersion."""
    return api_version.partition("/")[0] in _groups()


def schema_of(api_version: str, kind: str) -> Schema | None:
    """Return the schema of a kind, or None if Istio has none of this name in this version."""
    return schemas().get(api_version, {}).get(kind)


@cache
def schemas() -> dict[str, dict[str, Schema]]:
    """Return the schemas by apiVersion and kind; raises SchemasMissingError."""
    content = json.loads(_file().read_bytes())
    return {
        api_version: {kind: entry["schema"] for kind, entry in kinds.items()} for api_version, kinds in content.items()
    }


@cache
def _groups() -> frozenset[str]:
    return frozenset(api_version.partition("/")[0] for api_version in schemas())


def _file() -> Path:
    spec = find_spec(PACKAGE)  # without importing the package, which takes as long as Pulumi
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        if (file := Path(folder) / "schemas.json").is_file():
            return file
    raise SchemasMissingError(f"the schemas of Istio's CRDs are not installed (package {PACKAGE}); fix: make setup")


def text(path: FieldPath) -> str:
    """Return a field's path as the API server writes it, such as `spec.http[0].route`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
