"""What the driver reads from a stack's state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from canary.engine.driver import cluster_of

NAMESPACE = {"type": "kubernetes:core/v1:Namespace"}
PROVIDER = {"type": "pulumi:providers:kubernetes"}


@pytest.mark.parametrize(
    ("resources", "cluster"),
    [
        ([{"type": "pulumi:pulumi:Stack", "outputs": {"cluster": "7b1f"}}, PROVIDER, NAMESPACE], "7b1f"),
        ([{"type": "pulumi:pulumi:Stack", "outputs": {"cluster": "7b1f"}}, PROVIDER], None),
        ([{"type": "pulumi:pulumi:Stack", "outputs": {}}, NAMESPACE], None),
        ([{"type": "pulumi:pulumi:Stack"}, NAMESPACE], None),
        ([NAMESPACE], None),
        ([], None),
        (None, None),
    ],
    ids=[
        "deployed",
        "only a provider",
        "by an older version",
        "by a run that failed",
        "no stack",
        "empty",
        "destroyed",
    ],
)
def test_the_cluster_of_a_state_is_the_output_of_the_stack_if_anything_is_deployed(
    resources: list[dict[str, Any]] | None, cluster: str | None
) -> None:
    assert cluster_of(json.dumps({"version": 3, "deployment": {"resources": resources}})) == cluster


def test_a_stack_that_does_not_exist_has_no_cluster() -> None:
    assert cluster_of("") is None
