"""`canary undo` with the strategy canary: the weights of the last run that had others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from tests.unit.canary.undo.undoing import STACK, TESTERS, Appending, Runs, changed_lines, recorded, run


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
