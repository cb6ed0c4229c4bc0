"""The cases of tests/crd_cases.py get the verdict that the API server gives, and cover what Istio's schemas ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kube.crd_schemas import problems_of
from kube.crd_schemas.schemas import Schema, schemas
from tests.crd_cases import Case, Constraint, all_cases

KINDS = sorted({case.kind for case in all_cases()})
NEWEST = [
    (api_version, kind)
    for api_version, kinds in schemas().items()
    for kind in kinds
    if api_version.endswith("/v1") or kind not in schemas().get(f"{api_version.partition('/')[0]}/v1", {})
]
"""Each kind in its newest version."""
FORMATS = ("byte", "int32")
"""Of a string and of an integer; any number is a `double`."""
VIOLABLE = {
    "type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties",
    "maxProperties",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_valid_object_has_no_problem(kind: tuple[str, str]) -> None:
    refused = {case.id: found for case in cases(kind, is_valid=True) if (found := problems_of(case.manifest))}
    assert refused == {}


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_an_invalid_object_has_a_problem_at_the_place(kind: tuple[str, str]) -> None:
    found = {case.id: problems_of(case.manifest) for case in cases(kind, is_valid=False)}
    unsaid = {
        case.id: found[case.id]
        for case in cases(kind, is_valid=False)
        if not any(problem.startswith(case.says) for problem in found[case.id])
    }
    assert unsaid == {}


def test_there_are_at_least_320_cases_and_some_of_every_kind() -> None:
    assert len(all_cases()) >= 320
    assert {case.kind[0] for case in all_cases()} >= {api_version for api_version, _ in NEWEST}
    assert {case.kind for case in all_cases() if case.is_valid} >= set(NEWEST)


@pytest.mark.parametrize("kind", NEWEST, ids=" ".join)
def test_every_constraint_of_a_schema_is_violated_by_a_case(kind: tuple[str, str]) -> None:
    violated = {case.violated for case in cases(kind, is_valid=False)}
    spec = schemas()[kind[0]][kind[1]]["properties"]["spec"]
    assert set(constraints(spec, "spec")) - violated == set()


@pytest.mark.parametrize("kind", NEWEST, ids=" ".join)
def test_every_cel_rule_is_broken_by_a_case(kind: tuple[str, str]) -> None:
    problems = [problem for case in cases(kind, is_valid=False) for problem in problems_of(case.manifest)]
    messages = {rule["message"] for rule in rules(schemas()[kind[0]][kind[1]])}
    assert {message for message in messages if not any(problem.endswith(message) for problem in problems)} == set()


def cases(kind: tuple[str, str], *, is_valid: bool) -> list[Case]:
    """The cases of a kind."""
    return [case for case in all_cases() if case.kind == kind and case.is_valid == is_valid]


def constraints(schema: Schema, field: str) -> Iterator[Constraint]:
    """What a case can violate of a schema."""
    for keyword, value in schema.items():
        if keyword == "required":
            yield from (Constraint(name, keyword, "true") for name in value)
        elif keyword in VIOLABLE or value in FORMATS or is_union(keyword, value):
            yield Constraint(field, keyword, json.dumps(value))
    for name, known in schema.get("properties", {}).items():
        yield from constraints(known, name)
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from constraints(schema[keyword], field)


def is_union(keyword: str, value: Any) -> bool:
    """Whether a keyword allows one of several fields."""
    return keyword == "oneOf" and sum("required" in part for part in value) > 1


def rules(schema: Schema) -> Iterator[dict[str, str]]:
    """The CEL rules of a schema."""
    yield from schema.get("x-kubernetes-validations", ())
    parts = [*schema.get("properties", {}).values(), *schema.get("allOf", ())]
    for part in (*parts, schema.get("items"), schema.get("additionalProperties")):
        if isinstance(part, dict):
            yield from rules(part)
