"""What structural schemas can ask for, also where Istio's do not today; and that Istio's ask for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kube.crd_schemas import constraints, fields, rules
from kube.crd_schemas.schemas import Schema, schemas

CHECKED = {
    "type", "properties", "required", "items", "additionalProperties", "enum", "nullable", "minimum", "maximum",
    "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties", "format",
    "oneOf", "anyOf", "allOf", "not", "x-kubernetes-validations", "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
PORT: Schema = {"x-kubernetes-int-or-string": True}
A_SET: Schema = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
A_MAP: Schema = {
    "type": "array",
    "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name", "port"],
}
KEPT: Schema = {
    "type": "object",
    "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}},
    "x-kubernetes-preserve-unknown-fields": True,
}
WITH_DEFAULTS: Schema = {
    "type": "object",
    "properties": {
        "mode": {"type": "string", "default": "STRICT"},
        "tls": {"type": "object", "default": {}, "properties": {"port": {"type": "integer", "default": 443}}},
        "maybe": {"type": "string", "nullable": True, "default": "a"},
    },
}


def of(schema: Schema) -> Schema:
    """The schema of an object whose spec has this one."""
    return {"type": "object", "properties": {"spec": schema}}


def problems(schema: Schema, spec: Any) -> list[str]:
    """The problems of an object with this spec."""
    admitted = fields.admit({"spec": spec}, of(schema))
    violated = constraints.violations(admitted.value, of(schema))
    return [*admitted.unknown, *map(str, violated), *map(str, rules.violations(admitted.value, of(schema), set()))]


@pytest.mark.parametrize(
    ("schema", "spec", "found"),
    [
        (PORT, 80, []),
        (PORT, "http", []),
        (PORT, True, ['spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean"']),
        (A_SET, ["a", "b"], []),
        (A_SET, ["a", "b", "a"], ['spec[2]: Duplicate value: "a"']),
        (A_MAP, [{"name": "a", "port": 1}, {"name": "a", "port": 2}], []),
        (A_MAP, [{"name": "a", "port": 1}] * 2, ['spec[1]: Duplicate value: {"name":"a","port":1}']),
        (KEPT, {"other": {"b": None}, "known": {"a": "b"}}, []),
        (KEPT, {"known": {"c": 1}}, ['unknown field "spec.known.c"']),
        ({"type": "object"}, {"a": 1}, ['unknown field "spec.a"']),
        ({"type": "integer"}, 2**63 - 1, []),
        ({"type": "integer"}, 2**63, ['spec: Invalid value: "number": spec in body must be of type integer: "number"']),
        ({"type": "number"}, 10**400, []),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, 1, [
            "spec: Invalid value: 1: spec in body should be greater than 1"]),
        ({"type": "number", "multipleOf": 2}, 3, ["spec: Invalid value: 3: spec in body should be a multiple of 2"]),
        ({"type": "string", "not": {"enum": ["a"]}}, "a", ["spec: Invalid value: must not validate the schema (not)"]),
        ({"type": "string", "anyOf": [{"enum": ["a"]}, {"enum": ["b"]}]}, "c", [
            "spec: Invalid value: must validate at least one schema (anyOf)"]),
        ({"type": "array", "items": {"type": "string", "nullable": True, "minLength": 1}}, [None], []),
    ],
)  # fmt: skip
def test_a_schemas_feature_is_checked(schema: Schema, spec: Any, found: list[str]) -> None:
    assert problems(schema, spec) == found


@pytest.mark.parametrize(
    ("given", "admitted"),
    [
        ({}, {"mode": "STRICT", "tls": {"port": 443}, "maybe": "a"}),
        ({"mode": None, "tls": {"port": None}, "maybe": None}, {"mode": "STRICT", "tls": {"port": 443}, "maybe": None}),
        ({"mode": "OFF", "tls": {"port": 80.0}, "maybe": "b"}, {"mode": "OFF", "tls": {"port": 80}, "maybe": "b"}),
    ],
)
def test_defaults_are_applied(given: dict[str, Any], admitted: dict[str, Any]) -> None:
    assert fields.admit({"spec": given}, of(WITH_DEFAULTS)).value == {"spec": admitted}


def test_rules_see_defaults_and_are_read_below_all_of() -> None:
    rule = {"rule": "self.mode != 'STRICT'", "message": "not strict"}
    assert problems({**WITH_DEFAULTS, "x-kubernetes-validations": [rule]}, {}) == ["spec: Invalid value: not strict"]
    assert problems({**WITH_DEFAULTS, "allOf": [{"x-kubernetes-validations": [rule]}]}, {}) == [
        "spec: Invalid value: not strict"
    ]


def test_a_rule_without_a_message_is_shown_itself() -> None:
    schema = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}
    assert problems(schema, 1) == ["spec: Invalid value: 1: failed rule: self > 1"]


def test_rules_of_a_change_do_not_hold_for_a_new_object() -> None:
    assert problems({"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}, 1) == []


def parts(schema: Schema) -> Iterator[Schema]:
    """The schema and all schemas in it."""
    yield schema
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key])
    lists = [part for key in ("oneOf", "anyOf", "allOf") for part in schema.get(key, ())]
    for part in (*schema.get("properties", {}).values(), *lists):
        yield from parts(part)


def test_istios_schemas_ask_for_nothing_that_is_not_checked() -> None:
    specs = [one["properties"]["spec"] for kinds in schemas().values() for one in kinds.values()]
    found = [part for spec in specs for part in parts(spec)]
    assert {keyword for part in found for keyword in part} <= CHECKED
    assert {part["format"] for part in found if "format" in part} == {"byte", "double", "int32"}
    written = [rule for part in found for rule in part.get("x-kubernetes-validations", ())]
    assert {key for rule in written for key in rule} == {"message", "rule"}, "no reason, fieldPath, messageExpression"
    assert [rule for rule in written if "__" in rule["rule"]] == [], "no field whose name CEL cannot write"
