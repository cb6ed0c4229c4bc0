"""What a run does to records: before any resource is registered, and once the routes are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from rollout import runner
from rollout.acting import act
from rollout.decision import Decision, Facts
from rollout.machine import advance
from rollout.record import FIELD_MANAGER, EventType, Phase, Record, Stage
from rollout.routes import read_routes_in_cluster
from rollout.routes_of_steps import http_routes
from rollout.store import RolloutStore
from rollout.stored_routes import StoredRoutesError
from rollout.verbs import abort, undo
from stacks import cluster_facts, rollout_run
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.rollout_plans import rendered_routes
from stacks.rollout_run import RolloutRunError, read_effective, write_records
from stacks.rollout_states import read_rollout_states
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError
from stacks.with_rollouts import Effective, during_rollout, with_rollouts
from tests.unit.mocks import run_program
from tests.unit.rollout.workloads import PULUMI, Workloads
from tests.unit.stacks.rollout_stacks import (
    COHORT,
    EVERYBODY,
    FILE,
    NEW,
    OLD,
    ONLY_OLD,
    PLAIN,
    aborted,
    at,
    completed,
    progressing,
    stack,
    version,
)

OWNER = "istio-canary/dev"
THREE = {OLD: version(1), NEW: version(2), "version-3": version(3)}
THIRD = {**EVERYBODY, "to": "version-3"}


@dataclass
class Cluster:
    """A cluster in memory, and the runs of a program against it."""

    server: Workloads
    said: list[str] = field(default_factory=list)
    sent: list[EventType] = field(default_factory=list)

    def routes(self, weight: float, manager: str = PULUMI, settings: Settings | None = None) -> None:
        """Write the routes of the service."""
        settings = stack() if settings is None else settings
        http = http_routes(settings.services, "shop", at(weight), gateway_namespace="istio-ingress")["shop"]
        metadata = {"name": "shop", "namespace": "shop"}
        body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata}
        spec = {"hosts": ["shop.example.com"], "http": http}
        self.server.apply("virtualservices", {**body, "spec": spec}, manager, force=True)

    def keep(self, record: Record, weight: float | None = None) -> Record:
        """Have this record, with its stored routes, and routes by the rollout."""
        self.routes(0)
        if weight is not None:
            self.routes(weight, FIELD_MANAGER)
        assert self.store.write_routes(rendered_routes(stack(), "shop", record.plan)) == record.plan.routes
        uid = self.server.get("virtualservices", "shop", "shop")["metadata"]["uid"]
        return self.store.create(record.model_copy(update={"vs_uids": {"shop": uid}})).record

    @property
    def store(self) -> RolloutStore:
        return RolloutStore(self.server.client, "shop", "shop")

    @property
    def record(self) -> Record:
        stored = self.store.read()
        assert stored is not None
        return stored.record

    @property
    def weights(self) -> dict[str, int]:
        http = self.server.get("virtualservices", "shop", "shop")["spec"]["http"]
        return {one["destination"]["subset"]: one.get("weight", 100) for one in http[-1]["route"]}

    def read(self, settings: Settings, owner: str) -> ClusterFacts:
        states = read_rollout_states(self.server.client, settings)
        found = with_rollouts(settings, states, FILE, during=during_rollout.get())
        if found.problems:
            raise SettingsError(found.problems, FILE)
        return ClusterFacts(uid="7b1f", rollouts=states)

    def run(self, settings: Settings, *, preview: bool = False, until: Callable[[], None] = lambda: None) -> Effective:
        """Run the program; `until` comes between the reading and the writing of records."""
        kept: list[Effective] = []

        def program() -> None:
            facts, effective = read_effective(settings, OWNER, lambda facts, settings: None)
            kept.append(effective)
            environment = Environment(effective.settings, facts, OWNER, routes_left=effective.routes_left)
            until()
            write_records(environment, settings, effective)

        self.registered = run_program(program, preview=preview)
        return kept[0]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(Workloads())

    def finish(access: Any, namespace: str, service: str, by: str, timeout: float) -> Any:
        """As the runner's loop, where every pod is ready and every Envoy follows."""
        for _ in range(5):
            live = read_routes_in_cluster(made.server.client, namespace, [service])[service]
            weights = {"default": {name: float(one) for name, one in made.weights.items()}}
            seen: dict[str, Any] = {
                "route_weights": weights,
                "route_annotation": live.annotation,
                "route_owner": live.owner,
            }

            def decide(record: Record, now: str, seen: dict[str, Any] = seen) -> Decision:
                return advance(record, Facts(now=now, ready_from=4, envoys_follow=True, **seen))

            acted = act(made.server.client, namespace, service, decide, by=by)
            if not acted.stored.record.phase.active:
                break
        return SimpleNamespace(record=acted.stored.record)

    monkeypatch.setattr(cluster_facts, "read_cluster_facts", made.read)
    monkeypatch.setattr(rollout_run, "query", lambda access, ask, within: ask(made.server.client))

    def send_events(access: Any, namespace: str, service: str, by: str) -> int:
        made.sent.extend(one.type for one in made.record.outbox)
        return 0

    monkeypatch.setattr(runner, "finish", finish)
    monkeypatch.setattr(runner, "send_events", send_events)
    monkeypatch.setattr(pulumi.log, "warn", made.said.append)
    return made


