"""Cases about callers at the gateway: claims of tokens, addresses, cookies; decided offline by `canary explain`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from stacks.settings.loading import load_stack, warnings
from stacks.settings.problems import SettingsError

PROJECT = Path(__file__).parents[3]
CASES = PROJECT / "tests" / "cases"
ASKED = {"cohort-by-claim": "portal", "callers-by-address": "search", "sticky-beside-cookies": "trader"}
"""The service that is asked about, by case."""
EXPECTED = [
    (case, stack, one)
    for case in ASKED
    for stack, given in yaml.safe_load((CASES / case / "expected.yaml").read_text()).items()
    for one in given
]
DECIDED = [(case, stack, one) for case, stack, one in EXPECTED if "args" in one]
TOLD = [(case, stack, one) for case, stack, one in EXPECTED if "args" not in one]


def test_every_stack_of_a_case_is_expected_to_be_something() -> None:
    files = {(case, file.stem.removeprefix("Pulumi.")) for case in ASKED for file in (CASES / case).glob("Pulumi.*")}
    assert {(case, stack) for case, stack, _ in EXPECTED} == files


@pytest.mark.parametrize(("case", "stack", "expected"), DECIDED, ids=str)
def test_a_request_is_decided_as_expected(
    case: str, stack: str, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (PROJECT / "Pulumi.yaml", PROJECT / "__main__.py", CASES / case / f"Pulumi.{stack}.yaml"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["explain", ASKED[case], "--stack", stack, *expected["args"]])
    assert done.exit_code == ExitCode.OK, done.output
    end = f"\ngoes to {expected['goes to']}." if "goes to" in expected else f"\nis answered {expected['answer']}:"
    assert end in done.stdout, done.stdout
    assert expected.get("says", "") in done.stdout


@pytest.mark.parametrize(("case", "stack", "expected"), TOLD, ids=str)
def test_a_file_is_refused_or_warned_of(case: str, stack: str, expected: dict[str, str]) -> None:
    file = CASES / case / f"Pulumi.{stack}.yaml"
    if "error" in expected:
        with pytest.raises(SettingsError) as caught:
            load_stack(file)
        (problem,) = caught.value.problems
    else:
        loaded = load_stack(file)
        (problem,) = warnings(loaded.settings, loaded.source)
    assert expected.get("error", expected.get("warning", "")) in problem.what
    assert expected["fix"] in problem.fix
    assert problem.line is not None
