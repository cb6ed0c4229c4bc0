"""docs/upgrades.md: its examples are accepted, and its commands are those that the end-to-end test runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from stacks.settings.loading import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "upgrades.md").read_text(encoding="utf-8")
END_TO_END = (ROOT / "tests" / "e2e" / "test_istio_upgrade.py").read_text(encoding="utf-8")
SHOP = {"shop": {"hosts": ["shop.example.com"], "versions": {"v1": {"image": "shop:1", "port": 8080}}}}
RUN = {
    "up --stack prod-mesh": "project.up(MESH)",
    "up --stack prod": "project.up(SHOP)",
    "status --stack prod": '"status", "--stack", stack',
}
"""The commands of the page, and how the end-to-end test runs each."""


def test_every_example_is_accepted() -> None:
    examples = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
    meshes = [load({**example, "services": SHOP}).mesh for example in examples]
    assert [list(mesh.all_revisions) for mesh in meshes] == [["1-31", "1-32"], ["default", "1-32"]]
    assert [mesh.usual_revision for mesh in meshes] == ["1-31", "default"]


def test_every_command_is_run_by_the_end_to_end_test() -> None:
    commands = {" ".join(found.split()) for found in re.findall(r"`canary ([^`]+)`", PAGE)} - {"up"}
    assert commands == RUN.keys()
    assert all(words in END_TO_END for words in RUN.values())


def test_the_releases_that_the_page_names_are_those_of_the_end_to_end_test() -> None:
    from sandbox.builder.go_modules import ISTIO_VERSION
    from tests.e2e.second_istio import VERSION

    assert f"from Istio {VERSION} to {ISTIO_VERSION}" in PAGE