def test_a_rollout_begins_once_the_routes_are_written_and_not_in_a_preview(cluster: Cluster) -> None:
    settings = stack()
    cluster.routes(0)
    cluster.run(settings, preview=True)
    assert cluster.store.read() is None

    cluster.run(settings)
    record = cluster.record
    assert (record.phase, record.target.version, record.from_.version) == (Phase.PENDING, NEW, OLD)
    assert record.vs_uids.keys() == {"shop"}
    assert cluster.store.read_routes(record.plan.routes).keys() == {"0", "1", "2", "back"}
    assert record.plan.envoys is not None
    assert record.plan.places["default"] == {"shop": (0,)}
    assert cluster.sent == [EventType.PENDING]


def test_a_second_run_leaves_the_record_as_it_is(cluster: Cluster) -> None:
    cluster.routes(0)
    cluster.run(stack())
    before = cluster.record
    cluster.run(stack())
    assert cluster.record == before


@pytest.mark.parametrize(
    "file",
    [stack({**EVERYBODY, "to": OLD}), stack(PLAIN), stack(ONLY_OLD, versions={OLD: version(1)})],
    ids=["rollout", "plain", "removed"],
)
def test_a_real_run_goes_back_before_anything_is_registered(cluster: Cluster, file: Settings) -> None:
    cluster.keep(progressing(stack()), 50)
    cluster.run(file, preview=True)
    assert (cluster.record.phase, cluster.weights) == (Phase.PROGRESSING, {OLD: 50, NEW: 50})

    found = cluster.run(file)
    assert (cluster.record.phase, cluster.weights) == (Phase.ABORTED, {OLD: 100})
    assert any("all requests go back to version-1" in warning.what for warning in found.warnings)
    assert found.routes_left == frozenset()


def test_a_preview_of_going_back_does_not_compare_the_routes(cluster: Cluster) -> None:
    cluster.keep(progressing(stack()), 50)
    cluster.run(stack(PLAIN), preview=True)
    assert cluster.registered.named("shop-routing-virtual-service").ignores == ("spec.http",)
    cluster.run(stack(PLAIN))
    assert cluster.registered.named("shop-routing-virtual-service").ignores == ()


def test_routes_that_change_beside_going_back_are_handed_back_to_pulumi(cluster: Cluster) -> None:
    cluster.keep(progressing(stack()), 50)
    cluster.run(stack({**PLAIN, "timeout": "9s"}))
    assert cluster.record.handed_back_at is not None


def test_routes_that_do_not_change_stay_the_rollouts_after_going_back(cluster: Cluster) -> None:
    cluster.keep(progressing(stack()), 50)
    cluster.run(stack(PLAIN))
    assert cluster.record.handed_back_at is None


def test_a_third_version_supersedes_and_begins_in_one_run(cluster: Cluster) -> None:
    cluster.keep(progressing(stack(onSupersede="abort")), 50)
    cluster.run(stack(THIRD, versions=THREE, onSupersede="abort"))
    record = cluster.record
    assert (record.phase, record.target.version, record.id) == (Phase.PENDING, "version-3", "shop-2")
    assert [bar.reason for bar in record.bars] == ["superseded by version-3"]
    assert {EventType.SUPERSEDED, EventType.ABORTED, EventType.PENDING} <= {one.type for one in record.history}
    assert cluster.weights == {OLD: 100}


def test_after_the_last_step_going_back_waits_for_the_pods_of_the_previous_version(cluster: Cluster) -> None:
    cluster.keep(completed(stack()), 100)
    cluster.run(stack(PLAIN))
    assert (cluster.record.phase, cluster.weights) == (Phase.UNDONE, {OLD: 100})
    types = [one.type for one in cluster.record.history]
    assert types.index(EventType.UNDOING) < types.index(EventType.UNDONE)


def test_a_run_ends_an_undo_of_somebody_else(cluster: Cluster) -> None:
    kept = cluster.keep(completed(stack()), 100)
    stored = cluster.store.read()
    assert stored is not None
    going = undo(kept, "slow", "ann", stored.server_time).record
    assert going is not None
    cluster.store.write(going, stored.resource_version)
    cluster.run(stack())
    assert (cluster.record.phase, cluster.weights) == (Phase.UNDONE, {OLD: 100})


