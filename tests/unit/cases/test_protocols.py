"""Cases of gRPC, TCP and TLS from public reports: what `canary check` and `canary explain` say of them.

A folder of tests/cases has stacks' files, and in `expected.yaml` what is expected: `problems` are all errors and
warnings by the key's path below `services`, each with words of it; `explain` are arguments, `goes` where the request or
connection goes in percent, and `says` words of the explanation.
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
from canary.exit_codes import ExitCode

FOLDER = Path(__file__).parents[2] / "cases"
CASES = ("grpc-service", "tcp-broker", "tls-passed-through")
EXPECTED = [(case, entry) for case in CASES for entry in yaml.safe_load((FOLDER / case / "expected.yaml").read_text())]


def entries(key: str) -> list[Any]:
    """The expectations of one kind, each with a name."""
    found = ((case, entry) for case, entry in EXPECTED if key in entry)
    return [pytest.param(*one, id=" ".join([one[0], one[1]["file"], *one[1].get("explain", ())])) for one in found]


def run(tmp_path: Path, case: str, file: str, command: str, *arguments: str) -> Any:
    """The JSON of a command that is given the case's file as a stack."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n")
    shutil.copy(FOLDER / case / f"{file}.yaml", tmp_path / f"Pulumi.{file}.yaml")
    done = CliRunner().invoke(app, [command, "--stack", file, "--json", *arguments])
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in the folder of the stack, without a cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


@pytest.mark.parametrize(("case", "entry"), entries("problems"))
def test_a_file_has_these_problems_and_no_others(case: str, entry: dict[str, Any], tmp_path: Path) -> None:
    (result,) = run(tmp_path, case, entry["file"], "check")["results"].values()
    found = {
        one["path"].removeprefix("istio-canary:services."): json.dumps(one)
        for one in result["errors"] + result["warnings"]
    }

    assert list(found) == list(entry["problems"])
    for path, words in entry["problems"].items():
        assert words in found[path]


@pytest.mark.parametrize(("case", "entry"), entries("explain"))
def test_a_request_or_connection_goes_there(case: str, entry: dict[str, Any], tmp_path: Path) -> None:
    told = run(tmp_path, case, entry["file"], "explain", *entry["explain"])

    shares = {share["destination"]: 100 * share["probability"] for share in told["result"].get("shares", ())}
    assert shares == entry.get("goes", {})
    assert entry.get("says", "") in " ".join([*told["words"], (told["rule"] or {}).get("words", "")])


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("/path",), "/path has no effect"),
        (("--header", "a: b"), "--header has no effect"),
        (("--request", "GET"), "--request has no effect"),
        (("--https",), "--https has no effect"),
    ],
)
def test_a_connection_has_nothing_of_a_request(arguments: tuple[str, ...], option: str, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n")
    shutil.copy(FOLDER / "tcp-broker" / "broker.yaml", tmp_path / "Pulumi.broker.yaml")

    done = CliRunner().invoke(app, ["explain", "--stack", "broker", "queue", *arguments])

    assert done.exit_code == ExitCode.CONFIG
    assert option in done.stderr
    assert "canary explain queue" in done.stderr
