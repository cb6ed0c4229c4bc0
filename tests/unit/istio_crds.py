"""Validates Istio objects against Istio's CRDs, of the release that sandbox/modules/istio/go.mod pins.

The API server silently prunes a field that a CRD does not know; here it is an error. Not checked are formats and CEL
rules (`x-kubernetes-validations`). See "Specifying a structural schema" and "Field pruning" in Kubernetes' page "Extend
the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from sandbox.builder.go_modules import FOLDER, find_go

MODULE = "istio.io/istio"
CRDS = "manifests/charts/base/files/crd-all.gen.yaml"

Schema = dict[str, Any]


def is_istio(api_version: str) -> bool:
    """Return whether this apiVersion is one of Istio's."""
    return api_version.partition("/")[0].endswith(".istio.io")


def check(istio_object: Mapping[str, Any]) -> None:
    """Raise AssertionError with every field of the object that its CRD refuses or does not know."""
    api_version, kind = istio_object["apiVersion"], istio_object["kind"]
    errors = sorted(_validator(api_version, kind).iter_errors(istio_object), key=lambda error: error.json_path)
    list_of_errors = "\n".join(f"  {error.json_path}: {error.message}" for error in errors)
    assert not errors, f"Istio's CRD refuses this {kind} ({api_version}):\n{list_of_errors}"


def kinds() -> set[tuple[str, str]]:
    """Return the apiVersion and kind of every version that a CRD has."""
    return set(_schemas())


def schema(api_version: str, kind: str) -> Schema:
    """Return a copy of the CRD's schema, with the fields that every Kubernetes object has."""
    return copy.deepcopy(_schemas()[api_version, kind])


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    assert (api_version, kind) in _schemas(), f"Istio has no CRD for {kind} of {api_version}"
    return Draft202012Validator(_strict(_schemas()[api_version, kind]))


@cache
def _schemas() -> dict[tuple[str, str], Schema]:
    """The schemas by apiVersion and kind, as Istio writes them, with the fields that every Kubernetes object has."""
    schemas = {}
    with (module_folder() / CRDS).open(encoding="utf-8") as file:
        for crd in filter(None, yaml.load_all(file, yaml.CSafeLoader)):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def _strict(schema: Schema) -> Schema:
    """The schema with unknown fields forbidden.

    Schemas below `anyOf`, `oneOf`, `allOf` and `not` stay as they are: they name some of the fields only.
    """
    strict = dict(schema)
    if "properties" in schema:
        strict["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            strict[key] = _strict(schema[key])
    return strict


def module_folder() -> Path:
    """The folder of Istio's Go module, downloaded if it is missing; Go checks it against go.sum."""
    folder = FOLDER / "istio"
    fix = f"run `go mod download {MODULE}` in sandbox/modules/istio"
    go = find_go()
    assert go is not None, f"Istio's CRDs come from its Go module, and Go was not found: install it, then {fix}"
    answer = subprocess.run(
        [go.program, "mod", "download", "-json", MODULE],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
    assert not answer.returncode, f"Go could not download Istio's CRDs; {fix}:\n{answer.stdout}{answer.stderr}"
    return Path(json.loads(answer.stdout)["Dir"])