def test_a_run_ends_an_abort_that_has_written_no_routes(cluster: Cluster) -> None:
    kept = cluster.keep(progressing(stack()), 50)
    stored = cluster.store.read()
    assert stored is not None
    going = abort(kept, "it fails", "ann", stored.server_time).record
    assert going is not None
    cluster.store.write(going, stored.resource_version)
    cluster.run(stack())
    assert (cluster.record.phase, cluster.weights) == (Phase.ABORTED, {OLD: 100})


def test_a_way_back_whose_time_is_over_is_closed_by_the_run(cluster: Cluster) -> None:
    cluster.keep(completed(stack()), 100)  # the server's clock is hours later
    cluster.server.now += timedelta(hours=2)
    cluster.run(stack(ONLY_OLD | {"to": NEW}, versions={NEW: version(2)}))
    assert cluster.record.phase is Phase.CLOSED
    assert EventType.CLOSED in cluster.sent


def test_routes_of_a_rollout_that_ended_an_hour_ago_are_handed_back_in_a_preview_too(cluster: Cluster) -> None:
    cluster.keep(aborted(stack()), 0)
    cluster.run(stack(), preview=True)
    assert cluster.record.handed_back_at is None
    cluster.server.now += timedelta(hours=1)
    cluster.run(stack(), preview=True)
    assert cluster.record.handed_back_at is not None
    assert EventType.HANDED_BACK in cluster.sent


def test_without_the_right_to_hand_back_the_run_goes_on_and_names_who_can(cluster: Cluster) -> None:
    cluster.keep(aborted(stack()), 0)
    cluster.server.now += timedelta(hours=1)
    cluster.server.denies = lambda before, after: "no" if after.get("kind") == "VirtualService" else None
    cluster.run(stack(), preview=True)
    (said,) = [text for text in cluster.said if "handed back" in text]
    assert "run `canary up` with the rights" in said


def test_a_rollout_that_began_meanwhile_is_not_overwritten(cluster: Cluster) -> None:
    cluster.routes(0)

    def faster() -> None:
        uid = cluster.server.get("virtualservices", "shop", "shop")["metadata"]["uid"]
        cluster.store.create(progressing(stack(), vs_uids={"shop": uid}))

    with pytest.raises(Exception, match="is in a rollout to version-2"):
        cluster.run(stack(COHORT, EVERYBODY), until=faster)
    assert cluster.record.stage is Stage.OBSERVING


def test_the_route_changes_in_the_middle_of_a_rollout_if_a_person_says_so(
    cluster: Cluster,
) -> None:
    kept = cluster.keep(progressing(stack()), 50)
    file = stack({**EVERYBODY, "timeout": "9s"})
    token = during_rollout.set(frozenset({"shop"}))
    try:
        cluster.run(file)
    finally:
        during_rollout.reset(token)
    record = cluster.record
    assert (record.step, record.wanted, record.plan.steps) == (kept.step, kept.wanted, kept.plan.steps)
    assert record.plan.routes != kept.plan.routes
    assert record.outbox[-1].type is EventType.ROUTES_CHANGED
    assert cluster.store.read_routes(record.plan.routes)["2"]["shop"][0]["timeout"] == "9s"


def test_a_record_of_virtual_services_that_are_gone_is_told_before_the_next_one_begins(cluster: Cluster) -> None:
    cluster.routes(0)
    cluster.store.create(progressing(stack(), vs_uids={"shop": "of-one-that-was-deleted"}))
    cluster.run(stack())
    record = cluster.record
    assert (record.phase, record.void_since) == (Phase.PENDING, None)
    assert [event.type for event in record.outbox][-2:] == [EventType.RECORD_VOID, EventType.PENDING]


def test_an_abort_that_cannot_be_written_ends_the_run(cluster: Cluster) -> None:
    cluster.keep(progressing(stack()), 50)
    cluster.server.denies = lambda before, after: "no" if "record" in (after.get("data") or {}) else None
    with pytest.raises(RolloutRunError):
        cluster.run(stack(PLAIN))
    assert cluster.weights == {OLD: 100}, "the routes are back"


def test_stored_routes_that_somebody_deleted_are_written_again(cluster: Cluster) -> None:
    kept = cluster.keep(progressing(stack()), 50)
    routes = cluster.store.read_routes(kept.plan.routes)
    cluster.store.delete_routes()
    cluster.run(stack(), preview=True)
    with pytest.raises(StoredRoutesError):
        cluster.store.read_routes(kept.plan.routes)
    cluster.run(stack())
    assert cluster.store.read_routes(kept.plan.routes) == routes
