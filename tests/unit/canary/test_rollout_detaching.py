"""`canary rollout start --detach` of a service: a process of its own, which has begun when the command returns."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from tests.unit.canary.background import Background
from tests.unit.canary.rollouts import NAMESPACE, World, run, run_json

START = ("start", "website", "--stack", "dev", "--detach")


@pytest.fixture
def background(deployed: World, pods: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch) -> Background:
    """A cluster in which the rollout can begin, and a process that takes its Lease."""
    monkeypatch.setenv("XDG_STATE_HOME", str(deployed.folder / "state"))
    found = Background(monkeypatch)
    found.begins = lambda pid, log: deployed.hold_lease(f"laptop/{pid}/abc")
    return found


def test_the_process_runs_the_same_command_in_a_session_of_its_own(deployed: World, background: Background) -> None:
    told = run(*START, "--prometheus", "http://prometheus:9090").stdout

    (command,) = background.commands
    assert command == [
        *("-m", "canary", "rollout", "start", "website", "--stack", "dev", "--prometheus", "http://prometheus:9090")
    ]
    assert background.sessions == [True]
    file = deployed.folder / "state" / "istio-canary" / "rollouts" / f"{NAMESPACE}.website.log"
    assert f"process 4242 moves it forward, and writes to {file}" in told
    assert "`canary rollout status website --watch --stack dev` shows each change" in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_document_names_the_process_and_its_file(deployed: World, background: Background) -> None:
    document = run_json(*START)

    assert (document["service"], document["pid"]) == ("website", 4242)
    assert document["log"].endswith(f"/{NAMESPACE}.website.log")


def test_a_rollout_that_somebody_moves_keeps_the_process_waiting(
    deployed: World, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.hold_lease("ci-7/42/abc")
    background.begins = lambda pid, log: None
    monkeypatch.setattr("canary.rollout.detaching.SECONDS", 0)

    assert "process 4242 waits for ci-7/42/abc, which moves it forward" in run(*START).stdout


def test_a_process_that_ends_at_once_is_told_with_its_output(deployed: World, background: Background) -> None:
    def fails(pid: int, log: Any) -> None:
        log.write(b"error: the cluster does not answer\n")
        background.code = ExitCode.UNREACHABLE

    background.begins = fails
    done = run(*START, code=ExitCode.UNREACHABLE)

    assert "the runner ended at once, with 5" in done.stderr
    assert "error: the cluster does not answer" in done.stderr
