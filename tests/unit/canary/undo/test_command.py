"""`canary undo`: the active version, mistakes, what is asked, and what stays in the file when it is not applied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canary.command_error import CommandError
from canary.engine.driver import Operation
from canary.exit_codes import ExitCode
from canary.ui import Ui
from tests.unit.canary.undo.undoing import STACK, Runs, changed_lines, run


@pytest.mark.parametrize(
    ("service", "note", "lines"),
    [
        (
            "blue",
            "blue (blueGreen): active version: two -> one (Pulumi.dev.yaml:7)",
            [
                "-      strategy: {blueGreen: {active: two}} # one line",
                "+      strategy: {blueGreen: {active: one}} # one line",
            ],
        ),
        (
            "word",
            "word (blueGreen): active version: one -> two (Pulumi.dev.yaml:11)",
            ["-      strategy: blueGreen", "+      strategy: {blueGreen: {active: two}}"],
        ),
    ],
)
def test_blue_green_makes_the_idle_version_active_by_one_line(
    service: str, note: str, lines: list[str], file: Path, runs: Runs
) -> None:
    result = run(service, "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert note in result.stderr
    assert runs.operations == [Operation.UP]
    assert runs.seen[0][1] == file.read_text(), "the changed file is what is deployed"
    assert changed_lines(STACK, file.read_text()) == lines


def test_two_undos_are_none(file: Path, runs: Runs) -> None:
    for _ in range(2):
        assert run("blue", "--stack", "dev", "--yes").exit_code == 0

    assert file.read_text() == STACK


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shpo",), ("the stack has no service 'shpo'", "did you mean shop?")),
        (("ramped", "--version", "three"), ("ramped has no version 'three'", "choose one of one, two")),
        (("ramped", "--version", "onne"), ("did you mean one?",)),
        (("ramped/one",), ("the stack has no service 'ramped/one'", "write the service alone: ramped")),
        (("website-istio-ns",), ("website-istio-ns is a namespace", "name one of its services: website")),
        (("blue", "--version", "one"), ("--version has no effect with the strategy blueGreen",)),
        (("shop", "--version", "one"), ("--version has no effect with the strategy canary",)),
    ],
)
def test_mistakes_on_the_command_line_change_nothing(
    arguments: tuple[str, ...], words: tuple[str, ...], file: Path, runs: Runs
) -> None:
    result = run(*arguments, "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.CONFIG
    assert all(word in result.stderr for word in words), result.stderr
    assert (file.read_text(), runs.seen) == (STACK, [])


def test_without_a_terminal_nothing_is_changed_unless_yes_is_given(file: Path, runs: Runs) -> None:
    result = run("blue", "--stack", "dev")

    assert result.exit_code == ExitCode.CONFIG
    assert "canary undo blue --stack dev --yes" in result.stderr
    assert (file.read_text(), runs.seen) == (STACK, [])


def test_the_service_is_checked_before_the_terminal(file: Path, runs: Runs) -> None:
    result = run("webiste", "--stack", "dev")

    assert (result.exit_code, runs.operations) == (ExitCode.CONFIG, [])
    assert "did you mean website?" in result.stderr
    assert "--yes" not in result.stderr


@pytest.mark.parametrize(
    ("answer", "kept"), [(True, [Operation.PREVIEW, Operation.UP]), (False, [Operation.PREVIEW])], ids=["yes", "no"]
)
def test_a_person_sees_the_preview_first_and_a_no_leaves_the_file_as_it_was(
    answer: bool, kept: list[Operation], file: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ui, "can_ask", True)
    monkeypatch.setattr(Ui, "confirm", lambda ui, question: answer)
    result = run("blue", "--stack", "dev")

    assert result.exit_code == 0, result.output
    assert runs.operations == kept
    assert all("active: one" in text for _, text in runs.seen), "the preview is of the changed file"
    assert ("active: one" in file.read_text()) == answer
    assert ("Pulumi.dev.yaml is as before" in result.stderr) == (not answer)


def test_a_change_that_the_cluster_has_already_is_kept_without_a_question(
    file: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ui, "can_ask", True)
    runs.changes = False

    assert run("blue", "--stack", "dev").exit_code == 0
    assert runs.operations == [Operation.PREVIEW]
    assert "active: one" in file.read_text()


@pytest.mark.parametrize(
    ("code", "is_kept"),
    [
        (ExitCode.CONFIG, False),
        (ExitCode.LOCKED, False),
        (ExitCode.UNREACHABLE, False),
        (ExitCode.FAILED, True),
        (ExitCode.INTERRUPTED, True),
    ],
)
def test_the_change_is_kept_once_the_cluster_may_have_changed(
    code: ExitCode, is_kept: bool, file: Path, runs: Runs
) -> None:
    runs.failure = CommandError("it failed", code)
    result = run("blue", "--stack", "dev", "--yes")

    assert result.exit_code == code
    assert ("active: one" in file.read_text()) == is_kept
    assert f"Pulumi.dev.yaml {'keeps the change' if is_kept else 'is as before'}" in result.stderr


def test_ctrl_c_in_the_preview_leaves_the_file_as_it_was(
    file: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ui, "can_ask", True)
    runs.on_run = interrupt

    assert run("blue", "--stack", "dev").exit_code == ExitCode.INTERRUPTED
    assert file.read_text() == STACK


def test_a_file_whose_values_are_shared_is_changed_by_hand(file: Path, runs: Runs) -> None:
    text = STACK.replace("strategy: {blueGreen: {active: two}} # one line", "strategy: &s {blueGreen: {active: two}}")
    text = text.replace("strategy: blueGreen", "strategy: *s")
    file.write_text(text)
    result = run("blue", "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.CONFIG
    assert "write istio-canary:services.blue.strategy.blueGreen.active: one yourself" in result.stderr
    assert file.read_text() == text


def test_json_is_one_document_with_the_change(file: Path, runs: Runs) -> None:
    result = run("blue", "--stack", "dev", "--yes", "--json")

    assert json.loads(result.stdout)["undo"] == {
        "service": "blue",
        "strategy": "blueGreen",
        "what": "active version",
        "before": "two",
        "after": "one",
        "file": "Pulumi.dev.yaml",
        "paths": ["istio-canary:services.blue.strategy.blueGreen.active"],
    }
