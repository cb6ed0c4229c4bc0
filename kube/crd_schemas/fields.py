"""What the API server does to an object's fields before it validates them: unknown fields, nulls and defaults.

See "Field pruning", "Defaulting" and "Defaulting and Nullable" in Kubernetes' page "Extend the Kubernetes API with
CustomResourceDefinitions".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from kube.crd_schemas.schemas import FieldPath, Schema, text

OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
INT64 = 2**63
EXACT = 2**53
"""Below this, every integer is a float64."""
LARGEST = sys.float_info.max
PRESERVED = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True)
class Admitted:
    """An object as it is validated, and the fields that its schema does not know, in the API server's words."""

    value: dict[str, Any]
    unknown: tuple[str, ...]


def admit(manifest: Mapping[str, Any], schema: Schema) -> Admitted:
    """Return a copy of the object without unknown fields, status and nulls, and with defaults."""
    walk = _Walk([])
    of_every_object = {key: manifest[key] for key in OF_EVERY_OBJECT if key in manifest}
    own = walk.object({key: value for key, value in manifest.items() if key not in OF_EVERY_OBJECT}, schema, ())
    own.pop("status", None)  # a subresource of all of Istio's kinds
    return Admitted(of_every_object | own, tuple(f'unknown field "{text(path)}"' for path in walk.unknown))


@dataclass
class _Walk:
    unknown: list[FieldPath]

    def value(self, value: Any, schema: Schema, path: FieldPath) -> Any:
        if isinstance(value, Mapping):
            return self.object(value, schema, path)
        if isinstance(value, list):
            items = schema.get("items", {})
            return [self.value(_defaulted(item, items), items, (*path, index)) for index, item in enumerate(value)]
        return _number(value, schema) if isinstance(value, (int, float)) else value

    def object(self, given: Mapping[str, Any], schema: Schema, path: FieldPath) -> dict[str, Any]:
        properties = schema.get("properties", {})
        of_others = schema.get("additionalProperties")
        admitted = {}
        for name, value in given.items():
            known = properties.get(name, of_others)
            if isinstance(known, bool):
                known = {} if known else None
            if known is None:
                if schema.get(PRESERVED):
                    admitted[name] = value
                else:
                    self.unknown.append((*path, name))
            elif (value := _defaulted(value, known)) is not None or known.get("nullable"):
                admitted[name] = self.value(value, known, (*path, name))
        for name, known in properties.items():
            if name not in admitted and "default" in known:
                admitted[name] = self.value(deepcopy(known["default"]), known, (*path, name))
        return admitted


def _number(value: float, schema: Schema) -> float:
    """A number as the API server reads it: 80.0 is an integer where one is due, and integers have up to 64 bits."""
    if schema.get("type") == "integer" and is_integer(value):
        return int(value)
    return value if isinstance(value, bool) or is_integer(value) else float(max(-LARGEST, min(LARGEST, value)))


def is_integer(value: Any) -> bool:
    """Return whether the API server takes this for an integer."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < EXACT
    return isinstance(value, int) and not isinstance(value, bool) and -INT64 <= value < INT64


def _defaulted(value: Any, schema: Schema) -> Any:
    """The default in place of a null that is not allowed."""
    return deepcopy(schema.get("default")) if value is None and not schema.get("nullable") else value
