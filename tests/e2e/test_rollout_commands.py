"""`canary rollout` on a real cluster: signals, another checkout, a machine with only the kubeconfig, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from tests.e2e.tools import Completed, Project, service

STACK, NAME, NAMESPACE, HOST = "commands", "commands-shop", "commands-rolled", "commands-rolled.example"
OLD, NEW = "version-1", "version-2"
STEPS = [{"weight": 10, "for": "5s"}, {"weight": 50, "for": "1m"}, {"weight": 100}]


@pytest.fixture
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A stack whose `up` has written a rollout from the old version to the new one."""
    project = Project.create(tmp_path_factory.mktemp("commands"), mesh.cluster)
    monkeypatch.setenv("KUBECONFIG", str(mesh.cluster.layout.kubeconfig))
    monkeypatch.setenv("XDG_STATE_HOME", str(project.folder / "state"))
    write(project, {"to": {OLD: 100, NEW: 0}, "timeout": "5s"})
    assert project.canary("up", "--stack", STACK, "--yes").returncode == 0
    write(project, {"to": NEW, "timeout": "5s", "rollout": {"steps": STEPS}})
    assert project.canary("up", "--stack", STACK, "--yes").returncode == 0
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")


def write(project: Project, rule: dict[str, Any]) -> None:
    given = service(NAME, host=HOST, namespace=NAMESPACE, route=[rule], versions=(OLD, NEW))
    project.write_stack(STACK, project.service_config(given))


def rollout(project: Project, verb: str, *words: str) -> Completed:
    return project.canary("rollout", verb, NAME, *words)


def state(project: Project) -> dict[str, Any]:
    """What `status --json` tells."""
    done = rollout(project, "status", "--stack", STACK, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)["services"][0]
    return document


def until(process: subprocess.Popen[str], word: str) -> str:
    """Read what a command prints until a line has `word`."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if word in line:
            return read
    raise AssertionError(f"it ended without {word!r}:\n{read}")


def test_a_rollout_is_left_at_a_signal_goes_on_elsewhere_and_goes_back(shop: Project) -> None:
    process = shop.popen("rollout", "start", NAME, "--stack", STACK)
    until(process, "Settled: every Envoy has step 1")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == ExitCode.INTERRUPTED
    assert (state(shop)["step"], state(shop)["holder"]) == (1, None)

    without_file = ("--namespace", NAMESPACE)
    held = rollout(shop, "start", *without_file, "--timeout", "20s")
    assert held.returncode == ExitCode.HELD, held.stderr
    assert state(shop)["step"] == 2
    assert state(shop)["written"] == {"default": {OLD: 50, NEW: 50}}

    aborted = rollout(shop, "abort", "errors", "in", "checkout", *without_file)
    assert aborted.returncode == 0, aborted.stderr
    assert "aborted: errors in checkout" in aborted.stdout
    assert state(shop)["written"] == {"default": {OLD: 100, NEW: 0}}
    ended = rollout(shop, "start", "--stack", STACK)
    assert ended.returncode == ExitCode.ABORTED
    assert f"canary rollout retry {NAME} REASON --stack {STACK}" in ended.stdout


@pytest.mark.long
def test_a_rollout_ends_in_the_background_and_is_undone(shop: Project) -> None:
    watching = shop.popen("rollout", "status", NAME, "--stack", STACK, "--watch")
    until(watching, "not started")
    detached = rollout(shop, "start", "--stack", STACK, "--detach", "--json")
    assert detached.returncode == 0, detached.stderr
    until(watching, "Settled: every Envoy has step 2")
    assert rollout(shop, "promote", "it", "is", "fine", "--stack", STACK).returncode == 0
    until(watching, "Completed")
    assert watching.wait(30) == 0
    undone = rollout(shop, "undo", "it", "is", "slow", "--stack", STACK)
    assert undone.returncode == 0, undone.stderr
    assert state(shop)["phase"] == "Undone"
