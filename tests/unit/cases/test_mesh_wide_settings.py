"""Cases of settings for the whole mesh: retries switched off, and TLS that ends in front of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from stacks.settings.loading import load_stack, warnings

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "cases"
NAMES = ("retries-of-the-whole-mesh", "tls-ends-at-the-load-balancer")
ASKED = [
    pytest.param(name, stack, entry, id=f"{stack} {' '.join(entry['explain'])}")
    for name in NAMES
    for entry in yaml.safe_load((CASES / name / "expected.yaml").read_text())
    for stack in entry["stacks"]
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as working directory."""
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "stack", "entry"), ASKED)
def test_explain_says_what_the_whole_mesh_does(name: str, stack: str, entry: dict[str, Any], project: Path) -> None:
    file = f"Pulumi.{stack}.yaml"
    (project / file).write_text((CASES / name / file).read_text())

    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["explain", *entry["explain"], "--stack", stack])

    assert result.exit_code == 0, result.output
    for words in entry["says"]:
        assert words in result.output, f"{words!r} is missing in:\n{result.output}"


@pytest.mark.parametrize("stack", ["trusted", "trusted-by-values", "trusted-by-annotation"])
def test_a_rule_on_x_forwarded_proto_is_fine_where_the_load_balancer_is_trusted(stack: str) -> None:
    loaded = load_stack(CASES / NAMES[1] / f"Pulumi.{stack}.yaml")

    assert warnings(loaded.settings, loaded.source) == ()
