"""The typed Istio resources: which kinds there are, what they register, and what mypy finds in a spec."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_kubernetes_istio_crds as package
import pytest
from pulumi_kubernetes_istio_crds.networking.v1 import DestinationRule, VirtualService
from pulumi_kubernetes_istio_crds.security.v1 import (
    AuthorizationPolicy,
    AuthorizationPolicySpecArgs,
    AuthorizationPolicySpecRulesArgs,
    AuthorizationPolicySpecRulesFromArgs,
    AuthorizationPolicySpecRulesFromSourceArgs,
)

from tests.unit import istio_crds
from tests.unit.mocks import Deploy, in_cluster

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "sdks/pulumi_kubernetes_istio_crds"
FOLDER = PROJECT / "pulumi_kubernetes_istio_crds"
SCHEMAS: dict[str, dict[str, Any]] = json.loads((FOLDER / "schemas.json").read_text())
SERVED = [(api_version, kind) for api_version, kinds in SCHEMAS.items() for kind in kinds]
KINDS = [
    (api_version, kind)
    for api_version, kind in SERVED
    if api_version.endswith("/v1") or (f"{api_version.partition('/')[0]}/v1", kind) not in SERVED
]
"""The kinds of the package: one version of each."""
MOST_LINES = 60_000
SHOP = {"hosts": ["shop"], "http": [{"name": "all", "route": [{"destination": {"host": "shop"}, "weight": 100}]}]}


def _module(api_version: str) -> Any:
    group, _, version = api_version.partition("/")
    return importlib.import_module(f"{package.__name__}.{group.partition('.')[0]}.{version}")


def _without_descriptions(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_descriptions(member) for member in value]
    if not isinstance(value, dict):
        return value
    return {k: _without_descriptions(v) for k, v in value.items() if k != "description" or isinstance(v, dict)}


def test_every_kind_of_istio_is_there_once_in_v1_if_it_has_one() -> None:
    versions: dict[str, set[str]] = {}
    for api_version, kind in istio_crds.kinds():
        versions.setdefault(kind, set()).add(api_version)
    assert sorted(kind for _, kind in KINDS) == sorted(versions)
    for api_version, kind in KINDS:
        v1 = {known for known in versions[kind] if known.endswith("/v1")}
        assert api_version in (v1 or versions[kind])


def test_the_schemas_have_every_served_version() -> None:
    assert set(SERVED) == istio_crds.kinds()


@pytest.mark.parametrize(("api_version", "kind"), SERVED)
def test_the_schemas_are_those_of_the_crds_without_descriptions(api_version: str, kind: str) -> None:
    expected = _without_descriptions(istio_crds.schema(api_version, kind))
    for of_every_object in ("apiVersion", "kind", "metadata"):
        expected["properties"].pop(of_every_object, None)
    assert SCHEMAS[api_version][kind] == {"scope": "Namespaced", "schema": expected}


@pytest.mark.parametrize(("api_version", "kind"), KINDS)
def test_a_kind_has_the_type_token_that_an_untyped_resource_has(deploy: Deploy, api_version: str, kind: str) -> None:
    resource = getattr(_module(api_version), kind)
    typed = deploy(lambda: resource("typed", metadata={"name": "a"}, spec=_smallest(kind), opts=in_cluster()))
    untyped = deploy(
        lambda: k8s.apiextensions.CustomResource(
            "typed", api_version=api_version, kind=kind, metadata={"name": "a"}, spec=_smallest(kind), opts=in_cluster()
        )
    )
    assert typed.resources == untyped.resources


def _smallest(kind: str) -> dict[str, Any]:
    """A spec that the CRD of `kind` allows."""
    specs: dict[str, dict[str, Any]] = {
        "DestinationRule": {"host": "shop"},
        "Gateway": {"servers": []},
        "ServiceEntry": {"hosts": ["shop.example.com"]},
        "WasmPlugin": {"url": "oci://example.com/plugin:1"},
        "WorkloadEntry": {"address": "192.0.2.1"},
        "WorkloadGroup": {"template": {"ports": {"http": 8080}}},
        "TrafficExtension": {"wasm": {"url": "oci://example.com/plugin:1"}},
    }
    return specs.get(kind, {})


def test_there_are_no_kinds_patch_and_list() -> None:
    resources = {
        name
        for api_version in {api_version for api_version, _ in KINDS}
        for name, value in vars(_module(api_version)).items()
        if inspect.isclass(value) and issubclass(value, pulumi.CustomResource)
    }
    assert resources == {kind for _, kind in KINDS}


def test_the_package_stays_small() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in FOLDER.rglob("*.py"))
    assert lines <= MOST_LINES


def test_the_package_has_no_provider_of_its_own() -> None:
    """Pulumi would look for a plugin of the package's name."""
    assert json.loads((FOLDER / "pulumi-plugin.json").read_text()) == {"resource": False}
    assert not hasattr(package, "Provider")
    assert package._utilities._version_str == k8s._utilities.get_version()


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param(VirtualService, SHOP, id="a route"),
        pytest.param(
            VirtualService,
            {
                "hosts": ["shop"],
                "http": [
                    {
                        "match": [{"headers": {"mirror_percent": {"exact": "ignore_case"}, "api_version": {}}}],
                        "headers": {"response": {"set": {"export_to": "a", "x-served-version": "b"}}},
                        "route": [{"destination": {"host": "shop", "subset": "mirror_percent"}}],
                    }
                ],
            },
            id="keys that are Python's names of fields",
        ),
        pytest.param(
            DestinationRule,
            {"host": "shop", "subsets": [{"name": "a", "labels": {"traffic_policy": "a", "export_to": "b"}}]},
            id="labels that are Python's names of fields",
        ),
        pytest.param(
            AuthorizationPolicy,
            {"action": "ALLOW", "rules": [{"from": [{"source": {"notPrincipals": ["*"]}}]}]},
            id="a field that is a keyword of Python",
        ),
    ],
)
def test_a_spec_of_istios_own_field_names_reaches_the_engine_as_it_is(
    deploy: Deploy, kind: type[VirtualService], spec: dict[str, Any]
) -> None:
    run = deploy(lambda: kind("a", metadata={"name": "a"}, spec=spec))
    assert run.named("a").spec == spec


