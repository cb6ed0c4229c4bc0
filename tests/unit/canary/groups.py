"""For the tests of `canary rollout` with a group: a project and a cluster, where three services go together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User

from rollout.group_record import GroupRecord
from rollout.group_runner import GroupEnd
from rollout.record import Record
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld, OneGroupRunner
from tests.unit.rollout.sample_groups import GROUP, SHOP

HELD = [{"weight": 10, "for": "1h"}, {"weight": 100}]
SERVICE = {
    "namespace": NAMESPACE,
    "versions": {one: {"image": f"shop:{one[-1]}", "port": 8080} for one in ("version-1", "version-2")},
    "route": [{"to": "version-2", "timeout": "5s", "rollout": "together"}],
}
STACK = {
    "config": {
        "istio-canary:rollouts": {"together": {"steps": HELD}},
        "istio-canary:rolloutGroups": {GROUP: {"services": list(SHOP)}},
        "istio-canary:services": {one: {**SERVICE, "hosts": [f"{one}.example.com"]} for one in SHOP},
    }
}
PLACE = ("--stack", "dev")


def group_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> GroupWorld:
    """Make a project with a group, and return a cluster in which its services have Pending records."""
    (folder / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text(json.dumps(STACK), encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    world = GroupWorld(steps=HELD)
    world.up()
    config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
    monkeypatch.setattr("kube.kubeconfig.choose", lambda cluster: config)
    monkeypatch.setattr("kube.kubeconfig.client", lambda config: nullcontext(world.client))
    monkeypatch.setattr("rollout.runner.send_events", lambda *_, **__: 0)

    def finish(access: Any, group: GroupRecord, by: str, **_: Any) -> GroupEnd:
        runner = OneGroupRunner(world, by)
        runner.holds = False
        ended = runner.to_the_end()
        return GroupEnd(group=ended, records=records(world), why="aborted")

    monkeypatch.setattr("rollout.group_runner.finish_group", finish)
    return world


def records(world: GroupWorld) -> Mapping[str, Record]:
    """The records of the services as they are."""
    return {one: world.record(one) for one in world.services}


def running(world: GroupWorld) -> None:
    """The group is at its first step."""
    world.start()
    OneGroupRunner(world).until_step(0)
