"""What `canary explain` and `canary check` say of cases from public reports, each a folder of tests/cases.

A folder has stacks' files, and in `expected.yaml` a list of what is expected of them. `problems` are all errors and
warnings, by the key's path below `services`, each with words of it. `explain` are arguments; `goes` is where the
request goes in percent, `depends` the same by caller where that decides, and `says` is one of the sentences.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app

FOLDER = Path(__file__).parents[2] / "cases"
CASES = (
    "canary-calls-canary",
    "consistent-hash-is-not-sticky",
    "one-limit-over-all-tries",
    "port-in-the-host-header",
    "two-prefixes-one-rewrite",
    "two-teams-one-host",
)
EXPECTED = [(case, entry) for case in CASES for entry in yaml.safe_load((FOLDER / case / "expected.yaml").read_text())]
PROBLEMS = [(case, entry) for case, entry in EXPECTED if "problems" in entry]
EXPLAINED = [(case, entry) for case, entry in EXPECTED if "explain" in entry]


def name_of(value: Any) -> str:
    """A test's name: the case, or the file and the arguments."""
    return value if isinstance(value, str) else " ".join([value["file"], *value.get("explain", ())])


def run(tmp_path: Path, case: str, file: str, *arguments: str) -> Any:
    """The JSON of a command that is given the case's file as a stack."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n")
    shutil.copy(FOLDER / case / f"{file}.yaml", tmp_path / f"Pulumi.{file}.yaml")
    done = CliRunner().invoke(app, [arguments[0], "--stack", file, "--json", *arguments[1:]])
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in the folder of the stack, without a cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


@pytest.mark.parametrize(("case", "entry"), PROBLEMS, ids=name_of)
def test_a_file_has_these_problems_and_no_others(case: str, entry: dict[str, Any], tmp_path: Path) -> None:
    (result,) = run(tmp_path, case, entry["file"], "check")["results"].values()
    found = {one["path"].removeprefix("istio-canary:services."): one for one in result["errors"] + result["warnings"]}
    assert list(found) == list(entry["problems"])
    for path, words in entry["problems"].items():
        assert words in f"{found[path]['what']} {found[path]['fix']}"


@pytest.mark.parametrize(("case", "entry"), EXPLAINED, ids=name_of)
def test_a_request_is_explained(case: str, entry: dict[str, Any], tmp_path: Path) -> None:
    document = run(tmp_path, case, entry["file"], "explain", *entry["explain"])
    result = document["result"]
    expected = {key: value for key, value in entry.items() if key not in ("file", "explain", "says", "depends")}
    found = {
        "goes": shares(result),
        "sees": result.get("path"),
        "location": result.get("location"),
        "timeout": result.get("timeout"),
        "to_other_hosts": (result.get("retries") or {}).get("to_other_hosts"),
    }
    assert {key: found[key] for key in expected} == expected
    assert entry.get("says", document["words"][0]) in document["words"]
    if "depends" in entry:
        assert {name: shares(one["result"]) for name, one in document["callers"].items()} == entry["depends"]


def shares(result: dict[str, Any]) -> dict[str, float]:
    """Where a request goes, in percent."""
    return {share["destination"]: round(100 * share["probability"], 4) for share in result.get("shares", ())}
