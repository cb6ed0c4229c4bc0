"""Cases of small shares, headers of one share, and redirects that keep the rest of the path: what explain says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from stacks.settings.loading import load_stack
from traffic.render import virtual_services

ROOT = Path(__file__).parents[3]
CASES = [ROOT / "tests" / "cases" / name for name in (
    "share-below-one-percent", "header-of-one-share", "redirect-keeps-the-rest",
)]  # fmt: skip
EXPECTED = [
    pytest.param(case, stack, entry, id=f"{case.name}-{stack}-{number}")
    for case in CASES
    for stack, entries in yaml.safe_load((case / "expected.yaml").read_text()).items()
    for number, entry in enumerate(entries, 1)
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    return tmp_path


def asked(entry: dict[str, Any]) -> list[str]:
    """The arguments of `canary explain` for a request."""
    headers = [word for name, value in entry.get("headers", {}).items() for word in ("--header", f"{name}: {value}")]
    caller = ["--from", entry["from"]] if "from" in entry else []
    return [entry["service"], entry.get("path", "/"), *headers, *caller]


@pytest.mark.parametrize(("case", "stack", "entry"), EXPECTED)
def test_explain_says_what_is_right(case: Path, stack: str, entry: dict[str, Any], project: Path) -> None:
    shutil.copy(case / f"Pulumi.{stack}.yaml", project)
    done = CliRunner().invoke(app, ["explain", *asked(entry), "--stack", stack, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    result = document["result"]
    if "location" in entry:
        assert (result["status"], result["location"]) == (entry["status"], entry["location"])
        return
    shares = {share["destination"]: 100 * share["probability"] for share in result["shares"]}
    assert shares == pytest.approx(entry["shares"])
    own = {share["destination"]: share["headers"]["request"]["set"] for share in result["shares"] if share["headers"]}
    assert own == entry.get("sees", {}), "no other share is marked"
    for version, headers in own.items():
        for name, value in headers.items():
            assert f"Request header set for {version}: {name}: {value}." in document["words"]


@pytest.mark.parametrize(("case", "stack", "entry"), EXPECTED)
def test_istio_gets_whole_weights(case: Path, stack: str, entry: dict[str, Any]) -> None:
    services = load_stack(case / f"Pulumi.{stack}.yaml").settings.services
    specs = virtual_services(services, entry["service"], gateway_namespace="istio-ingress")
    last = specs[entry["service"]]["http"][-1]
    if "weights" in entry:
        assert [destination["weight"] for destination in last["route"]] == entry["weights"]
    assert all(type(one.get("weight", 1)) is int for one in last["route"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_passes_every_mandatory_policy(case: Path, project: Path) -> None:
    shutil.copy(ROOT / "__main__.py", project)
    for file in case.glob("Pulumi.*.yaml"):
        shutil.copy(file, project)
        stack = file.name.split(".")[1]
        done = CliRunner().invoke(app, ["check", "--stack", stack])
        assert done.exit_code == 0, done.output