def test_a_typed_spec_reaches_the_engine_with_istios_field_names(deploy: Deploy) -> None:
    source = AuthorizationPolicySpecRulesFromSourceArgs(not_principals=["*"])
    spec = AuthorizationPolicySpecArgs(
        action="ALLOW",
        rules=[AuthorizationPolicySpecRulesArgs(from_=[AuthorizationPolicySpecRulesFromArgs(source=source)])],
    )
    run = deploy(lambda: AuthorizationPolicy("a", metadata={"name": "a"}, spec=spec))
    assert run.named("a").spec == {"action": "ALLOW", "rules": [{"from": [{"source": {"notPrincipals": ["*"]}}]}]}


RIGHT = """
istio.VirtualService(
    "shop",
    spec=istio.VirtualServiceSpecArgs(
        hosts=["shop"],
        http=[
            istio.VirtualServiceSpecHttpArgs(
                timeout="1s",
                route=[
                    istio.VirtualServiceSpecHttpRouteArgs(
                        destination=istio.VirtualServiceSpecHttpRouteDestinationArgs(host="shop"), weight=100
                    )
                ],
            )
        ],
    ),
)
"""


@pytest.mark.parametrize(
    ("program", "errors"),
    [
        pytest.param(RIGHT, [], id="right"),
        pytest.param(RIGHT.replace("timeout=", "timeuot="), ["call-arg"], id="name of a field"),
        pytest.param(RIGHT.replace("weight=100", 'weight="100"'), ["arg-type"], id="type of a field"),
        pytest.param(RIGHT.replace('host="shop"', ""), ["call-arg"], id="missing field"),
        pytest.param(RIGHT.replace("HttpRouteArgs", "TcpRouteArgs"), ["list-item", "arg-type"], id="object of tcp"),
        pytest.param('istio.VirtualService("shop", spec=istio.GatewaySpecArgs())', ["call-overload"], id="other kind"),
    ],
)  # fmt: skip
def test_mypy_finds_what_is_wrong_in_a_spec(tmp_path: Path, program: str, errors: list[str]) -> None:
    file = tmp_path / "program.py"
    file.write_text(f"import pulumi_kubernetes_istio_crds.networking.v1 as istio\n\n{program}")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(file)],
        cwd=ROOT,  # whose .mypy_cache has the package
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE) == errors, done.stdout + done.stderr


def test_the_package_is_installable_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    files = {path.relative_to(installed / FOLDER.name) for path in (installed / FOLDER.name).rglob("*.*")}
    assert files == {path.relative_to(FOLDER) for path in FOLDER.rglob("*.*") if path.suffix != ".pyc"}
    (metadata,) = installed.glob("*.dist-info/METADATA")
    assert "Requires-Dist: pulumi-kubernetes<5,>=4.25.0" in metadata.read_text().splitlines()
