"""What the API server would refuse is said in its words, for any input, without needless imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.crd_schemas import SchemasMissingError, problems_of, schemas

NETWORKING = "networking.istio.io/v1"
KINDS = sorted((api_version, kind) for api_version, kinds in schemas.schemas().items() for kind in kinds)
NAMES = sorted({name for kinds in schemas.schemas().values() for one in kinds.values()
                for name in one["properties"]["spec"]["properties"]})  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "name", "port", "number", "exact"]) | st.text(), values, max_size=4)
    ),
    max_leaves=12,
)


def istio_object(kind: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": "shop"}, "spec": spec}


@pytest.mark.parametrize(
    ("wrong", "messages"),
    [
        (istio_object("DestinationRule"), ["spec.host: Required value"]),
        (istio_object("VirtualService", http=[{"timeOut": "1s"}]), ['unknown field "spec.http[0].timeOut"']),
        (
            istio_object("VirtualService", hosts="shop"),
            ['spec.hosts: Invalid value: "string": spec.hosts in body must be of type array: "string"'],
        ),
        (
            istio_object("DestinationRule", host="shop", trafficPolicy={"proxyProtocol": {"version": "v1"}}),
            ['spec.trafficPolicy.proxyProtocol.version: Unsupported value: "v1": supported values: "V1", "V2"'],
        ),
        (
            istio_object("VirtualService", http=[{"mirrorPercent": -1}]),
            [
                "spec.http[0].mirrorPercent: Invalid value: -1: "
                "spec.http[0].mirrorPercent in body should be greater than or equal to 0"
            ],
        ),
        (
            istio_object("ServiceEntry", hosts=[]),
            ["spec.hosts: Invalid value: 0: spec.hosts in body should have at least 1 items"],
        ),
        (istio_object("ServiceEntry", hosts=["a"] * 257), ["spec.hosts: Too many: 257: must have at most 256 items"]),
        (
            istio_object("ServiceEntry", hosts=["a"], addresses=["1" * 65]),
            ["spec.addresses[0]: Too long: may not be more than 64 bytes"],
        ),
        (
            istio_object("ServiceEntry", hosts=["a", "*"]),
            ['spec.hosts[1]: Invalid value: "*": hostname cannot be wildcard'],
        ),
        (
            istio_object("ServiceEntry", hosts=["a"], endpoints=[{"address": "b"}]),
            ["spec: Invalid value: NONE mode cannot set endpoints"],
        ),
        (
            istio_object("VirtualService", http=[{"timeout": "soon"}]),
            [
                'spec.http[0].timeout: Invalid value: "soon": String to Duration conversion failed '
                "evaluating rule: must be a valid duration greater than 1ms"
            ],
        ),
        (istio_object("Gatevay"), ['no matches for kind "Gatevay" in version "networking.istio.io/v1"']),
    ],
    ids=lambda one: one["kind"] if isinstance(one, dict) else "",
)
def test_a_problem_is_said_in_the_api_servers_words(wrong: dict[str, Any], messages: list[str]) -> None:
    assert problems_of(wrong) == messages


def test_all_problems_are_said_at_once() -> None:
    """The API server says the unknown field alone, and evaluates no rule while the port has no name."""
    several = istio_object("ServiceEntry", hosts=["*"], ports=[{"number": 80}], host="a")
    assert problems_of(several) == [
        'unknown field "spec.host"',
        "spec.ports[0].name: Required value",
        'spec.hosts[0]: Invalid value: "*": hostname cannot be wildcard',
    ]


@pytest.mark.parametrize("api_version", ["v1", "apps/v1", "gateway.networking.k8s.io/v1", "install.istio.io/v1alpha1"])
def test_other_kinds_have_no_problems(api_version: str) -> None:
    assert problems_of({"apiVersion": api_version, "kind": "Gateway", "spec": 1}) == []
    assert problems_of({"kind": "Gateway"}) == []


def test_metadata_and_status_are_not_looked_at() -> None:
    assert problems_of({**istio_object("Gateway"), "metadata": 1, "status": {"conditions": 1}}) == []


@given(kind=st.sampled_from(KINDS), spec=ANY_JSON)
@settings(max_examples=300)
def test_any_spec_gets_a_verdict(kind: tuple[str, str], spec: Any) -> None:
    manifest = {"apiVersion": kind[0], "kind": kind[1], "spec": spec}
    assert all(isinstance(problem, str) for problem in problems_of(manifest))
    assert manifest == {"apiVersion": kind[0], "kind": kind[1], "spec": spec}, "the object is not changed"


def test_the_libraries_are_imported_when_an_istio_object_is_checked() -> None:
    program = """
import sys
from kube.crd_schemas import problems_of
problems_of({"apiVersion": "v1", "kind": "Service"})
print(sorted({"jsonschema", "cel_expr_python", "pulumi", "pulumi_kubernetes_istio_crds"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_schemas_are_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "PACKAGE", "no_such_package")
    with pytest.raises(SchemasMissingError, match=r"no_such_package.*fix: make setup"):
        schemas.schemas.__wrapped__()
