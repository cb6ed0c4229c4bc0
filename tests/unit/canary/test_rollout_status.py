"""`canary rollout status`: where a rollout is, what it waits for, and the command that helps."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.record import Bar, Ended, EventType, Held, HoldReason, OutboxEvent, Paused, Phase, Promotion, Stage
from tests.unit.canary.rollouts import NAMESPACE, World, run, run_json
from traffic.model.rollout import RolloutWindow


def test_a_rollout_that_nobody_has_started_names_the_command(deployed: World) -> None:
    text = run("status", "website", "--stack", "dev").stdout

    assert "website-1: version-1 -> version-2, not started\n" in text
    assert "waits for: the first step; nobody moves it: `canary rollout start website --stack dev` begins it\n" in text


def test_a_step_shows_wanted_and_written_weights_and_how_long_it_is_kept(deployed: World) -> None:
    deployed.observing(0)
    deployed.write_routes("0")
    deployed.hold_lease()
    deployed.server.now = deployed.server.now.replace(minute=4)
    deployed.hold_lease()
    text = run("status", "website", "--stack", "dev").stdout
    rows = [line.split() for line in text.splitlines()]

    assert "website-1: version-1 -> version-2, step 1 of 3" in text
    assert ["default", "version-1", "90", "%", "90", "%"] in rows
    assert "kept for another 6 min, then step 2" in text
    assert "holder:    ci-7/42/abc\n" in text
    assert (
        "deadline:  step 1 by 2026-01-05 10:30:00 UTC, all of it by 2026-01-06 10:00:00 UTC; pauses after that" in text
    )


def test_a_step_that_waits_for_a_window_tells_when_it_opens(deployed: World) -> None:
    deployed.observing(0)
    plan = deployed.record.plan
    window = RolloutWindow.model_validate({"from": "14:00", "to": "16:00", "zone": "Europe/Berlin"}, by_alias=True)
    rules = [
        one.model_copy(update={"strategy": one.strategy.model_copy(update={"windows": (window,)})})
        for one in plan.rules
    ]
    held = Held(reason=HoldReason.WINDOW, text="the window for steps is closed", since=deployed.at())
    deployed.set(held=held, plan=plan.model_copy(update={"rules": tuple(rules)}))
    text = run("status", "website", "--stack", "dev").stdout
    assert "waits for: the window for steps is closed; next: Mon 2026-01-05 14:00 Europe/Berlin; nobody" in text


def test_routes_that_are_not_as_the_record_wants_them_are_told_with_their_owner(deployed: World) -> None:
    deployed.observing(1)
    document = run_json("status", "website", "--stack", "dev")["services"][0]

    assert document["weights"] == {"default": {"version-1": 50, "version-2": 50}}
    assert document["written"] == {"default": {"version-1": 100, "version-2": 0}}
    assert document["owner"].startswith("pulumi-kubernetes")
    text = run("status", "website", "--stack", "dev").stdout
    assert "routes:    not as the record wants them (written by pulumi-kubernetes-1234abcd)" in text


def test_a_holder_that_does_not_renew_its_lease_is_told(deployed: World) -> None:
    deployed.observing(0)
    deployed.hold_lease()
    deployed.server.now = deployed.server.now.replace(second=40)
    document = run_json("status", "website", "--stack", "dev")["services"][0]

    assert document["holder"] == {"name": "ci-7/42/abc", "renewed": False}
    assert "ci-7/42/abc does not answer any more: `canary rollout start website --stack dev` goes on" in str(
        document["waitsFor"]
    )


PAUSED = Paused(by="ann@laptop", reason="lunch", at="2026-01-05T10:00:00+00:00")


@pytest.mark.parametrize(
    ("step", "changes", "expected"),
    [
        (
            0,
            {"paused": PAUSED},
            "paused by ann@laptop: lunch; `canary rollout resume website --stack dev` lets it go on, "
            "`canary rollout abort website REASON --stack dev` goes back",
        ),
        (
            0,
            {"paused": PAUSED.model_copy(update={"kind": "harm", "reason": "5 % failed"})},
            "`canary rollout promote website REASON --despite-harm --stack dev` lets it go on",
        ),
        (
            1,
            {"held": Held(reason=HoldReason.APPROVAL, text="a person approves: `canary rollout approve`", since="x")},
            "a person approves: `canary rollout approve website --stack dev`; nobody moves it",
        ),
        (
            0,
            {"held": Held(reason=HoldReason.CAPACITY, text="1 of 2 pods of version-2 are ready", since="x")},
            "1 of 2 pods of version-2 are ready; nobody moves it",
        ),
        (
            0,
            {"stage": Stage.WRITING, "held": Held(reason=HoldReason.DRIFT, text="kubectl-edit changed", since="x")},
            "every Envoy is to have step 1; nobody moves it",
        ),
        (
            0,
            {"promotion": Promotion(step=0, by="ann", at="2026-01-05T10:00:00+00:00")},
            "step 2; nobody moves it",
        ),
        (
            2,
            {"phase": Phase.COMPLETED, "stage": None, "ended_at": "2026-01-05T10:00:00+00:00"},
            "version-1 stays for another 1 h: until then `canary rollout undo website REASON --stack dev` goes back",
        ),
        (
            1,
            {
                "phase": Phase.ABORTED,
                "ended": Ended(kind="aborted", reason="5 % failed", by="ann", at="2026-01-05T10:00:00+00:00"),
            },
            "version-2 gets no requests; `canary rollout retry website REASON --stack dev` begins again",
        ),
        (1, {"void_since": "2026-01-05T10:00:00+00:00"}, "`canary up --stack dev` begins a new rollout"),
    ],
)
def test_what_a_rollout_waits_for_names_the_command_that_helps(
    step: int, changes: dict[str, Any], expected: str, deployed: World
) -> None:
    deployed.observing(step)
    deployed.set(**changes)

    assert expected in run("status", "website", "--stack", "dev").stdout
    assert expected in run_json("status", "website", "--stack", "dev")["services"][0]["waitsFor"]


def test_the_document_has_bars_events_that_were_not_sent_and_the_history(deployed: World) -> None:
    deployed.observing(0)
    bar = Bar(version="version-2", hash="h", reason="it fails", by="ann", at="2026-01-05T10:00:00+00:00")
    event = OutboxEvent(id="website-1/9/0", type=EventType.PAUSED, at="2026-01-05T10:00:00+00:00", text="x")
    deployed.set(bars=(bar,), outbox=(event,))
    document = run_json("status", "website", "--stack", "dev")
    service = document["services"][0]

    assert document["stack"] == "dev"
    assert service["bars"] == [bar.model_dump(mode="json")]
    assert [one["id"] for one in service["undelivered"]] == ["website-1/9/0"]
    assert [one["type"] for one in service["history"]] == ["Pending"]
    assert (service["step"], service["steps"], service["target"], service["from"]) == (1, 3, "version-2", "version-1")
    text = run("status", "website", "--stack", "dev").stdout
    assert "barred:    version-2 since 2026-01-05 10:00:00 UTC, by ann: it fails\n" in text
    assert "not sent:  1 event; the holder sends them\n" in text


def test_without_a_service_every_rollout_of_the_stack_is_shown(deployed: World) -> None:
    text = run("status", "--stack", "dev").stdout

    assert "website-1: version-1 -> version-2, not started\n  waits for: the first step" in text
    assert [one["id"] for one in run_json("status", "--stack", "dev")["services"]] == ["website-1"]


def test_a_stack_without_a_rollout_in_the_cluster_says_so(world: World) -> None:
    assert run("status", "--stack", "dev").stdout == "stack dev has no rollout in the cluster\n"
    assert run_json("status", "--stack", "dev")["services"] == []


def test_with_a_namespace_no_stack_is_needed(deployed: World) -> None:
    deployed.file.unlink()
    (deployed.folder / "Pulumi.yaml").unlink()
    text = run("status", "website", "--namespace", NAMESPACE, "--context", "other").stdout

    assert f"`canary rollout start website --namespace {NAMESPACE} --context other` begins it" in text
    assert set(deployed.contexts) == {"other"}
