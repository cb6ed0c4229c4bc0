"""What `canary up`, `preview` and `status` do around a rollout, on a real cluster.

tests/e2e/test_rollout_up.py has the same for plain `pulumi`. The rollout's steps are written as a runner writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import Client

from kube import kubeconfig
from rollout.decision import PULUMI
from rollout.record import FIELD_MANAGER, Phase, Record, Stage
from rollout.routes import owners_of_http, read_routes_in_cluster, write_http
from rollout.store import RolloutStore
from tests.e2e.tools import Access, Completed, Project, service

STACK, NAME, NAMESPACE, HOST = "by-canary", "by-canary", "by-canary", "by-canary.example"


class Rolled:
    """A service whose requests go to version-2 by a rollout of two steps."""

    def __init__(self, project: Project, client: Client) -> None:
        self.project, self.client = project, client
        self.store = RolloutStore(client, NAMESPACE, NAME)

    def file(self, to: str = "version-2", **rule: Any) -> None:
        rollout = {"steps": [{"weight": 10, "for": "1m"}, {"weight": 100}]}
        route = [{"to": to, "rollout": rollout, **rule}]
        services = service(NAME, host=HOST, namespace=NAMESPACE, route=route)
        self.project.write_stack(STACK, {**self.project.service_config(services), "istio-canary:fence": False})

    def canary(self, *words: str) -> Completed:
        done = self.project.canary(*words, "--stack", STACK)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def up(self, *words: str) -> str:
        done = self.canary("up", "--yes", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def record(self) -> Record:
        stored = self.store.read()
        assert stored is not None
        return stored.record

    def write(self, key: str, **changes: Any) -> None:
        """Write the record, and the routes of a step or of the way back."""
        stored = self.store.read()
        assert stored is not None
        record = stored.record.model_copy(update={"generation": stored.record.generation + 1, **changes})
        self.store.write(record, stored.resource_version)
        for name, http in self.store.read_routes(record.plan.routes)[key].items():
            write_http(self.client, NAMESPACE, name, http, record.annotation, None)

    def first_step(self) -> None:
        """A new rollout, at its first step, whose time has only begun."""
        now = self.record.created_at
        self.write(
            "0",
            phase=Phase.PROGRESSING,
            stage=Stage.OBSERVING,
            step=0,
            wanted=self.record.plan.steps[0].weights,
            started_at=now,
            settled_at=now,
        )

    @property
    def http(self) -> list[dict[str, Any]]:
        (route,) = read_routes_in_cluster(self.client, NAMESPACE, [NAME]).values()
        return [dict(one) for one in route.http]

    @property
    def owners(self) -> set[str]:
        (route,) = read_routes_in_cluster(self.client, NAMESPACE, [NAME]).values()
        return {PULUMI if owner.startswith(PULUMI) else owner for owner in owners_of_http(route.found)}

    def status(self) -> dict[str, Any]:
        (found,) = json.loads(self.canary("status", "--json").stdout)["services"]
        status: dict[str, Any] = found
        return status


@pytest.fixture(scope="module")
def rolled(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    """A rollout at its first step."""
    project = Project.create(tmp_path_factory.mktemp("by-canary"), mesh.cluster)
    with kubeconfig.client(kubeconfig.choose(Access(str(mesh.cluster.layout.kubeconfig)))) as client:
        rolled = Rolled(project, client)
        rolled.file("version-1")
        rolled.up()
        rolled.file()
        said = rolled.up()
        assert "canary rollout start" in said, said
        rolled.first_step()
        yield rolled
        destroyed = project.canary("destroy", "--stack", STACK, "--yes")
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


def test_a_preview_says_that_the_rollout_did_it_and_an_up_moves_nothing(rolled: Rolled) -> None:
    done = rolled.canary("preview")
    assert done.returncode == 0, done.stderr
    assert "the rollout did this" in done.stdout
    before = rolled.http
    rolled.up()
    assert rolled.http == before


def test_the_status_compares_with_what_the_rollout_wants(rolled: Rolled) -> None:
    status = rolled.status()
    assert "step 1 of 2" in status["rollout"]
    assert status["rules"][0]["configured"] == {"version-1": 90, "version-2": 10}
    assert status["drift"] == ""


def test_a_change_of_the_route_is_refused_in_the_middle_unless_it_is_asked_for(rolled: Rolled) -> None:
    rolled.file(timeout="7s")
    done = rolled.canary("up", "--yes")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--during-rollout" in done.stderr

    rolled.first_step()
    said = rolled.up("--during-rollout", NAME)
    assert "canary rollout resume" in said
    assert rolled.record.paused is not None
    assert rolled.http[0]["timeout"] == "7s"
    assert [one["weight"] for one in rolled.http[0]["route"]] == [90, 10]


def test_after_an_abort_an_up_that_changes_the_route_takes_it_back_at_once(rolled: Rolled) -> None:
    rolled.file()
    aborted = rolled.canary("rollout", "abort", NAME, "it fails")
    assert rolled.record.phase is Phase.ABORTED, aborted.stderr
    assert rolled.owners == {FIELD_MANAGER}
    rolled.file(timeout="9s")
    said = rolled.up()
    assert "is Pulumi's again" in said
    assert rolled.owners == {PULUMI}
    assert rolled.http[0]["timeout"] == "9s"
    assert [one["destination"]["subset"] for one in rolled.http[0]["route"]] == ["version-1"]
