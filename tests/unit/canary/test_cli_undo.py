"""`canary undo`: what a service goes back to, the one value that changes, and what stays when it is not applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.command_error import CommandError
from canary.engine.driver import Operation
from canary.exit_codes import ExitCode
from canary.ui import Ui
from kube.kubeconfig import ClusterUnreachableError
from kube.replica_sets import Revision
from tests.unit.canary.undoing import STACK, TESTERS, Appending, Runs, changed_lines, recorded


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack's file in a project."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nonexistent")
    return path


@pytest.fixture
def runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Takes the place of the engine's runs."""
    found = Runs(file)
    monkeypatch.setattr("canary.engine.session.report_of", found)
    return found


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The images that each Deployment ran, the newest first, as its ReplicaSets would tell."""
    images: dict[str, list[str]] = {}

    def revisions(client: Any, namespace: str, deployment: str, container: str) -> tuple[Revision, ...]:
        found = images.get(deployment, [])
        assert (namespace, container) == ("ramped", "ramped")
        return tuple(Revision(len(found) - index, image) for index, image in enumerate(found))

    monkeypatch.setattr("kube.replica_sets.revisions", revisions)
    monkeypatch.setattr("kube.client.query", lambda cluster, ask, within=None: ask(None))
    return images


@pytest.fixture
def history(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `pulumi stack history` prints, the newest run first."""
    recorded: list[dict[str, Any]] = []
    pulumi = file.parent / "bin" / "pulumi"
    pulumi.parent.mkdir()
    answer = file.parent / "history.json"
    pulumi.write_text(
        f'#!/bin/sh\ncase "$*" in "stack history"*) cat {answer};; version) echo v3.207.0;; *) exit 1;; esac\n'
    )
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{pulumi.parent}:/usr/bin:/bin")
    write = recorded.append

    def append(run: dict[str, Any]) -> None:
        write(run)
        answer.write_text(json.dumps(recorded))

    answer.write_text("[]")
    return Appending(append)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["undo", *arguments])


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


def test_ramped_restores_the_image_that_ran_before(file: Path, runs: Runs, ran: dict[str, list[str]]) -> None:
    ran["ramped-one"] = ["ramped:2", "ramped:2", "ramped:1", "ramped:0"]
    ran["ramped-two"] = ["ramped:9"]
    result = run("ramped", "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert (
        "ramped (ramped): image of one: ramped:2 -> ramped:1 (Pulumi.dev.yaml:17; revision 2 of its Deployment)"
        in result.stderr
    )
    assert changed_lines(STACK, file.read_text()) == [
        '-        one: {image: "ramped:2", port: 8080} # the new one',
        "+        one: {image: ramped:1, port: 8080} # the new one",
    ]


def test_an_image_that_is_not_deployed_yet_goes_back_to_the_one_that_runs(
    file: Path, runs: Runs, ran: dict[str, list[str]]
) -> None:
    ran["ramped-one"] = ["ramped:1", "ramped:0"]

    assert run("ramped", "--stack", "dev", "--yes").exit_code == 0
    assert "image: ramped:1," in file.read_text()


