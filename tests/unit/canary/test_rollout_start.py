"""`canary rollout start`: what speaks against it, what it prints while it runs, and the exit code of each end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from rollout.decision import Decision
from rollout.record import Ended, EventType, Held, HoldReason, OutboxEvent, Paused, Phase
from rollout.runner import RunEnd
from tests.unit.canary.rollouts import NAMESPACE, STACK, World, run, run_json

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("pods")
Script = Callable[..., RunEnd]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], list[dict[str, Any]]]:
    """Lets a function take the place of the runner; returns the calls."""
    calls: list[dict[str, Any]] = []

    def install(script: Script) -> list[dict[str, Any]]:
        def run_rollout(access: Any, namespace: str, service: str, holder: str, **keys: Any) -> RunEnd:
            assert (namespace, service) == (NAMESPACE, "website")
            calls.append(keys)
            return script(**keys)

        monkeypatch.setattr("rollout.runner.run", run_rollout)
        return calls

    return install


def test_a_rollout_that_completes_ends_with_0(deployed: World, runs: Callable[[Script], list[dict[str, Any]]]) -> None:
    def script(on_look: Callable[..., None], **_: Any) -> RunEnd:
        on_look(deployed.record, Decision(why="the first step is next"))
        deployed.observing(2)
        deployed.set(phase=Phase.COMPLETED, stage=None, ended_at=deployed.at())
        return RunEnd(record=deployed.record, why="completed")

    calls = runs(script)
    result = run("start", "website", "--stack", "dev", "--timeout", "50m")

    assert [one["timeout"] for one in calls] == [3000]
    assert "website-1: version-1 -> version-2, not started\nthe first step is next\n" in result.stderr
    assert result.stdout.startswith("website-1: version-1 -> version-2, completed\nversion-1 stays for another 1 h")


@pytest.mark.parametrize(
    ("changes", "why", "code", "said"),
    [
        (
            {
                "phase": Phase.ABORTED,
                "ended": Ended(kind="aborted", reason="5 % failed", by="ann", at="2026-01-05T10:00:00+00:00"),
            },
            "aborted",
            ExitCode.ABORTED,
            "aborted: 5 % failed\nversion-2 gets no requests; `canary rollout retry website REASON --stack dev`",
        ),
        (
            {"held": Held(reason=HoldReason.APPROVAL, text="a person approves: `canary rollout approve`", since="x")},
            "held",
            ExitCode.HELD,
            "it has not ended yet (a person approves: `canary rollout approve website --stack dev`): "
            "`canary rollout start website --stack dev` goes on",
        ),
        (
            {"paused": Paused(by="runner", reason="late", at="2026-01-05T10:00:00+00:00", kind="deadline")},
            "stopped",
            ExitCode.HELD,
            "paused by runner: late; `canary rollout resume website --stack dev` lets it go on",
        ),
        ({"holder": "ci-8/1/x"}, "lost", ExitCode.HELD, "ci-8/1/x has taken the rollout over, and moves it forward"),
    ],
)
def test_the_end_of_a_run_decides_the_exit_code(
    changes: dict[str, Any], why: Any, code: ExitCode, said: str, deployed: World, runs: Any
) -> None:
    def script(**_: Any) -> RunEnd:
        deployed.observing(1)
        deployed.set(**changes)
        return RunEnd(record=deployed.record, why=why)

    runs(script)
    assert said in run("start", "website", "--stack", "dev", code=code).stdout


def test_the_document_is_one_and_tells_how_it_ended(deployed: World, runs: Any) -> None:
    def script(**_: Any) -> RunEnd:
        deployed.observing(1)
        return RunEnd(record=deployed.record, why="held")

    runs(script)
    document = run_json("start", "website", "--stack", "dev", code=ExitCode.HELD)

    assert (document["phase"], document["step"], document["steps"]) == ("Progressing", 2, 3)
    assert "`canary rollout start website --stack dev` goes on" in document["said"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_rollout_to_the_next_holder_and_says_so(number: int, deployed: World, runs: Any) -> None:
    def script(stop: threading.Event, **_: Any) -> RunEnd:
        deployed.observing(0)
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        return RunEnd(record=deployed.record, why="stopped")

    runs(script)
    before = signal.getsignal(number)
    text = run("start", "website", "--stack", "dev", code=ExitCode.INTERRUPTED).stdout

    assert "the rollout stays at step 1 of 3, and nobody moves it: `canary rollout start website --stack dev`" in text
    assert "from any machine with this kubeconfig" in text
    assert "`canary rollout abort website REASON --stack dev` goes back" in text
    assert signal.getsignal(number) == before


def test_a_pause_by_the_rollout_itself_ends_the_run_and_one_by_a_person_does_not(deployed: World, runs: Any) -> None:
    def script(on_look: Callable[..., None], stop: threading.Event, **_: Any) -> RunEnd:
        deployed.observing(0)
        paused = Paused(by="ann", reason="lunch", at=deployed.at())
        on_look(deployed.record.model_copy(update={"paused": paused}), Decision(why="paused: lunch"))
        assert not stop.is_set()
        by_itself = paused.model_copy(update={"kind": "deadline"})
        on_look(deployed.record.model_copy(update={"paused": by_itself}), Decision(why="paused: late"))
        assert stop.is_set()
        deployed.set(paused=by_itself)
        return RunEnd(record=deployed.record, why="stopped")

    runs(script)
    run("start", "website", "--stack", "dev", code=ExitCode.HELD)


def test_each_change_is_a_line_on_stderr(deployed: World, runs: Any) -> None:
    from rollout.verbs import pause, resume

    def script(on_look: Callable[..., None], **_: Any) -> RunEnd:
        deployed.observing(0)
        on_look(deployed.record, Decision(why="step 1 is kept"))
        on_look(deployed.record, Decision(why="step 1 is kept"))
        paused = pause(deployed.record, "lunch", "ann", deployed.at()).record
        assert paused is not None
        resumed = resume(paused, "ann", deployed.at()).record
        assert resumed is not None
        for record in (paused, resumed):
            on_look(record, Decision(why="", record=record))
        return RunEnd(record=deployed.record, why="held")

    runs(script)
    lines = run("start", "website", "--stack", "dev", code=ExitCode.HELD).stderr.splitlines()

    assert lines == [
        "website-1: version-1 -> version-2, step 1 of 3",
        "step 1 is kept",
        "2026-01-05 10:00:00 UTC  Paused: paused by ann: lunch",
        "2026-01-05 10:00:00 UTC  Resumed: resumed by ann",
    ]


def test_a_closed_pipe_does_not_end_the_rollout(deployed: World, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return False

    def script(on_look: Callable[..., None], **_: Any) -> RunEnd:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", Closed())
            on_look(deployed.record, Decision(why="a"))
            on_look(deployed.record, Decision(why="b"))
        deployed.set(phase=Phase.COMPLETED, started_at=deployed.at(), ended_at=deployed.at())
        return RunEnd(record=deployed.record, why="completed")

    runs(script)
    run("start", "website", "--stack", "dev")


@pytest.mark.parametrize(
    ("phase", "code", "said"),
    [
        (Phase.COMPLETED, ExitCode.OK, "completed"),
        (Phase.CLOSED, ExitCode.OK, "completed and closed"),
        (Phase.ABORTED, ExitCode.ABORTED, "aborted"),
        (Phase.UNDONE, ExitCode.ABORTED, "undone"),
    ],
)
def test_an_ended_rollout_says_how_without_a_run(phase: Phase, code: ExitCode, said: str, deployed: World) -> None:
    deployed.observing(2)
    deployed.set(phase=phase, stage=None, ended_at=deployed.at(), outbox=())

    assert f"website-1: version-1 -> version-2, {said}\n" in run("start", "website", "--stack", "dev", code=code).stdout


def test_events_that_were_not_sent_are_a_reason_to_run_after_the_end(deployed: World, runs: Any) -> None:
    calls = runs(lambda **_: RunEnd(record=deployed.record, why="completed"))
    event = OutboxEvent(id="website-1/9/0", type=EventType.COMPLETED, at=deployed.at(), text="x")
    deployed.observing(2)
    deployed.set(phase=Phase.COMPLETED, stage=None, ended_at=deployed.at(), outbox=(event,))
    run("start", "website", "--stack", "dev")

    assert len(calls) == 1


CHANGES = {
    "another step": (
        "{weight: 10, for: 10m}",
        "{weight: 20, for: 10m}",
        "the rules, the steps or the strategy in Pulumi.dev.yaml are not those of the rollout in the cluster",
    ),
    "another route": (
        "          rollout: careful",
        "          rollout: careful\n          timeout: 5s",
        "the route of website in Pulumi.dev.yaml is not the one in the cluster",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_has_changed_since_up_is_refused_before_the_first_step(
    name: str, deployed: World, runs: Any
) -> None:
    old, new, said = CHANGES[name]
    deployed.file.write_text(STACK.replace(old, new))
    error = run("start", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "error: the stack's file has changed since `canary up --stack dev`\n" in error
    assert f"  {said}\n" in error
    assert "fix: canary up --stack dev, which reads the file; or add --anyway" in error

    runs(lambda **_: RunEnd(record=deployed.record, why="held"))
    note = run("start", "website", "--stack", "dev", "--anyway", code=ExitCode.HELD).stderr
    assert f"note: {said}; the rollout goes on as it was planned\n" in note


def test_a_rollout_under_way_goes_on_as_it_was_planned(deployed: World, runs: Any) -> None:
    old, new, said = CHANGES["another step"]
    deployed.observing(0)
    deployed.file.write_text(STACK.replace(old, new))
    runs(lambda **_: RunEnd(record=deployed.record, why="held"))

    assert f"note: {said}" in run("start", "website", "--stack", "dev", code=ExitCode.HELD).stderr


def test_a_file_that_leads_elsewhere_is_refused_at_any_time(deployed: World) -> None:
    deployed.observing(0)
    deployed.file.write_text(
        STACK.replace(
            "        - to: version-2\n          rollout: careful", "        - to: {version-1: 100, version-2: 0}"
        )
    )
    error = run("start", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "Pulumi.dev.yaml has no rollout for website any more, the cluster has one to version-2" in error
    assert "fix: canary up --stack dev" in error


@pytest.mark.parametrize("options", [(), ("--anyway",)])
def test_another_image_under_the_same_name_is_refused_at_any_time(options: tuple[str, ...], deployed: World) -> None:
    image = "    website:\n      versions: {version-2: {image: hashicorp/http-echo:2.0.0}}"
    deployed.file.write_text(STACK.replace("    website:", image))
    error = run("start", "website", "--stack", "dev", *options, code=ExitCode.CONFIG).stderr

    assert "version-2 of website in Pulumi.dev.yaml is another one than in the cluster: its pods differ\n" in error
    assert "fix: canary up --stack dev, which makes the cluster what the file says\n" in error


def test_pods_that_are_not_ready_are_told_with_their_reasons(
    deployed: World, pods: Callable[[str, int], None], runs: Any
) -> None:
    pods("version-2", 0)
    error = run("start", "website", "--stack", "dev", code=ExitCode.HELD).stderr

    assert "error: no pod of version-2 is ready\n" in error
    assert "there is no Deployment of website-version-2" in error
    assert "fix: correct the version and run canary up --stack dev; or add --anyway, which waits for its pods" in error
    runs(lambda **_: RunEnd(record=deployed.record, why="held"))
    run("start", "website", "--stack", "dev", "--anyway", code=ExitCode.HELD)


def test_a_record_of_other_virtual_services_is_refused(deployed: World) -> None:
    deployed.set(void_since=deployed.at())
    error = run("start", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "the rollout website-1 is void: its VirtualServices were deleted or made anew" in error
    assert "fix: canary up --stack dev, which begins a new rollout" in error


def test_without_a_stack_a_limit_has_no_numbers(deployed: World, runs: Any) -> None:
    from traffic.model.rollout_limits import RolloutLimits

    read: list[Any] = []

    def script(limits: Callable[..., Any], **_: Any) -> RunEnd:
        plan = deployed.record.plan
        strategy = plan.rules[0].strategy.model_copy(update={"limits": RolloutLimits(errors="2%")})
        limited = plan.model_copy(update={"rules": (plan.rules[0].model_copy(update={"strategy": strategy}),)})
        read.append(limits(deployed.record, deployed.at()))
        read.append(limits(deployed.record.model_copy(update={"plan": limited}), deployed.at()))
        return RunEnd(record=deployed.record, why="held")

    runs(script)
    run("start", "website", "--namespace", NAMESPACE, code=ExitCode.HELD)

    assert read[0] is None
    assert read[1].result.no_data
    assert "start it with --stack" in read[1].text


def test_an_hour_after_the_end_the_routes_are_handed_back_to_pulumi(deployed: World) -> None:
    deployed.observing(1)
    deployed.write_routes("back")
    ended = Ended(kind="aborted", reason="it fails", by="ann", at=deployed.at())
    deployed.set(phase=Phase.ABORTED, stage=None, ended=ended, ended_at=deployed.at(), outbox=())
    run("start", "website", "--stack", "dev", code=ExitCode.ABORTED)
    assert deployed.record.handed_back_at is None

    deployed.server.now = deployed.server.now.replace(hour=11, minute=1)
    error = run("start", "website", "--stack", "dev", code=ExitCode.ABORTED).stderr
    assert "spec.http of website is Pulumi's again\n" in error
    assert deployed.record.handed_back_at == deployed.at()
    assert len(deployed.sent) == 1, "nobody else may come who sends the event"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_has_gone_away_does_not_change_the_exit_code(as_json: bool) -> None:
    code = """
