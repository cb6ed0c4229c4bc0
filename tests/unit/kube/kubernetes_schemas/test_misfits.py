"""What does not fit Kubernetes' schemas is found where it is, and told with the fix."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.kubernetes_schemas import misfits, schemas, version
from kube.kubernetes_schemas.generate import ROOTS, generated, text_of
from kube.kubernetes_schemas.schemas import FILE

TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


@pytest.mark.parametrize(
    ("template", "path", "what", "fix"),
    [
        (spec(nodeSelectors={"a": "b"}), "spec.nodeSelectors", "the nearest is `nodeSelector`", "rename it to"),
        (spec(nodeSelectors=["a"]), "spec.nodeSelectors", "the nearest is `nodeSelector`", "remove it"),
        ({"nodeSelector": {"a": "b"}}, "nodeSelector", "`spec` has it", "put it into `spec`"),
        ({"labels": {"a": "b"}}, "labels", "`metadata` has it", "put it into `metadata`"),
        ({"metadata": {"annotations": {"port": 8080}}}, "metadata.annotations.port", "must be text", '"8080"'),
        (spec(priority="10"), "spec.priority", "must be a whole number", "remove the quotes: 10"),
        (spec(priority=2**40), "spec.priority", "too large", "write less"),
        (spec(hostNetwork="yes"), "spec.hostNetwork", "must be true or false", "true or false"),
        (spec(dnsPolicy="Cluster"), "spec.dnsPolicy", "the nearest is ClusterFirst", "write ClusterFirst"),
        (spec(tolerations={"key": "a"}), "spec.tolerations", "must be a list", 'a list: [{"key": "a"}]'),
        (spec(tolerations=[None]), "spec.tolerations[0]", "has no value", "give it a value"),
        (spec(nodeSelector="ssd"), "spec.nodeSelector", "must be a mapping", "write a mapping"),
        (spec(containers=[{"image": "a"}]), "spec.containers[0].name", "is missing", "add `name:`"),
        (
            spec(containers=[{"name": "a", "resources": {"limits": {"memory": "64 MB"}}}]),
            "spec.containers[0].resources.limits.memory",
            "not a Kubernetes quantity",
            "64Mi",
        ),
        (
            spec(containers=[{"name": "a", "livenessProbe": {"httpGet": {"port": 1.5}}}]),
            "spec.containers[0].livenessProbe.httpGet.port",
            "must be a whole number or text",
            "write a whole number or text",
        ),
        (
            spec(volumes=[{"name": "a", "emptyDir": {}, "secret": {"secretName": "b"}}]),
            "spec.volumes[0]",
            "exclude one another",
            "remove secret",
        ),
    ],
)
def test_a_misfit_is_told_with_its_place_and_fix(template: dict[str, Any], path: str, what: str, fix: str) -> None:
    (found,) = misfits(template, TEMPLATE)

    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found.path).removeprefix(".")
    assert steps == path
    assert what in found.what
    assert fix in found.fix


@pytest.mark.parametrize(
    "template",
    [
        {},
        spec(nodeSelector=None),
        spec(containers=[{"name": "a", "resources": {"limits": {"cpu": 0.5, "memory": "64Mi"}}}]),
        spec(tolerations=[{"operator": "Exists"}], priorityClassName="high", terminationGracePeriodSeconds=0),
        spec(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    ],
)
def test_what_kubernetes_accepts_fits(template: dict[str, Any]) -> None:
    assert list(misfits(template, TEMPLATE)) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["spec", "metadata", "containers", "name", "env", "volumes", "x"]), inner)
    ),
    max_leaves=12,
)


@given(value=VALUES)
def test_any_value_is_told_about_without_a_crash(value: Any) -> None:
    assert all(found.what and found.fix and found.allowed for found in misfits({"spec": value}, TEMPLATE))


def test_all_that_a_schema_refers_to_is_there() -> None:
    known = schemas()

    assert set(ROOTS) <= known.keys()
    assert version() == "1.36"
    again = text_of({"version": version(), "schemas": known})
    assert FILE.read_text() == again, "the file is as generate.py writes it"


def test_a_published_schema_is_reduced_to_what_is_checked() -> None:
    field = {"allOf": [{"$ref": "#/components/schemas/B"}], "default": {}, "description": "a field"}
    roots = {name: {"type": "object", "properties": {"one": field}} for name in ROOTS}
    document = {
        "info": {"version": "v1.40.0"},
        "components": {"schemas": {**roots, "B": {"type": "string", "enum": ["x"], "description": "b"}, "C": {}}},
    }

    content = generated([document])

    assert content["version"] == "1.40.0"
    assert content["schemas"].keys() == {*ROOTS, "B"}
    assert content["schemas"]["B"] == {"type": "string", "enum": ["x"]}
    assert content["schemas"][ROOTS[0]]["properties"] == {"one": {"$ref": "B"}}
