"""A supervisor of groups in an API server in memory, and what others do to these groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rollout.group_record import GroupRecord
from rollout.group_runner import GroupEnd, run_group
from rollout.group_store import GROUP_LABEL, group_name, lease_of
from rollout.lease import Lease
from rollout.moving import Moving
from rollout.prometheus_readings import at_url
from rollout.runner import RunEnd, run
from rollout.store import RolloutStore
from rollout.supervisor import Supervisor
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld
from tests.unit.rollout.sample_groups import GROUP, SHOP

HOLDER = "runner/1/a"
ALONE = "search"


class Many:
    """A supervisor of an API server in memory: `moved` are the runs that it has begun; a test moves its clock."""

    def __init__(
        self,
        world: GroupWorld,
        *,
        namespaces: tuple[str, ...] = (NAMESPACE,),
        holder: str = HOLDER,
        move_group: Callable[..., GroupEnd] = run_group,
    ) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.moved: list[str] = []
        self.seen: list[str] = []

        def group(access: Any, known: GroupRecord, *given: Any, **keys: Any) -> GroupEnd:
            self.moved.append(known.name)
            assert all(callable(one) for one in keys["readings"](SHOP[0]))
            return move_group(access, known, *given, **keys)

        def service(access: Any, namespace: str, name: str, *given: Any, **keys: Any) -> RunEnd:
            self.moved.append(name)
            return run(access, namespace, name, *given, **keys)

        access: Any = None
        self.moving = Moving(
            access,
            holder,
            at_url(None, "there is none"),
            on_group_look=lambda name: lambda known, records, decision: self.seen.append(str(name)),
            move=service,
            move_group=group,
        )
        self.supervisor = Supervisor(
            world.connect(),
            namespaces,
            holder,
            self.moving,
            say=lambda subject, text: self.said.append(f"{subject}: {text}"),
            clock=lambda: self.now,
        )

    def turn(self) -> None:
        """One reading, after which all runs have ended."""
        self.supervisor.turn()
        self.supervisor._join(60)
        assert not self.supervisor.running


def started(world: GroupWorld) -> GroupWorld:
    """The world after `up`, and a person's `start`."""
    world.up()
    world.start()
    return world


def taken(world: GroupWorld, seconds: int = 15) -> Lease:
    """The group's Lease as somebody else's."""
    lease = Lease(world.connect(), NAMESPACE, lease_of(GROUP), "laptop/1/b", seconds=seconds)
    lease._client.list(_config_map(), namespace=NAMESPACE)  # whose answer tells the time
    assert lease.acquire()
    return lease


def _config_map() -> Any:
    from lightkube.resources.core_v1 import ConfigMap

    return ConfigMap


def damage(world: GroupWorld, name: str) -> None:
    """The record of a group that cannot be read."""
    metadata = {"name": group_name(name), "namespace": NAMESPACE, "labels": {GROUP_LABEL: name}}
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"record": "{"}}
    world.apply("configmaps", bad, "somebody", force=True)


def rolled_alone(world: GroupWorld) -> None:
    """A service of the world is in no group."""
    world.up(ALONE)
    store = RolloutStore(world.client, NAMESPACE, ALONE)
    stored = store.read()
    assert stored is not None
    plan = stored.record.plan.model_copy(update={"group": None})
    store.write(stored.record.model_copy(update={"plan": plan}), stored.resource_version)


def change(world: GroupWorld, service: str, **keys: Any) -> None:
    """Write the record of a service with other keys."""
    store = RolloutStore(world.client, NAMESPACE, service)
    stored = store.read()
    assert stored is not None
    record = stored.record.model_copy(update={"generation": stored.record.generation + 1, **keys})
    store.write(record, stored.resource_version)