def test_of_several_versions_that_ran_another_image_one_must_be_chosen(
    file: Path, runs: Runs, ran: dict[str, list[str]]
) -> None:
    ran["ramped-one"], ran["ramped-two"] = ["ramped:2", "ramped:1"], ["ramped:9", "ramped:8"]
    result = run("ramped", "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.CONFIG
    assert "2 versions of ramped ran another image before" in result.stderr
    assert "one: ramped:2 -> ramped:1" in result.stderr
    assert "canary undo ramped --version one --stack dev" in result.stderr
    assert file.read_text() == STACK
    assert run("ramped", "--version", "two", "--stack", "dev", "--yes").exit_code == 0
    assert "image: ramped:8," in file.read_text()


def test_without_another_image_there_is_nothing_to_go_back_to(
    file: Path, runs: Runs, ran: dict[str, list[str]]
) -> None:
    ran["ramped-one"] = ["ramped:2"]
    result = run("ramped", "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.FAILED
    assert "there is no image to go back to: one and two ran no other one" in result.stderr
    assert (file.read_text(), runs.seen) == (STACK, [])


def test_canary_restores_the_weights_of_the_last_run_that_had_others(
    file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    now, before = {"one": 50, "two": 50}, {"one": 90, "two": 10}
    history.append(recorded([TESTERS, {"to": now}]))
    history.append(recorded([TESTERS, {"to": {"one": 70, "two": 30}}], result="failed"))
    history.append(recorded([TESTERS, {"to": {"one": 60, "two": 40}}], kind="refresh"))
    history.append(recorded([{"to": {"one": 1, "two": 99}}]))  # other rules
    history.append(recorded([TESTERS, {"to": {"one": 80, "three": 20}}, {"to": "one"}]))  # not valid
    history.append(recorded([TESTERS, {"to": before}]))
    history.append(recorded([TESTERS, {"to": "one"}]))
    result = run("shop", "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert (
        "shop (canary): weights of rule 2: one: 50, two: 50 -> one: 90, two: 10 "
        "(Pulumi.dev.yaml:26; as of the run that ended at 2026-11-26T08:20:58.000Z)" in result.stderr
    )
    assert changed_lines(STACK, file.read_text()) == [
        "-        - to: {one: 50, two: 50} # more",
        "+        - to: {one: 90, two: 10} # more",
    ]


OWN = {"headers": {"request": {"set": {"x-canary": "true"}}}}
BLOCK = """- to:
            one: 90 # stable
            two:
              weight: 10 # the canary
              headers: {request: {set: {x-canary: "true"}}}"""


@pytest.mark.parametrize(
    ("now", "before", "lines"),
    [
        (
            "- to: {one: 99, two: 1} # more",
            {"one": 99.5, "two": 0.5},
            ["-        - to: {one: 99, two: 1} # more", "+        - to: {one: 99.5, two: 0.5} # more"],
        ),
        (
            "- to: {one: 990, two: 10}",
            {"one": 99.5, "two": 0.5},
            ["-        - to: {one: 990, two: 10}", "+        - to: {one: 995, two: 5}"],
        ),
        (
            "- to: {one: 990, two: 10}",
            {"one": 99.95, "two": 0.05},
            ["-        - to: {one: 990, two: 10}", "+        - to: {one: 99.95, two: 0.05}"],
        ),
        (
            BLOCK,
            {"one": 995, "two": {"weight": 5, **OWN}},
            [
                "-            one: 90 # stable",
                "+            one: 99.5 # stable",
                "-              weight: 10 # the canary",
                "+              weight: 0.5 # the canary",
            ],
        ),
        ("- to: {one: 90, two: {weight: 10}} # more", {"one": 900, "two": 100}, None),
        (
            "- to: {two: 10, one: 90} # as Pulumi does not write it",
            {"one": 99.5, "two": 0.5},
            [
                "-        - to: {two: 10, one: 90} # as Pulumi does not write it",
                "+        - to: {two: 0.5, one: 99.5} # as Pulumi does not write it",
            ],
        ),
        (
            "- to: {one: 90, two: {weight: 10}}",
            {"one": 100},
            [
                "-        - to: {one: 90, two: {weight: 10}}",
                "+        - to: {one: 100, two: {weight: 0}}",
            ],
        ),
        (
            "- to: {one: 50, two: 50} # more",
            {"one": 90, "two": {"weight": 10, **OWN}},
            [
                "-        - to: {one: 50, two: 50} # more",
                "+        - to: {one: 90, two: {weight: 10, headers: {request: {set: {x-canary: 'true'}}}}} # more",
            ],
        ),
    ],
    ids=[
        "decimals",
        "parts of a thousand",
        "no whole parts of a thousand",
        "a mapping",
        "the same",
        "another order",
        "a version that was not there",
        "other headers",
    ],
)
def test_canary_writes_the_weights_in_the_form_that_the_file_has(
    now: str, before: Any, lines: list[str] | None, file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    text = STACK.replace("- to: {one: 50, two: 50} # more", now)
    file.write_text(text, encoding="utf-8")
    history.append(recorded([TESTERS, {"to": before}]))
    result = run("shop", "--stack", "dev", "--yes")

    assert (result.exit_code == 0) == (lines is not None), result.output
    assert sorted(changed_lines(text, file.read_text())) == sorted(lines or [])


def test_a_run_with_encrypted_values_is_read_and_none_of_them_shown(
    file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    text = "correct-horse-battery"
    versions = {name: {"image": f"shop:{name}", "port": 8080, "env": {"PASSWORD": text}} for name in ("one", "two")}
    run_before = recorded([TESTERS, {"to": {"one": 90, "two": 10}}], versions=versions)
    services = run_before["config"]["istio-canary:services"]
    services["secret"] = True
    history.append(run_before)
    shown = file.parent / "history.json"
    hidden = file.parent / "hidden.json"
    hidden.write_text(shown.read_text().replace(json.dumps(services), '{"secret": true}'))
    pulumi = file.parent / "bin" / "pulumi"
    pulumi.write_text(
        pulumi.read_text()
        .replace("case ", f'case "$*" in *show-secrets*) cat {shown}; exit;; esac\ncase ', 1)
        .replace(f"cat {shown};; version", f"cat {hidden};; version")
    )
    result = run("shop", "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert "one: 50, two: 50 -> one: 90, two: 10" in result.stderr
    assert text not in result.output + result.stderr + file.read_text()
    assert "correct" in shown.read_text()
    assert "correct" not in hidden.read_text()


def test_the_runs_of_a_stack_with_an_encrypted_kubeconfig_are_read_without_decrypting_it(
    file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    text = STACK.replace("/nonexistent/kubeconfig", '{secure: "v1:YWJj:ZGVm"}')
    file.write_text(text, encoding="utf-8")
    run_before = recorded([TESTERS, {"to": {"one": 90, "two": 10}}])
    run_before["config"]["istio-canary:cluster"] = {"secret": True}  # what Pulumi prints without --show-secrets
    history.append(run_before)
    pulumi = file.parent / "bin" / "pulumi"
    pulumi.write_text(pulumi.read_text().replace("case ", 'case "$*" in *show-secrets*) exit 1;; esac\ncase ', 1))
    result = run("shop", "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert "one: 50, two: 50 -> one: 90, two: 10" in result.stderr


def test_weights_that_failed_or_are_not_deployed_go_back_to_those_of_the_last_success(
    file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    history.append(recorded([TESTERS, {"to": {"one": 50, "two": 50}}], result="failed"))
    history.append(recorded([TESTERS, {"to": {"one": 90, "two": 10}}]))

    assert run("shop", "--stack", "dev", "--yes").exit_code == 0
    assert "- to: {one: 90, two: 10} # more" in file.read_text()


def test_the_route_of_a_sample_is_overridden_as_a_whole(file: Path, runs: Runs, history: list[dict[str, Any]]) -> None:
    testers = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
    history.append(recorded([testers, {"to": {"version-1": 90, "version-2": 10}}], service="website"))
    result = run("website", "--stack", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert changed_lines(STACK, file.read_text()) == [
        "+    website: {route: [{match: [{headers: {qa: {exact: canary-test}}}], to: version-2}, "
        "{to: {version-1: 90, version-2: 10}}]}"
    ]


@pytest.mark.parametrize(
    "runs_before",
    [
        [],
        [recorded([TESTERS, {"to": {"one": 50, "two": 50}}])],
        [recorded([{"to": {"one": 90, "two": 10}}])],
        [recorded([TESTERS, {"to": {"one": 90, "old": 10}}], versions={
            name: {"image": "shop:1", "port": 8080} for name in ("one", "two", "old")})],
        [recorded([TESTERS, {"to": {"one": 90, "two": 10}}], service="another")],
    ],
    ids=["no run", "the same weights", "other rules", "a version that is gone", "another service"],
)  # fmt: skip
def test_without_recorded_weights_there_is_nothing_to_go_back_to(
    runs_before: list[dict[str, Any]], file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    for one in runs_before:
        history.append(one)
    result = run("shop", "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.FAILED
    assert "there are no weights to go back to" in result.stderr
    assert "write the weights in Pulumi.dev.yaml" in result.stderr
    assert (file.read_text(), runs.seen) == (STACK, [])


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


def test_a_cluster_that_does_not_answer_has_its_own_exit_code(
    file: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ClusterUnreachableError("here", "no answer", "start it")

    monkeypatch.setattr("kube.client.query", refuse)

    assert run("ramped", "--stack", "dev", "--yes").exit_code == ExitCode.UNREACHABLE
    assert file.read_text() == STACK


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


def test_a_change_that_contradicts_the_rest_of_the_file_is_refused(
    file: Path, runs: Runs, history: list[dict[str, Any]]
) -> None:
    text = STACK.replace('two: {image: "shop:2", port: 8080}', 'two: {image: "shop:2", port: 8080, replicas: 0}')
    text = text.replace(
        "          to: two\n        - to: {one: 50, two: 50}", "          to: one\n        - to: {one: 100, two: 0}"
    )
    file.write_text(text)
    history.append(recorded([{**TESTERS, "to": "one"}, {"to": {"one": 90, "two": 10}}]))
    result = run("shop", "--stack", "dev", "--yes")

    assert result.exit_code == ExitCode.CONFIG
    assert "two has no pods (replicas 0)" in result.stderr
    assert (file.read_text(), runs.seen) == (text, [])


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
