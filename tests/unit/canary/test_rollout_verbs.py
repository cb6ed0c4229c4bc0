"""The verbs of `canary rollout`: what they write, what they print, and what a rollout's state does not allow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from canary.rollout.first_write import first_write
from kube.kubeconfig import ClusterUnreachableError
from rollout.record import Paused, Phase, Record
from rollout.runner import RunEnd
from tests.unit.canary.rollouts import NAMESPACE, World, run, run_json
from tests.unit.rollout.lean_connection import Served


def weights(world: World) -> dict[str, int]:
    (rule,) = world.server.get("virtualservices", NAMESPACE, "website")["spec"]["http"]
    return {one["destination"]["subset"]: one.get("weight", 100) for one in rule["route"]}


def test_an_abort_brings_all_requests_back_and_bars_the_release(deployed: World, finished: list[str]) -> None:
    deployed.observing(1)
    deployed.write_routes("1")
    assert weights(deployed) == {"version-1": 50, "version-2": 50}
    text = run("abort", "website", "too", "many errors", "--stack", "dev").stdout

    assert weights(deployed).get("version-2", 0) == 0
    assert finished == ["ann@laptop"]
    assert text == "all requests are at version-1\nwebsite-1: version-1 -> version-2, aborted: too many errors\n"
    (bar,) = deployed.record.bars
    assert (bar.version, bar.reason, bar.by) == ("version-2", "too many errors", "ann@laptop")


def test_a_second_abort_changes_nothing_and_succeeds(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    generation = deployed.record.generation
    text = run("abort", "website", "again", "--stack", "dev").stdout

    assert "website-1 is Aborted already: it fails" in text
    assert deployed.record.generation == generation
    assert len(finished) == 1


def test_an_abort_without_a_stack_needs_only_the_namespace(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    deployed.file.unlink()
    document = run_json("abort", "website", "--namespace", NAMESPACE)

    assert (document["phase"], document["stack"], document["durable"]) == ("Aborted", None, True)
    assert document["ended"]["reason"] == "by hand"


def test_an_abort_whose_record_cannot_be_written_says_loudly_that_it_does_not_last(deployed: World) -> None:
    deployed.observing(0)
    deployed.write_routes("0")
    deployed.server.denies = lambda before, after: "not by you" if after.get("kind") != "VirtualService" else None
    result = run("abort", "website", "--stack", "dev", code=ExitCode.FAILED)

    assert weights(deployed).get("version-2", 0) == 0
    assert "this abort does not last" in result.stderr
    assert "an `up` or another holder may bring the new version back" in result.stderr
    assert "not by you" in result.stderr
    document = json.loads(run("abort", "website", "--stack", "dev", "--json", code=ExitCode.FAILED).stdout)
    assert document["durable"] is False


def test_an_abort_that_not_every_envoy_follows_in_time_has_not_ended(
    deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.observing(0)
    monkeypatch.setattr("rollout.runner.finish", lambda *_, **__: RunEnd(record=deployed.record, why="held"))
    error = run("abort", "website", "--stack", "dev", code=ExitCode.HELD).stderr

    assert "the requests go back to version-1, but that has not ended" in error
    assert "`canary rollout status website --stack dev`" in error


def test_ctrl_c_in_an_abort_says_that_it_goes_on(deployed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def finish(*_: Any, **__: Any) -> RunEnd:
        raise KeyboardInterrupt

    deployed.observing(0)
    monkeypatch.setattr("rollout.runner.finish", finish)
    error = run("abort", "website", "--stack", "dev", code=ExitCode.INTERRUPTED).stderr

    assert "interrupted; the requests go back, and not every Envoy was asked" in error
    assert "`canary rollout abort website REASON --stack dev` helps it to its end" in error
    assert deployed.record.phase is Phase.ABORTING


def test_an_undo_after_the_end_goes_back(deployed: World, finished: list[str]) -> None:
    deployed.observing(2)
    deployed.set(phase=Phase.COMPLETED, stage=None, ended_at=deployed.at())
    text = run("undo", "website", "it is slow", "--stack", "dev").stdout

    assert "website-1: version-1 -> version-2, undone: it is slow" in text


def test_a_pause_and_a_resume_are_written_with_who_and_why(deployed: World) -> None:
    deployed.observing(0)
    text = run("pause", "website", "lunch", "--for", "30m", "--stack", "dev").stdout
    paused = deployed.record.paused

    assert paused is not None
    assert (paused.by, paused.reason, paused.until) == ("ann@laptop", "lunch", deployed.at(1800))
    assert "paused by ann@laptop: lunch\nwebsite-1: version-1 -> version-2, step 1 of 3, paused\n" in text
    assert "waits for: paused by ann@laptop until 2026-01-05 10:30:00 UTC: lunch; `canary rollout resume" in text
    assert "resumed by ann@laptop\n" in run("resume", "website", "--stack", "dev").stdout
    assert deployed.record.paused is None


def test_an_approval_and_a_promotion_are_written(deployed: World) -> None:
    deployed.observing(1)
    assert "step 2 of 3 approved by ann@laptop" in run("approve", "website", "--stack", "dev").stdout
    document = run_json("promote", "website", "it", "is", "fine", "--stack", "dev")

    assert "promoted by ann@laptop at step 2 of 3: it is fine" in document["said"]
    assert [one.by for one in deployed.record.approvals] == ["ann@laptop"]
    assert deployed.record.promotion is not None
    assert deployed.record.promotion.reason == "it is fine"


@pytest.mark.parametrize("arguments", [("promote", "well"), ("promote", "--full"), ("resume",)], ids=" ".join)
def test_a_verb_whose_first_write_was_done_says_the_same_and_is_written_once(
    arguments: tuple[str, ...], deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb, *words = arguments
    paused = Paused(by="bob", reason="lunch", at=deployed.at()) if verb == "resume" else None
    monkeypatch.setattr("rollout.person.who", lambda: "ann@laptop")
    monkeypatch.setattr("rollout.lean_verbs.Api", lambda kubeconfig, context: Served(deployed.server))
    documents = []
    for is_first in (False, True):
        deployed.observing(1, paused=paused, promotion=None)
        before = deployed.record.generation
        command = ["website", *words, "--namespace", NAMESPACE, "--json"]
        written = first_write(verb, command) if is_first else None
        assert deployed.record.generation == before + (written is not None)
        result = CliRunner().invoke(app, ["rollout", verb, *command], obj=written)
        assert result.exit_code == 0
        assert deployed.record.generation == before + 1
        documents.append(json.loads(result.stdout))
    assert written is not None
    assert documents[0] == documents[1]


def test_a_first_write_that_did_not_arrive_is_done_by_the_command(deployed: World) -> None:
    deployed.observing(1)
    lost = {**deployed.record.history[-1].model_dump(mode="json"), "generation": deployed.record.generation + 1}
    result = CliRunner().invoke(app, ["rollout", "promote", "website", "--namespace", NAMESPACE], obj=lost)

    assert result.exit_code == 0
    assert deployed.record.promotion is not None


def test_a_retry_lifts_the_bar_and_names_the_next_command(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    text = run("retry", "website", "the database is back", "--stack", "dev").stdout

    assert "retried by ann@laptop: the database is back\nwebsite-2: version-1 -> version-2, not started\n" in text
    assert "`canary rollout start website --stack dev` begins it" in text
    assert deployed.record.bars == ()


def completed(record: Record) -> Record:
    return record.model_copy(update={"phase": Phase.COMPLETED, "stage": None, "ended_at": record.created_at})


def closed(record: Record) -> Record:
    return record.model_copy(update={"phase": Phase.CLOSED, "stage": None, "closed_at": record.created_at})


@pytest.mark.parametrize(
    ("change", "arguments", "what", "fix"),
    [
        (
            None,
            ("resume", "website"),
            "the rollout website-1 is not paused",
            "canary rollout status website --stack dev",
        ),
        (
            None,
            ("undo", "website"),
            "the rollout website-1 has not ended (step 1 of 3): undo is for afterwards",
            "canary rollout abort website --stack dev",
        ),
        (None, ("retry", "website", "x"), "(step 1 of 3): there is nothing to retry", "canary rollout start website"),
        (None, ("approve", "website"), "step 1 of 3 needs no approval", "canary rollout plan website"),
        (
            completed,
            ("pause", "website"),
            "is Completed: nothing to pause",
            "canary rollout status website --stack dev",
        ),
        (completed, ("promote", "website"), "is Completed: nothing to promote", "canary rollout status website"),
        (
            closed,
            ("abort", "website"),
            "website-1 is closed: the previous version",
            "canary up",
        ),
        (closed, ("undo", "website"), "website-1 is closed: the previous version", "canary up"),
    ],
)
def test_a_verb_that_the_state_does_not_allow_writes_nothing(
    change: Any, arguments: tuple[str, ...], what: str, fix: str, deployed: World
) -> None:
    deployed.observing(0)
    if change is not None:
        deployed.change(change)
    writes = deployed.server.writes
    error = run(*arguments, "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert what in error
    assert fix.replace("canary up", "canary up --stack dev") in error
    assert "website`" not in error, "the commands can be copied"
    assert deployed.server.writes == writes


def test_an_abort_by_somebody_who_may_not_ask_the_envoys_says_what_has_been_done(
    deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(*_: Any, **__: Any) -> RunEnd:
        raise ClusterUnreachableError("context a", "HTTP 403: no", "have it granted", "the cluster refused the request")

    deployed.observing(0)
    deployed.write_routes("0")
    monkeypatch.setattr("rollout.runner.finish", finish)
    error = run("abort", "website", "--stack", "dev", code=ExitCode.HELD).stderr

    assert weights(deployed).get("version-2", 0) == 0
    assert deployed.record.phase is Phase.ABORTING
    assert (
        "the requests go back to version-1, which is recorded; whether every Envoy follows could not be asked" in error
    )
    assert "the cluster refused the request (context a)" in error
    assert "whoever runs the rollout sees it to its end" in error


def test_a_verb_works_without_the_right_to_read_the_lease(deployed: World) -> None:
    deployed.observing(0)
    deployed.forbid("get leases")
    text = run("pause", "website", "lunch", "--stack", "dev").stdout

    assert "step 1 of 3, paused\n" in text
    assert "nobody moves it" not in text


def test_a_verbs_events_are_sent_at_once_where_no_runner_does(deployed: World) -> None:
    deployed.observing(0)
    run("pause", "website", "--stack", "dev")
    assert deployed.sent == ["ann@laptop"]

    deployed.hold_lease()
    run("resume", "website", "--stack", "dev")
    assert deployed.sent == ["ann@laptop"]


def barred(world: World) -> str | None:
    """The bars that the admission policy sees."""
    found = world.server.get("virtualservices", NAMESPACE, "website")["metadata"]
    said: str | None = found["annotations"].get("istio-canary/barred")
    return said


def test_a_retry_lifts_the_bar_where_the_admission_policy_reads_it(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    assert barred(deployed) == "version-2"

    run("retry", "website", "the database is back", "--stack", "dev")

    assert barred(deployed) is None
    assert weights(deployed).get("version-2", 0) == 0


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.CLOSED])
def test_a_retry_lifts_the_earlier_bar_that_the_file_runs_into(
    deployed: World, finished: list[str], phase: Phase
) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    earlier = deployed.record.bars[0]
    later = earlier.model_copy(update={"version": "version-3", "hash": "hash-3"})
    release = deployed.record.target.model_copy(update={"version": "version-3", "hash": "hash-3"})
    deployed.set(phase=phase, target=release, bars=(earlier, later))

    text = run("retry", "website", "the database is back", "--stack", "dev").stdout

    assert "the bar on version-2 is lifted by ann@laptop: the database is back" in text
    assert deployed.record.bars == (later,)
    assert (deployed.record.phase, deployed.record.target) == (phase, release)


def test_a_retry_lifts_no_earlier_bar_while_a_rollout_is_under_way(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    release = deployed.record.target.model_copy(update={"version": "version-3", "hash": "hash-3"})
    deployed.set(phase=Phase.PROGRESSING, target=release)

    assert "abort it first" in run("retry", "website", "it is back", "--stack", "dev", code=ExitCode.CONFIG).stderr
    assert deployed.record.bars


def test_a_retry_lifts_the_bar_of_a_void_record(deployed: World, finished: list[str]) -> None:
    deployed.observing(0)
    run("abort", "website", "it fails", "--stack", "dev")
    deployed.set(void_since=deployed.at())

    run("retry", "website", "it is back", "--stack", "dev")

    assert deployed.record.bars == ()
