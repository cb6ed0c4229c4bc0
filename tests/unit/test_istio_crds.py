"""A wrong Istio object is refused, and every Istio object that a test makes is validated."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path
from typing import Any

import pulumi_kubernetes as k8s
import pytest

from sandbox.builder.go_modules import Go
from tests.unit import istio_crds, rendered
from tests.unit.mocks import run_program
from tests.unit.route_tables import service
from traffic import render
from traffic.render import own_gateway

HTTP_80: dict[str, Any] = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
ROUTED = {"route": [{"destination": {"host": "shop"}, "weight": 90}], "timeout": "1s"}


def istio_object(kind: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}


@pytest.mark.parametrize(
    "correct",
    [
        istio_object("Gateway", selector={"istio": "ingressgateway"}, servers=[HTTP_80]),
        istio_object("VirtualService", hosts=["shop"], http=[ROUTED]),
        istio_object("DestinationRule", host="shop", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}}),
    ],
    ids=lambda one: one["kind"],
)
def test_a_correct_object_passes(correct: dict[str, Any]) -> None:
    istio_crds.check(correct)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(istio_object("Gateway", serverz=[]), r'unknown field "spec.serverz"', id="unknown field"),
        pytest.param(
            istio_object("VirtualService", hosts=["shop"], http=[{**ROUTED, "timeOut": "1s"}]),
            r'unknown field "spec\.http\[0\]\.timeOut"',
            id="unknown field of an item",
        ),
        pytest.param(
            {**istio_object("Gateway"), "specs": {}}, r'unknown field "specs"', id="unknown field of the object"
        ),
        pytest.param(istio_object("VirtualService", hosts="shop"), r"spec\.hosts: .* must be of type array", id="type"),
        pytest.param(
            istio_object("Gateway", selector={"istio": 1}),
            r"spec\.selector\.istio: .* must be of type string",
            id="type of a map's value",
        ),
        pytest.param(
            istio_object("Gateway", servers=[{"port": HTTP_80["port"]}]),
            r"spec\.servers\[0\]\.hosts: Required value",
            id="missing field",
        ),
        pytest.param(
            istio_object("DestinationRule", host="shop", trafficPolicy={"loadBalancer": {"simple": "FASTEST"}}),
            r'spec\.trafficPolicy\.loadBalancer\.simple: Unsupported value: "FASTEST"',
            id="enum",
        ),
        pytest.param(
            istio_object("Gateway", servers=[{**HTTP_80, "port": {**HTTP_80["port"], "number": -1}}]),
            r"spec\.servers\[0\]\.port\.number: .* should be greater than or equal to 0",
            id="bound",
        ),
        pytest.param(
            istio_object(
                "DestinationRule",
                host="shop",
                trafficPolicy={"loadBalancer": {"simple": "RANDOM", "consistentHash": {"useSourceIp": True}}},
            ),
            r"spec\.trafficPolicy\.loadBalancer: .* one and only one .*: simple, consistentHash",
            id="two of which one is allowed",
        ),
        pytest.param(
            istio_object("Gatevay"),
            'no matches for kind "Gatevay" in version "networking.istio.io/v1"',
            id="unknown kind",
        ),
        pytest.param(
            {**istio_object("Gateway"), "apiVersion": "networking.istio.io/v2"},
            'no matches for kind "Gateway"',
            id="version",
        ),
    ],
)
def test_a_wrong_object_is_refused_with_the_place(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        istio_crds.check(wrong)


def test_all_errors_of_an_object_are_listed() -> None:
    with pytest.raises(AssertionError) as refused:
        istio_crds.check(istio_object("VirtualService", hosts="shop", htpp=[]))
    assert 'unknown field "spec.htpp"' in str(refused.value)
    assert "spec.hosts: Invalid value" in str(refused.value)


def test_every_object_that_a_program_registers_is_checked() -> None:
    def program() -> None:
        k8s.apiextensions.CustomResource(
            "gateway", api_version="networking.istio.io/v1", kind="Gateway", spec={"serverz": []}
        )

    with pytest.raises(AssertionError, match=r'unknown field "spec\.serverz"'):
        run_program(program, preview=False)


def test_every_spec_that_a_test_renders_is_checked() -> None:
    labels: dict[str, Any] = {"istio": 1}
    with pytest.raises(AssertionError, match=r"spec\.selector\.istio: .* must be of type string"):
        own_gateway(service("website"), labels)


def test_every_function_that_renders_a_spec_is_known() -> None:
    returns = {getattr(render, name): inspect.signature(getattr(render, name)).return_annotation
               for name in render.__all__ if inspect.isfunction(getattr(render, name))}  # fmt: skip
    known = {*rendered.KINDS, *rendered.OF_KUBERNETES}
    assert {function for function, kind in returns.items() if "Spec" in kind} == known
    assert {function for function, kind in returns.items() if kind == "dict[str, Spec]"} == set(rendered.SPECS_BY_NAME)


@pytest.mark.parametrize("has_go", [True, False])
def test_a_missing_module_is_an_error_that_says_what_to_run(monkeypatch: pytest.MonkeyPatch, has_go: bool) -> None:
    go = Go(program=Path("go"), version="go1.26", architecture="amd64", module_cache=Path("/nonexistent"))
    monkeypatch.setattr(istio_crds, "find_go", lambda: go if has_go else None)
    failed = subprocess.CompletedProcess([], 1, stdout='{"Error": "no such host"}', stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)

    with pytest.raises(AssertionError, match=r"run `go mod download \S+` in sandbox/modules/istio") as missing:
        istio_crds.module_folder()
    assert ("no such host" if has_go else "Go was not found") in str(missing.value)