import os, sys, typer
from canary.rollout.place import KubectlAccess, Place
from canary.rollout.starting import _end
from canary.ui import Ui
from rollout.record import Phase
from tests.unit.rollout.records import record_of

try:
    _end(Ui(json=len(sys.argv) > 1), Place("website", "shop", KubectlAccess()), record_of(phase=Phase.ABORTED), "")
except typer.Exit as end:
    sys.stdout.flush()
    os._exit(end.exit_code)
"""
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [sys.executable, "-c", code, *(["json"] if as_json else [])]
    done = subprocess.run(arguments, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    assert (done.returncode, done.stderr) == (ExitCode.ABORTED, "")


def test_after_the_first_up_there_is_nothing_to_move_which_is_no_failure(
    deployed: World, runs: Callable[[Script], list[dict[str, Any]]]
) -> None:
    deployed.write_routes("2")
    del deployed.server.objects["configmaps", NAMESPACE, "istio-canary-rollout-website"]
    calls = runs(lambda **_: pytest.fail("there is nothing to run"))

    said = "all its requests are where the file's rollout leads, at version-2"
    assert said in run("start", "website", "--stack", "dev").stdout
    assert run_json("start", "website", "--stack", "dev")["id"] is None
    assert calls == []
    assert said in run("status", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr
