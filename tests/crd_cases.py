"""Istio objects with the API server's verdict on them: for unit tests without a cluster, and for the API server itself.

The files in tests/crd_specs/ have specs by kind, valid and invalid ones. From the valid ones, invalid ones are made:
one for each constraint of the schema, whose violation is known by how it is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import re2
import yaml

from kube.crd_schemas.schemas import FieldPath, Schema, schema_of, text

SPECS = Path(__file__).parent / "crd_specs"
STRANGE = ("*", "a b", "@", "")
"""Strings, one of which any pattern of Istio's schemas refuses."""
OF_TYPE: dict[str, Any] = {"object": {}, "string": "1s", "boolean": True, "integer": 1, "number": 1}
OTHER_TYPE = {"object": "text", "array": "text", "string": 7, "integer": "text", "number": "text", "boolean": "text"}


@dataclass(frozen=True)
class Constraint:
    """A keyword of a schema, with its value as JSON, at a field: a property's name without the path to it.

    The items of a list and the entries of a map are of the field that holds them.
    """

    field: str
    keyword: str
    value: str


@dataclass(frozen=True)
class Case:
    """An object and whether it is valid; if not, how a problem of it begins, and what it was made to violate."""

    id: str
    manifest: dict[str, Any]
    is_valid: bool
    says: str = ""
    violated: Constraint | None = None

    @property
    def kind(self) -> tuple[str, str]:
        """The apiVersion and the kind."""
        return self.manifest["apiVersion"], self.manifest["kind"]


@dataclass(frozen=True)
class Mutation:
    """A violated keyword of the schema, with its value: where in a valid object, and what is there instead."""

    path: FieldPath
    field: str
    keyword: str
    value: Any
    instead: Any

    @property
    def violated(self) -> Constraint:
        return Constraint(self.field, self.keyword, json.dumps(self.value))


BREAKING: dict[str, Any] = {
    "duration(self) >= duration('1ms')": "999us",
    "self.size() == 0": "other",
    "0 < self && self <= 65535": 0,
    '!self.contains("*")': "*",
    'self.all(key, !key.contains("*"))': {"*": "a"},
    "self.all(key, key.size() != 0)": {"": "a"},
    'self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))': {"a b": 80},
}
"""CEL rules of fields that several kinds have, and values that break them; the files have cases for the others."""
UNKNOWN = "unknown field"
"""In place of a keyword: nothing in the schema forbids an unknown field."""
REMOVED = object()
"""Instead of a value: the field is not there."""


@cache
def all_cases() -> tuple[Case, ...]:
    """Return the written cases and those made of them; the ids are unique."""
    written = list(_written())
    return (*written, *_mutated(case for case in written if case.is_valid))


def _written() -> Iterator[Case]:
    for file in sorted(SPECS.glob("*.yaml")):
        for group in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            api_version, kind = group["apiVersion"], group["kind"]
            base = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "case", "namespace": "default"}}
            for name, spec in group["valid"].items():
                yield Case(f"{api_version} {kind}: {name}", base | _as_json({"spec": spec}), True)
            for name, case in group["invalid"].items():
                own = {"spec": case["spec"]} if "spec" in case else {}
                yield Case(f"{api_version} {kind}: {name}", base | _as_json(own), False, case["says"])


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """The value as JSON has it: keys are strings."""
    result: dict[str, Any] = json.loads(json.dumps(value))
    return result


def _mutated(valid: Iterator[Case]) -> Iterator[Case]:
    """One case for each constraint of a kind; not one for each place where it is reached."""
    seen = set()
    for case in valid:
        schema = schema_of(*case.kind)
        assert schema is not None
        for mutation in _mutations(case.manifest["spec"], schema["properties"]["spec"], ("spec",), "spec"):
            if (case.kind, mutation.violated) not in seen:
                seen.add((case.kind, mutation.violated))
                place = text(mutation.path)
                says = f'unknown field "{place}"' if mutation.keyword == UNKNOWN else place
                identity = f"{' '.join(case.kind)}: {place} violates {mutation.keyword} {mutation.violated.value}"
                yield Case(identity, _with(case.manifest, mutation), False, says, mutation.violated)


def _with(manifest: dict[str, Any], mutation: Mutation) -> dict[str, Any]:
    changed = deepcopy(manifest)
    place: Any = changed
    for step in mutation.path[:-1]:
        place = place[step]
    if mutation.instead is REMOVED:
        del place[mutation.path[-1]]
    else:
        place[mutation.path[-1]] = mutation.instead
    return changed


def _mutations(value: Any, schema: Schema, path: FieldPath, field: str) -> Iterator[Mutation]:
    if value is None:
        return
    for keyword, instead in _violations(value, schema):
        yield Mutation(path, field, keyword, schema[keyword], instead)
    for rule in (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()) if rule["rule"] in BREAKING):
        yield Mutation(path, field, "rule", rule, BREAKING[rule])
    if isinstance(value, dict):
        yield from _in_object(value, schema, path, field)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mutations(item, schema["items"], (*path, index), field)


def _violations(value: Any, schema: Schema) -> Iterator[tuple[str, Any]]:
    """The keywords on a value that can be violated, and values that do so."""
    for keyword, limit in schema.items():
        match keyword:
            case "type":
                yield keyword, OTHER_TYPE[limit]
            case "enum":
                yield keyword, "NONE_OF_THEM"
            case "minimum":
                yield keyword, limit - 1
            case "maximum":
                yield keyword, limit + 1
            case "minLength":
                yield keyword, "a" * (limit - 1)
            case "maxLength":
                yield keyword, "a" * (limit + 1)
            case "pattern":
                yield keyword, next(one for one in STRANGE if not re2.search(limit, one))
            case "format" if limit == "byte":
                yield keyword, "*"
            case "format" if limit == "int32":
                yield keyword, 2**31
            case "minItems":
                yield keyword, value[: limit - 1]
            case "maxItems":
                yield keyword, value[:1] * (limit + 1)
            case "minProperties":
                yield keyword, {}
            case "maxProperties":
                yield keyword, {f"a{number}": next(iter(value.values())) for number in range(limit + 1)}


def _in_object(value: dict[str, Any], schema: Schema, path: FieldPath, field: str) -> Iterator[Mutation]:
    properties = schema.get("properties", {})
    if properties:
        yield Mutation((*path, "unknownField"), field, UNKNOWN, "", "a")
    for name in schema.get("required", ()):
        yield Mutation((*path, name), name, "required", True, REMOVED)
    for part in (schema, *schema.get("allOf", ())):
        union = [name for alternative in part.get("oneOf", ()) for name in alternative.get("required", ())]
        present = [name for name in union if name in value]
        for name in (name for name in union if present and name not in value):
            second = OF_TYPE[properties[name]["type"]]
            yield Mutation(path, field, "oneOf", part["oneOf"], {**value, name: second})
    for name, item in value.items():
        if name in properties:
            yield from _mutations(item, properties[name], (*path, name), name)
        elif "additionalProperties" in schema:
            yield from _mutations(item, schema["additionalProperties"], (*path, name), field)
