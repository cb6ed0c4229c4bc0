"""The role that docs/rights.md has for a rollout: what a run asks the API server for, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import yaml

from components.rollout_runner import RunnerRights, permissions
from kube import kubeconfig
from rollout.acting import act, hand_back
from rollout.barrier import Barrier, Following
from rollout.group_store import group_name
from rollout.moving import Moving
from rollout.prometheus_readings import at_url
from rollout.record import Phase
from rollout.store import RolloutStore
from rollout.supervisor import Supervisor
from rollout.verbs import abort
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.group_world import NAMESPACE as SHOP_NAMESPACE
from tests.unit.rollout.group_world import GroupWorld
from tests.unit.rollout.rollouts import OneRunner, World
from tests.unit.rollout.sample_groups import GROUP
from tests.unit.rollout.sample_records import NAMESPACE

PAGE = (Path(__file__).parents[3] / "docs" / "rights.md").read_text(encoding="utf-8")
ROLES = [role for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S) for role in yaml.safe_load_all(block)]
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
BESIDE = {
    ("configmaps", "watch"): "rollout.watching, in a thread of its own",
    ("gateways", "get"): "the barrier, where the record has no Envoys",
    ("leases", "create"): "the Lease",
    ("leases", "get"): "the Lease",
    ("leases", "patch"): "the Lease",
    ("secrets", "get"): "notify",
    ("virtualservices", "list"): "canary rollout plan",
}
"""What a turn of a runner does not ask for."""


def rights(name: str) -> set[tuple[str, str]]:
    (role,) = [one for one in ROLES if one["metadata"]["name"] == name]
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


class Asked:
    """Keeps what an API server in memory is asked for, by resource and verb."""

    def __init__(self, world: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: set[tuple[str, str]] = set()
        serve = world._serve

        def kept(request: httpx2.Request) -> Any:
            parts = request.url.path.strip("/").split("/")
            place = parts[2:] if parts[0] == "api" else parts[3:]
            resource, *rest = place[2:] if place[0] == "namespaces" else place
            verb = VERBS.get(request.method) or ("get" if rest else "list")
            self.found.add(("/".join((resource, *rest[1:])), verb))
            return serve(request)

        monkeypatch.setattr(world, "_serve", kept)


def test_a_run_asks_for_what_its_role_allows_and_the_role_allows_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.autoscaler("version-1", 1, 5)
    asked = Asked(world, monkeypatch)
    world.begin()
    runner = OneRunner(world)
    runner.until_step(1)
    world.pods("version-2", 0, 1)
    world.deployment("version-2", 1)
    runner.clock += 1
    runner.turn()
    act(world.client, NAMESPACE, "website", lambda record, now: abort(record, "bad", "ann", now), by="ann")
    runner.to_the_end()
    hand_back(world.client, NAMESPACE, "website", "ann")
    RolloutStore(world.client, NAMESPACE, "website").delete_routes()

    allowed = rights("istio-canary-rollout")
    assert asked.found <= allowed
    assert allowed - asked.found == set(BESIDE)


def test_an_abort_asks_for_what_its_role_allows_and_the_role_allows_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.begin()
    OneRunner(world).until_step(1)
    asked = Asked(world, monkeypatch)
    act(world.client, NAMESPACE, "website", lambda record, now: abort(record, "bad", "ann", now), by="ann")

    assert asked.found == rights("istio-canary-abort")


def test_the_runner_in_the_cluster_moves_a_group_with_the_rights_of_its_role(monkeypatch: pytest.MonkeyPatch) -> None:
    world = GroupWorld(autoStart=True)
    world.up()
    access: Any = SimpleNamespace(user=None)
    monkeypatch.setattr(kubeconfig, "choose", lambda config: access)
    monkeypatch.setattr(kubeconfig, "client", lambda config: world.connect())
    monkeypatch.setattr(Barrier, "wait", lambda *given: Following(True))
    asked = Asked(world, monkeypatch)
    moving = Moving(access, "runner/1/a", at_url(None, "there is none"))
    supervisor = Supervisor(world.connect(), (SHOP_NAMESPACE,), "runner/1/a", moving)
    supervisor.turn()
    supervisor._join(60)

    assert world.group.phase is Phase.COMPLETED
    assert ("leases", SHOP_NAMESPACE, group_name(GROUP)) in world.objects
    role = {
        (resource, verb)
        for rule in permissions(RunnerRights(namespace=SHOP_NAMESPACE))
        for resource in _list(rule.resources)
        for verb in _list(rule.verbs)
    }
    assert asked.found <= role
    assert {("configmaps", "list"), ("configmaps", "create"), ("leases", "create"), ("leases", "patch")} <= asked.found


def _list(words: Any) -> list[str]:
    return list(words)
