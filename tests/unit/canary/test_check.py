"""`canary check`: what is wrong with stacks, without cluster and engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.check import rules
from canary.check.rules import ObjectProblem, PolicyProblem
from canary.exit_codes import ExitCode
from stacks.recording import Recorded

GOOD = """config:
  istio-canary:mesh: {install: false}
  istio-canary:services:
    shop:
      namespace: shop
      hosts: ["*"]
      versions: {one: {image: "shop:1", port: 8080}}
"""
WARNED = f"""{GOOD.replace("}}", '}, two: {image: "shop:2", port: 8080}}')}      route:
        - {{match: [{{headers: {{a: {{exact: b}}}}}}], to: one}}
        - {{match: [{{uri: {{prefix: /a}}}}], to: two}}
        - {{to: one}}
"""
BAD = GOOD.replace("8080", "808080")
MANDATORY = PolicyProblem(
    "hosts-not-open", "high", "mandatory", "Gateway shop/shop-gateway", "the host is *", "name it"
)
ADVISORY = PolicyProblem("probes", "low", "advisory", "Deployment shop/shop-one", "there is no probe", "add one")
REFUSED = ObjectProblem("VirtualService shop/shop", "spec.http[0].timeout: must be a valid duration")


class Rules:
    """Stands for the schemas and the policies: keeps what they were asked, and answers with `answer`."""

    def __init__(self) -> None:
        self.objects: list[Mapping[str, Any]] = []
        self.urns: list[str] = []
        self.refused: list[ObjectProblem] = []
        self.findings: list[PolicyProblem] = []

    def istio_problems(self, objects: Iterable[Mapping[str, Any]]) -> list[ObjectProblem]:
        self.objects += objects
        return self.refused

    def recorded_findings(self, recorded: Iterable[Recorded]) -> list[PolicyProblem]:
        self.urns += [resource.urn for resource in recorded]
        return self.findings

    def state_findings(self, exported: Mapping[str, Any]) -> list[PolicyProblem]:
        self.urns += [resource["urn"] for resource in exported["deployment"]["resources"]]
        return self.findings


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Rules:
    """The rules of the tests."""
    found = Rules()
    for name in ("istio_problems", "recorded_findings", "state_findings"):
        monkeypatch.setattr(rules, name, getattr(found, name))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Rules) -> Path:
    """A project with a valid stack and one with a warning; there is no pulumi."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "Pulumi.staging.yaml").write_text(WARNED, encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("PULUMI_STACK", "dev")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["check", *arguments])


def test_all_stacks_are_checked_without_an_engine(folder: Path, found: Rules) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "dev: nothing found (Pulumi.dev.yaml)" in result.stdout
    assert "staging: 1 warning (Pulumi.staging.yaml)" in result.stdout
    assert "warning: Pulumi.staging.yaml:10: istio-canary:services.shop.route[1]" in result.stdout
    assert {urn.split("::")[0] for urn in found.urns} == {"urn:pulumi:dev", "urn:pulumi:staging"}
    assert {"VirtualService", "Gateway"} <= {one.get("kind") for one in found.objects}


def test_the_stacks_of_the_option_are_checked_alone(folder: Path) -> None:
    result = run("--stack", "dev", "--stack", "dev")
    assert result.stdout == "dev: nothing found (Pulumi.dev.yaml)\n"


