"""The JSON schema of a stack's file, with which editors complete and validate it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stacks.settings.loading import json_schema

PROJECT = Path(__file__).parents[3]
COMMITTED = PROJECT / "docs" / "settings.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def stack_file(name: str) -> Any:
    """The values of a committed stack's file."""
    return yaml.safe_load((PROJECT / name).read_text())


def test_the_committed_schema_is_up_to_date() -> None:
    text = json.dumps(json_schema(), indent=2) + "\n"

    assert COMMITTED.read_text() == text, "run: canary schema > docs/settings.schema.json"


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", sorted(path.name for path in PROJECT.glob("Pulumi.*.yaml")))
def test_the_schema_accepts_every_committed_stack(file: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(stack_file(file))] == []


def services(stack: Any) -> Any:
    """The services of the staging stack's values."""
    return stack["config"]["istio-canary:services"]


MISTAKES: dict[str, Callable[[Any], None]] = {
    "no config": lambda stack: stack.pop("config"),
    "unknown top-level key": lambda stack: stack.update(confg={}),
    "unknown key of ours": lambda stack: stack["config"].update({"istio-canary:sampels": []}),
    "key without namespace": lambda stack: stack["config"].update(services={}),
    "unknown sample": lambda stack: stack["config"].update({"istio-canary:samples": ["webiste"]}),
    "unknown key of a service": lambda stack: services(stack)["website"].update(rout=[]),
    "not a DNS label": lambda stack: services(stack).update(My_Shop={}),
    "a service without a sample that lacks keys": lambda stack: services(stack).update(shop={"hosts": ["a.b"]}),
    "weight as text": lambda stack: services(stack)["website"]["route"][1].update(to={"version-1": "100"}),
    "header in upper case": lambda stack: services(stack)["website"]["route"][0]["match"][0].update(headers={"Qa": {}}),
    "number for Istio's version": lambda stack: stack["config"].update({"istio-canary:mesh": {"version": 1.31}}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_schema_rejects(mistake: str) -> None:
    stack = copy.deepcopy(stack_file("Pulumi.staging.yaml"))
    MISTAKES[mistake](stack)

    assert list(VALIDATOR.iter_errors(stack)), f"an editor must show: {mistake}"


def test_the_schema_accepts_a_version_that_is_removed_from_a_sample() -> None:
    stack = copy.deepcopy(stack_file("Pulumi.staging.yaml"))
    services(stack)["website"]["versions"] = {"version-2": None, "version-1": {"replicas": 2}}

    assert list(VALIDATOR.iter_errors(stack)) == []
