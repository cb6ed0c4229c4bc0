"""Namespaces: created with an owner annotation, or adopted with only a label."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pytest

from components.names import INJECTION, OWNER_ANNOTATION
from components.namespace import Namespace, NamespaceArgs
from tests.unit.mocks import Deploy, in_cluster


def _namespace(args: NamespaceArgs) -> Callable[[], pulumi.Output[str]]:
    return lambda: Namespace("website-istio-ns", args, in_cluster()).namespace_name


def test_a_new_namespace_has_the_annotation_of_its_stack(deploy: Deploy) -> None:
    run = deploy(_namespace(NamespaceArgs(name="website-istio-ns", owner="istio-canary/dev", labels=INJECTION)))

    namespace = run.named("website-istio-ns-namespace", "kubernetes:core/v1:Namespace")
    assert namespace.metadata == {
        "name": "website-istio-ns",
        "labels": {"istio-injection": "enabled"},
        "annotations": {OWNER_ANNOTATION: "istio-canary/dev"},
    }, "the annotation distinguishes them from existing namespaces"
    assert run.result == "website-istio-ns"


def test_an_adopted_namespace_gets_only_a_patch_with_the_label(deploy: Deploy) -> None:
    args = NamespaceArgs(name="website-istio-ns", owner="istio-canary/dev", labels=INJECTION, adopt=True)
    run = deploy(_namespace(args))

    (patch,) = run.custom()
    assert patch.type == "kubernetes:core/v1:NamespacePatch", "a Namespace resource would be deleted with the stack"
    assert patch.metadata == {"name": "website-istio-ns", "labels": {"istio-injection": "enabled"}}
    assert run.result == "website-istio-ns"


def test_an_adopted_namespace_without_labels_is_not_changed(deploy: Deploy) -> None:
    run = deploy(_namespace(NamespaceArgs(name="istio-system", owner="istio-canary/dev", adopt=True)))

    assert run.custom() == []
    assert run.result == "istio-system"


@pytest.mark.parametrize("adopt", [True, False])
def test_the_namespace_registers_its_outputs(deploy: Deploy, adopt: bool) -> None:
    run = deploy(_namespace(NamespaceArgs(name="shop", owner="istio-canary/dev", labels=INJECTION, adopt=adopt)))

    assert run.named("website-istio-ns").outputs == {"namespace_name": "shop"}