def test_mistakes_in_a_file_are_shown_with_line_and_fix_and_other_stacks_are_still_checked(folder: Path) -> None:
    (folder / "Pulumi.bad.yaml").write_text(BAD, encoding="utf-8")
    result = run()
    assert result.exit_code == ExitCode.CONFIG
    assert "bad: 1 error (Pulumi.bad.yaml)" in result.stdout
    assert "error: Pulumi.bad.yaml:7: istio-canary:services.shop.versions.one.port" in result.stdout
    assert "    fix:" in result.stdout
    assert "dev: nothing found" in result.stdout
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("refused", "findings", "code", "lines"),
    [
        ([], [ADVISORY], ExitCode.OK, ["dev: 1 advisory finding", "policy: advisory, low: probes: Deployment shop"]),
        (
            [],
            [MANDATORY, ADVISORY],
            ExitCode.POLICY,
            ["dev: 1 mandatory finding, 1 advisory finding", "policy: mandatory, high: hosts-not-open", "name it"],
        ),
        ([REFUSED], [], ExitCode.CONFIG, ["dev: 1 error", "Istio: VirtualService shop/shop: spec.http[0].timeout"]),
        ([REFUSED], [MANDATORY], ExitCode.CONFIG, ["dev: 1 error, 1 mandatory finding"]),
    ],
)
def test_the_exit_code_tells_mistakes_from_mandatory_findings(
    folder: Path,
    found: Rules,
    refused: list[ObjectProblem],
    findings: list[PolicyProblem],
    code: ExitCode,
    lines: list[str],
) -> None:
    found.refused, found.findings = refused, findings
    result = run("--stack", "dev")
    assert result.exit_code == code
    for line in lines:
        assert line in result.stdout


def test_the_result_is_one_json_document(folder: Path, found: Rules) -> None:
    (folder / "Pulumi.bad.yaml").write_text(BAD, encoding="utf-8")
    found.findings = [MANDATORY]
    result = run("--json")
    document = json.loads(result.stdout)
    assert document["code"] == result.exit_code == ExitCode.CONFIG
    (error,) = document["results"]["bad"]["errors"]
    assert (error["file"], error["line"]) == ("Pulumi.bad.yaml", 7)
    assert error["fix"]
    assert document["results"]["dev"]["code"] == ExitCode.POLICY
    assert document["results"]["dev"]["policies"][0]["rule"] == "hosts-not-open"


SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:hidden"}
STATE = {
    "version": 3,
    "deployment": {
        "resources": [
            {"urn": "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev", "type": "pulumi:pulumi:Stack"},
            {
                "urn": "urn:pulumi:dev::p::kubernetes:core/v1:Secret::s",
                "type": "kubernetes:core/v1:Secret",
                "inputs": {"kind": "Secret", "metadata": {"name": "s"}, "data": SECRET},
            },
            {
                "urn": "urn:pulumi:dev::p::kubernetes:core/v1:Secret::old",
                "type": "kubernetes:core/v1:Secret",
                "inputs": {"kind": "Secret"},
                "delete": True,
            },
        ]
    },
}


def test_a_state_is_checked_with_its_secrets_masked(folder: Path, found: Rules) -> None:
    (folder / "state.json").write_text(json.dumps(STATE), encoding="utf-8")
    found.findings = [MANDATORY]
    result = run("--state", "state.json")
    assert result.exit_code == ExitCode.POLICY
    assert "state.json: 1 mandatory finding" in result.stdout
    assert found.objects == [{"kind": "Secret", "metadata": {"name": "s"}, "data": "[secret]"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not an exported state"),
        ('{"deployment": {"resources": 1}}', "is not an exported state"),
    ],
)
def test_a_file_that_is_no_state_is_refused_with_the_command_that_writes_one(
    folder: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (folder / "state.json").write_text(content, encoding="utf-8")
    result = run("--state", "state.json")
    assert result.exit_code == ExitCode.CONFIG
    assert words in result.stderr
    assert "pulumi stack export" in result.stderr


def test_an_unknown_stack_is_reported_with_the_nearest(folder: Path) -> None:
    result = run("--stack", "dve")
    assert result.exit_code == ExitCode.CONFIG
    assert "did you mean --stack dev?" in result.stderr


def test_a_stack_and_a_state_exclude_each_other(folder: Path) -> None:
    result = run("--stack", "dev", "--state", "state.json")
    assert result.exit_code == ExitCode.CONFIG
    assert "keep one of them" in result.stderr


def test_a_project_without_stacks_is_told_to_make_one(folder: Path) -> None:
    for file in folder.glob("Pulumi.*.yaml"):
        file.unlink()
    result = run()
    assert result.exit_code == ExitCode.CONFIG
    assert "create a file Pulumi.<stack>.yaml" in result.stderr
