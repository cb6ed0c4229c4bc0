"""`canary rollout` of a group of services, and of one of its services that is named alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from rollout.group_record import GroupRecord
from rollout.group_runner import GroupEnd
from rollout.group_verbs import begin_group
from rollout.record import Phase
from tests.unit.canary.groups import PLACE, group_project, records, running
from tests.unit.canary.rollouts import run, run_json
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld
from tests.unit.rollout.sample_groups import GROUP, SHOP


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupWorld:
    """A project with a group, and a cluster in which its services have Pending records."""
    return group_project(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("verb", "words"),
    [("start", ()), ("promote", ("it", "is", "fine")), ("retry", ("again",))],
    ids=str,
)
def test_a_service_of_a_group_does_not_go_alone(verb: str, words: tuple[str, ...], world: GroupWorld) -> None:
    done = run(verb, "web-api", *words, *PLACE, code=ExitCode.CONFIG)

    assert "web-api is rolled out with the group checkout: articles, web-api, frontend" in done.stderr
    assert f"canary rollout {verb} checkout --stack dev" in done.stderr
    assert set(world.phases.values()) == {"Pending"}


@pytest.mark.parametrize("named", [GROUP, "articles"])
def test_an_abort_of_a_group_or_of_one_service_takes_all_back_a_caller_first(named: str, world: GroupWorld) -> None:
    running(world)
    world.written.clear()

    done = run("abort", named, "errors", "in", "the", "shop", *PLACE)

    assert world.written == [(one, 0.0) for one in reversed(SHOP)]
    assert "aborted" in done.stdout
    assert "errors in the shop" in done.stdout
    if named != GROUP:
        assert "articles is rolled out with the group checkout: all of it goes back" in done.stderr


def test_an_abort_of_one_service_needs_no_file(world: GroupWorld) -> None:
    running(world)

    document = run_json("abort", "web-api", "--namespace", NAMESPACE)

    assert (document["group"], document["phase"], document["ended"]["member"]) == (GROUP, "Aborted", "web-api")
    assert [one["phase"] for one in document["services"]] == ["Aborted"] * 3


def test_a_group_is_found_without_a_file(world: GroupWorld) -> None:
    running(world)

    document = run_json("status", GROUP, "--namespace", NAMESPACE)

    assert [one["service"] for one in document["services"]] == list(SHOP)


def test_the_status_shows_the_services_together(world: GroupWorld) -> None:
    before = run("status", GROUP, *PLACE).stdout
    running(world)
    after = run("status", GROUP, *PLACE).stdout

    assert "checkout: not started; `canary rollout start checkout --stack dev` begins it" in before
    assert "checkout-1: articles, web-api, frontend: step 1 of 2" in after
    assert after.index("articles-1:") < after.index("web-api-1:") < after.index("frontend-1:")
    assert "group:     checkout: articles, web-api, frontend" in after


def test_the_status_of_one_service_names_the_commands_of_the_group(world: GroupWorld) -> None:
    told = run("status", "articles", *PLACE).stdout

    assert "canary rollout start checkout --stack dev" in told
    assert "canary rollout start articles" not in told


def test_a_pause_and_a_resume_are_of_all_services(world: GroupWorld) -> None:
    running(world)

    run("pause", GROUP, "lunch", *PLACE)
    assert all(one.paused is not None for one in records(world).values())
    run("resume", GROUP, *PLACE)
    assert all(one.paused is None for one in records(world).values())


def test_a_promotion_is_of_all_services_or_of_none(world: GroupWorld) -> None:
    running(world)
    run("pause", "frontend", *PLACE)

    run("promote", GROUP, "it", "is", "fine", *PLACE, code=ExitCode.CONFIG)
    assert all(one.promotion is None for one in records(world).values())
    run("resume", "frontend", *PLACE)
    run("promote", GROUP, "it", "is", "fine", *PLACE)
    assert all(one.promotion is not None for one in records(world).values())


def test_a_retry_is_of_all_services_that_were_taken_back(world: GroupWorld) -> None:
    running(world)
    run("abort", GROUP, *PLACE)

    run("retry", GROUP, "the", "network", "is", "back", *PLACE)

    assert set(world.phases.values()) == {"Pending"}
    assert all(not one.bars for one in records(world).values())


def test_an_undo_before_the_end_is_refused(world: GroupWorld) -> None:
    running(world)

    done = run("undo", GROUP, *PLACE, code=ExitCode.CONFIG)

    assert "undo is for afterwards" in done.stderr
    assert "canary rollout abort checkout --stack dev" in done.stderr


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.COMPLETED, 0), (Phase.ABORTED, ExitCode.ABORTED), (Phase.PROGRESSING, ExitCode.HELD)]
)
def test_the_exit_code_of_a_start_tells_how_the_group_has_ended(
    phase: Phase, code: int, world: GroupWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_group(access: Any, group: GroupRecord, holder: str, **_: Any) -> GroupEnd:
        ended = group.model_copy(update={"phase": phase})
        return GroupEnd(group=ended, records=records(world), why="held")

    monkeypatch.setattr("rollout.group_runner.run_group", run_group)

    done = run("start", GROUP, "--namespace", NAMESPACE, "--anyway", code=code)

    assert "checkout-1: articles, web-api, frontend" in done.stdout


def test_the_plan_shows_the_services_in_their_order(world: GroupWorld) -> None:
    told = run("plan", GROUP, *PLACE).stdout

    assert "checkout: articles, web-api, frontend go step by step together, in this order" in told
    assert told.index("articles: version-1 -> version-2") < told.index("frontend: version-1 -> version-2")


def test_the_report_has_the_decisions_of_the_group_and_of_its_services(world: GroupWorld) -> None:
    running(world)

    told = run("report", GROUP, *PLACE).stdout

    assert "StepWritten: step 1 of 2: articles, web-api, frontend" in told
    assert "frontend-1 StepWritten" in told


def test_services_with_other_steps_are_refused_before_anything_is_written(world: GroupWorld) -> None:
    known = dict(records(world))
    other = known["frontend"].plan.model_copy(update={"steps": known["frontend"].plan.steps[:1]})
    known["frontend"] = known["frontend"].model_copy(update={"plan": other})

    with pytest.raises(Exception, match="different steps: articles has the steps 10 % for 3600 s, 100 %"):
        begin_group(None, GROUP, known, "ann", known["articles"].created_at)
