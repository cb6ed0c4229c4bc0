"""Verbs and `up` in the cluster: in races, without rights, and what they leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from kube.conflicts import ConflictError
from rollout.acting import Acted, NotCarriedOutError, act, begin_rollout, hand_back, hand_back_if_due
from rollout.decision import Decision, RefusedError
from rollout.look import NoRolloutError
from rollout.record import FIELD_MANAGER, Record
from rollout.routes import owners_of_http
from rollout.store import RolloutStore
from rollout.verbs import abort, pause, retry
from tests.unit.rollout.api_server import RefusedError as Refused
from tests.unit.rollout.rollouts import AT_GATEWAY, IN_MESH, OneRunner, World
from tests.unit.rollout.sample_records import NAMESPACE
from tests.unit.rollout.workloads import PULUMI

RECORD = "istio-canary-rollout-website"


def begun(**keys: Any) -> World:
    """A world in which an `up` has begun the rollout."""
    world = World(**keys)
    world.begin()
    return world


def at_step(step: int, **keys: Any) -> World:
    """A world whose rollout has settled at a step."""
    world = begun(**keys)
    OneRunner(world).until_step(step)
    return world


def abort_by_ann(world: World) -> Acted:
    return act(world.client, NAMESPACE, "website", lambda record, now: abort(record, "bad", "ann", now), by="ann")


def owners(world: World, name: str = AT_GATEWAY) -> tuple[str, ...]:
    return owners_of_http(world.get("virtualservices", NAMESPACE, name))


def record_is_denied(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str | None:
    """An admission webhook that lets nobody write the record."""
    return "frozen" if after["metadata"]["name"] == RECORD else None


@pytest.mark.parametrize("virtual_services", [1, 2])
def test_an_abort_writes_the_record_and_all_routes(virtual_services: int) -> None:
    world = at_step(1, virtual_services=virtual_services)

    acted = abort_by_ann(world)

    assert acted.durable
    assert (world.record.phase, world.weight()) == ("Aborting", 0)
    assert world.annotation() == world.record.annotation
    assert virtual_services == 1 or world.weight(IN_MESH) == 0


def test_an_abort_tells_the_admission_policy_which_version_is_barred() -> None:
    world = at_step(1)

    abort_by_ann(world)

    annotations = world.get("virtualservices", NAMESPACE, AT_GATEWAY)["metadata"]["annotations"]
    assert annotations["istio-canary/barred"] == "version-2"


def test_an_abort_that_is_repeated_helps_to_its_end() -> None:
    world = at_step(1)
    first, second = abort_by_ann(world), abort_by_ann(world)

    assert first.stored.record.generation == second.stored.record.generation
    assert "already" in second.said[0]


@pytest.mark.parametrize("name", [RECORD, AT_GATEWAY])
def test_an_abort_that_others_disturb_decides_again(name: str) -> None:
    world = at_step(1)
    plural = "configmaps" if name == RECORD else "virtualservices"
    writes = [0]

    def label(item: Any) -> None:
        item["metadata"].setdefault("labels", {})["n"] = str(writes[0])

    def disturb() -> None:
        writes[0] += 1
        world.update(plural, NAMESPACE, name, "kubectl-label", label)
        world.before = disturb if writes[0] < 3 else None

    world.before = disturb
    abort_by_ann(world)

    assert (world.record.phase, world.weight()) == ("Aborting", 0)


def test_an_abort_overwrites_routes_that_somebody_writes_all_the_time() -> None:
    world = at_step(1)

    def edit(item: Any) -> None:
        item["spec"]["http"] = world.steps["2"][AT_GATEWAY]
        item["metadata"].setdefault("labels", {})["n"] = str(world.writes)

    def disturb() -> None:
        world.update("virtualservices", NAMESPACE, AT_GATEWAY, "kubectl-edit", edit)
        world.before = disturb

    world.before = disturb
    abort_by_ann(world)

    assert world.weight() == 0


def test_an_abort_that_may_not_write_the_record_writes_the_routes_and_says_that_it_is_not_durable() -> None:
    world = at_step(1)
    world.denies = record_is_denied

    acted = abort_by_ann(world)

    assert not acted.durable
    assert "not durable" in acted.said[-1]
    assert (world.record.phase, world.weight()) == ("Progressing", 0)
    assert world.annotation() == "website-1/abort"

    world.denies = lambda before, after: None
    assert OneRunner(world, "host/2/b").to_the_end().phase == "Aborted"
    assert world.weight() == 0


def test_an_abort_without_the_stored_routes_is_made_of_the_routes_as_they_are() -> None:
    world = at_step(2)
    RolloutStore(world.client, NAMESPACE, "website").delete_routes()

    abort_by_ann(world)

    assert world.weight() == 0
    assert world.get("virtualservices", NAMESPACE, AT_GATEWAY)["spec"]["http"] == world.steps["back"][AT_GATEWAY]


@pytest.mark.parametrize("failure", [500, 503, httpx2.ReadTimeout("late")])
def test_an_abort_whose_routes_get_no_answer_is_tried_again(
    failure: int | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.acting.PAUSE", 0.0)
    world = at_step(1)
    written = world.writes

    def fail_the_next() -> None:
        if world.writes == written + 1:
            world.failures = [failure]

    world.after_write = fail_the_next
    abort_by_ann(world)

    assert (world.record.phase, world.weight()) == ("Aborting", 0)


@pytest.mark.parametrize("failure", [500, 503, httpx2.ReadTimeout("late")])
def test_an_abort_whose_record_gets_no_answer_writes_the_routes_first_and_the_record_after_them(
    failure: int | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.acting.PAUSE", 0.0)
    world = at_step(1)
    order: list[tuple[str, float]] = []
    world.after_write = lambda: order.append((world.record.phase.value, world.weight()))
    denied = [failure]

    def fail_once(before: Any, after: Any) -> str | None:
        if after["metadata"]["name"] == RECORD and denied:
            found = denied.pop()
            raise found if isinstance(found, Exception) else Refused(found, "InternalError", "try again")
        return None

    world.denies = fail_once
    acted = abort_by_ann(world)

    assert acted.durable
    assert order[0] == ("Progressing", 0)
    assert (world.record.phase, world.weight()) == ("Aborting", 0)


def test_a_verb_that_others_are_always_faster_than_changes_nothing_and_says_so() -> None:
    world = at_step(1)

    def disturb() -> None:
        world.update("configmaps", NAMESPACE, RECORD, "somebody", lambda item: item.update({"x": world.writes}))
        world.before = disturb

    world.before = disturb
    with pytest.raises(NotCarriedOutError, match="fix:"):
        act(world.client, NAMESPACE, "website", lambda record, now: pause(record, "", "ann", now), by="ann")


def test_a_verb_of_a_void_record_is_refused_and_the_record_says_that_it_is_void() -> None:
    world = at_step(1)
    del world.objects["virtualservices", NAMESPACE, AT_GATEWAY]
    world.route_by_up(AT_GATEWAY)

    with pytest.raises(RefusedError, match="void"):
        abort_by_ann(world)
    assert world.record.void_since is not None


def test_a_verb_without_a_rollout_says_what_begins_one() -> None:
    with pytest.raises(NoRolloutError, match="canary up"):
        abort_by_ann(World())


def test_a_new_rollout_deletes_the_stored_routes_of_the_one_before() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    other = {**world.steps, "2": world.steps["back"]}

    def decide(seen: Any, name: str, now: str) -> Decision:
        record: Record = seen.stored.record
        plan = record.plan.model_copy(update={"routes": name})
        return retry(record, "fixed", "ann", now, plan=plan)

    begin_rollout(world.client, NAMESPACE, "website", other, decide, by="ann")

    stored = [name for plural, _, name in world.objects if plural == "configmaps" and "-routes-" in name]
    assert stored == [world.record.plan.routes]
    assert world.record.id == "website-2"


def test_of_two_ups_that_begin_at_once_the_last_ones_routes_are_there() -> None:
    world = World()
    faster = [False]

    def decide(seen: Any, name: str, now: str) -> Decision:
        from rollout.beginning import begin
        from rollout.record import Release

        if not faster[0]:
            faster[0] = True
            world.begin()
        old: dict[str, Any] = {"from_": Release(version="version-1", hash="h1", ready_pods=2)}
        return begin(
            seen.stored.record if seen.stored else None,
            service="website",
            namespace=NAMESPACE,
            vs_uids=seen.vs_uids,
            target=Release(version="version-2", hash="h3"),
            plan=world.schedule.plan(name, world.places),
            by="up",
            at=now,
            **old,
        )

    begin_rollout(world.client, NAMESPACE, "website", {**world.steps, "x": {}}, decide, by="up")

    assert RolloutStore(world.client, NAMESPACE, "website").read_routes(world.record.plan.routes)["x"] == {}


def test_http_goes_back_to_pulumi_after_the_end_at_once_if_an_up_asks() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    assert owners(world) == (FIELD_MANAGER,)

    said = hand_back(world.client, NAMESPACE, "website", "up")

    assert said is not None
    assert "Pulumi" in said
    assert owners(world) == (PULUMI,)
    assert world.record.handed_back_at is not None
    assert hand_back(world.client, NAMESPACE, "website", "up") is None


def test_http_stays_the_rollouts_while_it_moves() -> None:
    world = at_step(1)

    assert hand_back(world.client, NAMESPACE, "website", "up") is None
    assert owners(world) == (FIELD_MANAGER,)


def test_http_is_handed_back_before_a_new_rollout_has_started() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    act(world.client, NAMESPACE, "website", lambda record, now: retry(record, "fixed", "ann", now), by="ann")

    assert hand_back(world.client, NAMESPACE, "website", "up") is not None
    assert owners(world) == (PULUMI,)


def test_http_is_handed_back_by_itself_an_hour_after_the_end() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    assert hand_back_if_due(world.client, NAMESPACE, "website", "program") is None

    world.now += timedelta(hours=1, seconds=5)

    assert hand_back_if_due(world.client, NAMESPACE, "website", "program") is not None
    assert owners(world) == (PULUMI,)


def test_a_runner_hands_http_back_an_hour_after_the_end() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    world.now += timedelta(hours=1, seconds=5)

    OneRunner(world, "host/2/b").to_the_end()

    assert owners(world) == (PULUMI,)
    assert world.record.handed_back_at is not None


def test_http_that_somebody_wrote_meanwhile_is_handed_back_the_next_time() -> None:
    world = at_step(1)
    abort_by_ann(world)
    OneRunner(world).to_the_end()
    world.before = lambda: world.update(
        "virtualservices", NAMESPACE, AT_GATEWAY, "x", lambda item: item["metadata"].update({"labels": {"a": "b"}})
    )

    with pytest.raises(ConflictError):
        hand_back(world.client, NAMESPACE, "website", "up")
    assert hand_back(world.client, NAMESPACE, "website", "up") is not None
