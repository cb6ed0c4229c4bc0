"""Checks the Istio objects that tests make against Istio's CRDs, and finds Istio's Go module with files to compare."""

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

from kube.crd_schemas import is_istio, problems_of
from sandbox.builder.go_modules import FOLDER, find_go

MODULE = "istio.io/istio"
CRDS = "manifests/charts/base/files/crd-all.gen.yaml"
Schema = dict[str, Any]


def check(istio_object: Mapping[str, Any]) -> None:
    """Raise AssertionError with everything for which the API server would refuse the object."""
    assert is_istio(istio_object["apiVersion"]), istio_object["apiVersion"]
    problems = "".join(f"\n  {problem}" for problem in problems_of(istio_object))
    assert not problems, f"Istio's CRD refuses this {istio_object['kind']} ({istio_object['apiVersion']}):{problems}"


def kinds() -> set[tuple[str, str]]:
    """Return the apiVersion and kind of every version that a CRD has."""
    return set(_schemas())


def schema(api_version: str, kind: str) -> Schema:
    """Return a copy of the CRD's schema, with the fields that every Kubernetes object has."""
    return copy.deepcopy(_schemas()[api_version, kind])


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


def module_folder() -> Path:
    """The folder of Istio's Go module, downloaded if it is missing; Go checks it against go.sum."""
    folder = FOLDER / "istio"
    fix = f"run `go mod download {MODULE}` in sandbox/modules/istio"
    go = find_go()
    assert go is not None, f"this reads files of Istio's Go module, and Go was not found: install it, then {fix}"
    answer = subprocess.run(
        [go.program, "mod", "download", "-json", MODULE],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
    assert not answer.returncode, f"Go could not download Istio's module; {fix}:\n{answer.stdout}{answer.stderr}"
    return Path(json.loads(answer.stdout)["Dir"])
