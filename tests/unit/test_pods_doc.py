"""docs/pods.md: its examples are accepted, and what it says of Kubernetes' version and of the keys is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from kube.kubernetes_schemas import version
from stacks.recording import record
from stacks.settings.loading import load, warnings

PAGE = (Path(__file__).parents[2] / "docs" / "pods.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_an_example_is_a_part_of_a_service_and_builds_its_pods(example: str) -> None:
    shop = {"hosts": ["shop.example.com"], **yaml.safe_load(example)}
    settings = load({"mesh": {"install": False}, "services": {"shop": shop}})

    assert list(warnings(settings)) == []
    deployments = [one for one in record(settings, "docs") if one.type.endswith(":Deployment")]
    assert len(deployments) == len(shop["versions"])


def test_the_pages_version_of_kubernetes_is_that_of_the_schemas() -> None:
    assert f"Kubernetes {version()} publishes" in PAGE
