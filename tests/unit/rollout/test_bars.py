"""Bars that were lifted leave the VirtualServices, and nothing else of these changes."""

from __future__ import annotations

import pytest

from kube.conflicts import ConflictError
from rollout.acting import act, hand_back
from rollout.bars import lift_in_routes
from rollout.record import FIELD_MANAGER
from rollout.routes import owners_of_http
from rollout.verbs import abort, retry
from tests.unit.rollout.rollouts import AT_GATEWAY, IN_MESH, OneRunner, World
from tests.unit.rollout.sample_records import NAMESPACE
from tests.unit.rollout.workloads import PULUMI


def aborted(**keys: int) -> World:
    """A world whose rollout was aborted at its second step."""
    world = World(**keys)
    world.begin()
    OneRunner(world).until_step(1)
    act(world.client, NAMESPACE, "website", lambda record, now: abort(record, "bad", "ann", now), by="ann")
    OneRunner(world).to_the_end()
    return world


def retried(world: World) -> World:
    act(world.client, NAMESPACE, "website", lambda record, now: retry(record, "fixed", "ann", now), by="ann")
    return world


def barred(world: World, name: str = AT_GATEWAY) -> str | None:
    annotations: dict[str, str] = world.get("virtualservices", NAMESPACE, name)["metadata"]["annotations"]
    return annotations.get("istio-canary/barred")


def owners(world: World) -> tuple[str, ...]:
    return owners_of_http(world.get("virtualservices", NAMESPACE, AT_GATEWAY))


@pytest.mark.parametrize("is_handed_back", [True, False])
def test_a_lifted_bar_leaves_the_routes_and_their_owner_as_they_are(is_handed_back: bool) -> None:
    world = aborted()
    if is_handed_back:
        hand_back(world.client, NAMESPACE, "website", "up")
    retried(world)
    before = world.get("virtualservices", NAMESPACE, AT_GATEWAY)["spec"]

    assert lift_in_routes(world.client, NAMESPACE, "website") == (AT_GATEWAY,)

    assert barred(world) is None
    assert world.get("virtualservices", NAMESPACE, AT_GATEWAY)["spec"] == before
    assert owners(world) == ((PULUMI,) if is_handed_back else (FIELD_MANAGER,))
    assert lift_in_routes(world.client, NAMESPACE, "website") == ()


def test_a_lifted_bar_leaves_the_routes_of_the_mesh_too() -> None:
    world = retried(aborted(virtual_services=2))

    assert set(lift_in_routes(world.client, NAMESPACE, "website")) == {AT_GATEWAY, IN_MESH}
    assert (barred(world), barred(world, IN_MESH)) == (None, None)


def test_a_bar_that_the_record_has_stays() -> None:
    world = aborted()

    assert lift_in_routes(world.client, NAMESPACE, "website") == ()
    assert barred(world) == "version-2"


def test_nothing_is_written_to_the_routes_while_the_rollout_moves() -> None:
    world = retried(aborted())
    OneRunner(world).until_step(0)
    writes = world.writes

    assert lift_in_routes(world.client, NAMESPACE, "website") == ()
    assert world.writes == writes


def test_routes_that_somebody_else_writes_meanwhile_are_looked_at_again() -> None:
    world = retried(aborted())

    def label() -> None:
        world.update(
            "virtualservices", NAMESPACE, AT_GATEWAY, "x", lambda item: item["metadata"].update({"labels": {"a": "b"}})
        )

    world.before = label

    assert lift_in_routes(world.client, NAMESPACE, "website") == (AT_GATEWAY,)
    assert barred(world) is None


def test_routes_that_somebody_else_writes_all_the_time_keep_their_bar() -> None:
    world = retried(aborted())

    def disturb() -> None:
        world.update(
            "virtualservices",
            NAMESPACE,
            AT_GATEWAY,
            "x",
            lambda item: item["metadata"].update({"labels": {"n": str(world.writes)}}),
        )
        world.before = disturb

    world.before = disturb
    with pytest.raises(ConflictError):
        lift_in_routes(world.client, NAMESPACE, "website")
