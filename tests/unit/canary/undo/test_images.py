"""`canary undo` with the strategy ramped: the image that ran before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from kube.kubeconfig import ClusterUnreachableError
from kube.replica_sets import Revision
from tests.unit.canary.undo.undoing import STACK, Runs, changed_lines, run


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


def test_a_cluster_that_does_not_answer_has_its_own_exit_code(
    file: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ClusterUnreachableError("here", "no answer", "start it")

    monkeypatch.setattr("kube.client.query", refuse)

    assert run("ramped", "--stack", "dev", "--yes").exit_code == ExitCode.UNREACHABLE
    assert file.read_text() == STACK
