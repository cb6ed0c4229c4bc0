"""Groups of a stack: in the records of their services, in words, and taken back by an `up`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User

from canary.diff.rollouts import rollouts_between
from canary.render.rollout_notes import rollout_notes
from rollout.group_record import GroupRecord
from rollout.group_runner import GroupEnd
from stacks.rollout_asks import AskKind, RolloutAsk
from stacks.rollout_group_back import taken_back
from stacks.rollout_groups import group_named, group_of
from stacks.rollout_plans import rollout_plan
from stacks.rollout_states import RolloutState
from stacks.service_rollout import ServiceRollout
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.with_rollouts import with_rollouts
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld, OneGroupRunner
from tests.unit.rollout.sample_groups import GROUP, SHOP
from tests.unit.stacks.rollout_stacks import STEPS, at, pending, stack, state, version

HELD = [{"weight": 10, "for": "1h"}, {"weight": 100}]


def shop(*, groups: bool = True, rolled: bool = True) -> Settings:
    """Loaded settings with three services."""
    rule: dict[str, Any] = {"to": "version-2", "timeout": "5s", "rollout": "careful"}
    if not rolled:
        rule = {"to": {"version-1": 100, "version-2": 0}}
    service = {
        "namespace": NAMESPACE,
        "gateways": ["mesh"],
        "versions": {"version-1": version(1), "version-2": version(2)},
        "route": [rule],
    }
    return load(
        {
            "rollouts": {"careful": {"steps": STEPS}} if rolled else {},
            "rolloutGroups": {GROUP: {"services": list(SHOP)}} if groups else {},
            "services": dict.fromkeys(SHOP, service),
        }
    )


def test_a_services_plan_names_its_group_with_the_services_in_order() -> None:
    planned = rollout_plan(shop(), "web-api", at(0))

    assert planned is not None
    group = planned.plan().group
    assert group is not None
    assert (group.name, group.namespace) == (GROUP, NAMESPACE)
    assert [one.service for one in group.members] == list(SHOP)


def test_a_service_without_a_group_names_none() -> None:
    settings = shop(groups=False)

    assert group_of(settings, "web-api") is None
    assert group_named(settings, GROUP) is None


def test_a_group_that_is_new_in_the_file_is_written_before_the_start() -> None:
    alone = stack()
    grouped = alone.model_copy(update={"rollout_groups": shop().rollout_groups})
    known = state(alone, pending(alone), at(0))

    assert ServiceRollout(alone, "shop", known, "Pulumi.dev.yaml").ruling().asks == ()
    with_group = {"checkout": grouped.rollout_groups[GROUP].model_copy(update={"services": ("shop", "other")})}
    other = grouped.services["shop"]
    settings = grouped.model_copy(
        update={"rollout_groups": with_group, "services": {**grouped.services, "other": other}}
    )  # fmt: skip
    (ask,) = ServiceRollout(settings, "shop", known, "Pulumi.dev.yaml").ruling().asks

    assert ask.kind is AskKind.BEGIN
    assert "canary rollout start checkout" in ask.text


def test_a_rollout_that_begins_names_the_services_of_its_group_that_the_same_up_begins() -> None:
    settings = shop()
    begun = {ask.service: ask for ask in with_rollouts(settings, _at_old(SHOP), "Pulumi.dev.yaml").asks}
    assert {one.kind for one in begun.values()} == {AskKind.BEGIN}
    for service in SHOP:
        planned = begun[service].planned
        assert planned is not None
        assert planned.plan().begins_with == SHOP

    one_has_nothing_to_move = {**_at_old(SHOP[1:]), SHOP[0]: RolloutState(now=at(100))}
    asks = with_rollouts(settings, one_has_nothing_to_move, "Pulumi.dev.yaml").asks
    assert [ask.planned.begins_with for ask in asks if ask.planned is not None] == [SHOP[1:]] * 2


def test_a_rollout_that_begins_alone_names_no_other() -> None:
    asks = with_rollouts(shop(groups=False), _at_old(SHOP), "Pulumi.dev.yaml").asks
    assert [ask.planned.begins_with for ask in asks if ask.planned is not None] == [()] * 3


def _at_old(services: Sequence[str]) -> dict[str, RolloutState]:
    return {service: RolloutState(now=at(0)) for service in services}


def test_a_diff_and_rendered_manifests_name_the_group() -> None:
    words = rollouts_between(shop(rolled=False), shop())

    assert all(one.endswith("not at once, together with the group checkout") for one in words.values())
    assert "together with the group checkout" in next(iter(rollout_notes(shop())))


@pytest.mark.parametrize("kind", [AskKind.GO_BACK, AskKind.SUPERSEDE])
def test_an_up_that_takes_one_service_back_takes_all_of_them_back_a_caller_first(
    kind: AskKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = GroupWorld(steps=HELD)
    world.up()
    world.start()
    OneGroupRunner(world).until_step(0)
    world.written.clear()
    _connected(world, monkeypatch)

    done = taken_back(shop(), _ask(world, "articles", kind), "up")

    assert done is not None
    assert (done.services, done.ended) == (SHOP, True)
    assert world.written == [(one, 0.0) for one in reversed(SHOP)]


def test_an_up_that_takes_a_completed_service_back_undoes_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    world = GroupWorld()
    world.up()
    world.start()
    OneGroupRunner(world).to_the_end()
    _connected(world, monkeypatch)

    taken_back(shop(), _ask(world, "web-api", AskKind.GO_BACK), "up")

    assert set(world.phases.values()) == {"Undone"}


def test_a_service_without_a_group_is_left_to_its_own_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = stack()
    ask = RolloutAsk(kind=AskKind.GO_BACK, service="shop", namespace="shop", text="", record=pending(settings))

    assert taken_back(settings, ask, "up") is None


def _ask(world: GroupWorld, service: str, kind: AskKind) -> RolloutAsk:
    return RolloutAsk(kind=kind, service=service, namespace=NAMESPACE, text="", record=world.record(service))


def _connected(world: GroupWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
    monkeypatch.setattr("kube.kubeconfig.choose", lambda cluster: config)
    monkeypatch.setattr("kube.kubeconfig.client", lambda config: nullcontext(world.client))

    def finish(access: Any, group: GroupRecord, by: str, **_: Any) -> GroupEnd:
        runner = OneGroupRunner(world, by)
        runner.holds = False
        return GroupEnd(group=runner.to_the_end(), records={}, why="aborted")

    monkeypatch.setattr("rollout.group_runner.finish_group", finish)
