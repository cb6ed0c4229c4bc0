"""A rule on Istio's objects as such: whether the API server would take them."""

from __future__ import annotations

from collections.abc import Iterator

from kube.crd_schemas import is_istio, problems_of
from policies.rule import EVERYWHERE, Context, Problem, Rule, Severity


def istio_objects_valid(context: Context) -> Iterator[Problem]:
    """Istio's CRDs allow the object: the API server would refuse another, or drop the fields that it does not know."""
    for resource in context.resources:
        if is_istio(resource.group) and resource.is_known:
            manifest = {**resource.props, "apiVersion": resource.group, "kind": resource.kind}
            for problem in problems_of(manifest):
                yield Problem(resource, problem, "write what Istio's reference of this kind allows")


RULES = (
    Rule(
        name="istio-objects-valid",
        check=istio_objects_valid,
        severity=Severity.HIGH,
        description="Istio's CRDs allow every Istio object: schema and CEL rules.",
        stacks=EVERYWHERE,
    ),
)
