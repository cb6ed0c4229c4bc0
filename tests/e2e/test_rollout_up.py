"""What an `up` does while a service is rolled out, by what its record says and what the file says, on a real cluster.

The program is run by plain `pulumi preview` and `pulumi up`. The rollout's own steps are written as a runner writes
them (`rollout.acting`), without its waiting. tests/e2e/test_route_ownership.py has what provider and API server do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client

from kube import kubeconfig
from rollout.acting import act, hand_back
from rollout.decision import PULUMI, Decision, next_record
from rollout.record import FIELD_MANAGER, NOT_STARTED, Phase, Record, Stage
from rollout.routes import RouteInCluster, owners_of_http, read_routes_in_cluster, write_http
from rollout.store import RolloutStore
from rollout.verbs import abort
from stacks.rollout_plans import http_of
from stacks.settings.loading import load_stack
from tests.e2e.tools import CHECKOUT, LONG, Access, Completed, Project, service

STACK, NAME, NAMESPACE, HOST = "rolled", "up-shop", "up-rolled", "up-rolled.example"
OLD, NEW, NEXT = "version-1", "version-2", "version-3"
STEPS = [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "10m"}, {"weight": 100}]
ROLLED = {"to": NEW, "rollout": "careful", "timeout": "5s"}
ONLY_OLD = {"to": OLD, "timeout": "5s"}
BOTH, ALL = (OLD, NEW), (OLD, NEW, NEXT)
BY = "test"


@dataclass
class Shop:
    """The stack with one service, and whoever moves its rollout."""

    project: Project
    client: Client

    def file(self, *rules: dict[str, Any], versions: tuple[str, ...] = BOTH, text: str = "", **strategy: Any) -> Path:
        """Write the stack's file, and return it; `text` changes the pods of the new version."""
        given = service(NAME, host=HOST, namespace=NAMESPACE, route=list(rules), versions=versions)
        if text:
            given[NAME]["versions"][NEW]["args"] = ["-listen=:5678", f"-text={text}"]
        config = self.project.service_config(given)
        config["istio-canary:rollouts"] = {"careful": {"steps": STEPS, **strategy}}
        return self.project.write_stack(STACK, config)

    def up(self, *, succeeds: bool = True, **env: str) -> Completed:
        words = ("up", "--stack", STACK, "--yes", "--skip-preview")
        return self.project.pulumi(*words, succeeds=succeeds, env=env)

    def preview(self, *, succeeds: bool = True) -> Completed:
        return self.project.pulumi("preview", "--stack", STACK, succeeds=succeeds)

    def move(self, step: int, **changes: Any) -> Record:
        """Write a step, as a runner does."""

        def decide(record: Record, now: str) -> Decision:
            given = {"phase": Phase.PROGRESSING, "stage": Stage.OBSERVING, "started_at": record.started_at or now}
            wanted = {"step": step, "wanted": record.plan.steps[step].weights}
            written = next_record(record, now, BY, routes=True, **(given | wanted | changes))
            return Decision(why="a step", record=written, write_routes="step", annotation=written.annotation)

        return act(self.client, NAMESPACE, NAME, decide, by=BY).stored.record

    def complete(self) -> Record:
        """Write the last step."""
        return self.move(len(STEPS) - 1, phase=Phase.COMPLETED, stage=None, ended_at=self.store_time)

    def change(self, **changes: Any) -> None:
        """Write the record alone."""
        stored = self.store.read()
        assert stored is not None
        self.store.write(next_record(stored.record, stored.server_time, BY, **changes), stored.resource_version)

    def abort(self, *, routes: bool = True) -> None:
        """Abort; without `routes` as if it were killed after the record was written."""
        if routes:
            act(self.client, NAMESPACE, NAME, lambda record, now: abort(record, "it fails", BY, now), by=BY)
            self.change(phase=Phase.ABORTED, ended_at=self.store_time)
            return
        stored = self.store.read()
        assert stored is not None
        decided = abort(stored.record, "it fails", BY, stored.server_time).record
        assert decided is not None
        self.store.write(decided, stored.resource_version)

    @property
    def store(self) -> RolloutStore:
        return RolloutStore(self.client, NAMESPACE, NAME)

    @property
    def store_time(self) -> str:
        store = self.store
        store.read()
        return store.server_time

    @property
    def record(self) -> Record:
        stored = self.store.read()
        assert stored is not None, "there is no record"
        return stored.record

    @property
    def live(self) -> RouteInCluster:
        return read_routes_in_cluster(self.client, NAMESPACE, [NAME])[NAME]

    @property
    def weights(self) -> dict[str, int]:
        """The weights of the default rule in the cluster."""
        routes = self.live.http[-1]["route"]
        return {route["destination"]["subset"]: route.get("weight", 100) for route in routes}

    @property
    def owners(self) -> set[str]:
        """The owners of http; Pulumi's without its random end."""
        return {PULUMI if one.startswith(PULUMI) else one for one in owners_of_http(self.live.found)}

    def versions(self) -> set[str]:
        """The versions that have a Deployment."""
        found = self.project.cluster.get("deployments", "--namespace", NAMESPACE)["items"]
        return {item["metadata"]["name"].removeprefix(f"{NAME}-") for item in found}

    def reset(self) -> None:
        """All requests at the old version, both versions there, nothing known of any rollout."""
        kubectl = self.project.cluster.kubectl
        for label in ("istio-canary/rollout", "istio-canary/rollout-of"):
            kubectl("delete", "configmap", "--namespace", NAMESPACE, "--selector", f"{label}={NAME}")
        # The provider writes nothing if the file says what its state says.
        settings = load_stack(self.file({"to": {OLD: 100, NEW: 0}, "timeout": "5s"})).settings
        write_http(self.client, NAMESPACE, NAME, http_of(settings, NAME)[NAME], f"{NAME}-0/0", None)
        hand_back(self.client, NAMESPACE, NAME, BY)
        self.up()
        assert self.weights == {OLD: 100}


@pytest.fixture(scope="module")
def stack(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The service in the existing mesh, by an `up`."""
    project = Project.create(tmp_path_factory.mktemp("rolled"), mesh.cluster)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")  # which the language host finds through Pulumi.yaml
    with kubeconfig.client(kubeconfig.choose(Access(str(mesh.cluster.layout.kubeconfig)))) as client:
        shop = Shop(project, client)
        shop.file(ONLY_OLD, versions=(OLD,))
        project.pulumi("stack", "init", STACK)
        shop.up()
        yield shop
        project.pulumi("destroy", "--stack", STACK, "--yes", "--skip-preview")


@pytest.fixture
def shop(stack: Shop) -> Shop:
    """The service before a rollout."""
    stack.reset()
    return stack


@pytest.fixture
def rolled(shop: Shop) -> Shop:
    """The service with a rollout that waits for its start."""
    shop.file(ROLLED)
    shop.up()
    return shop


def test_an_up_with_a_new_version_moves_nothing_and_writes_the_record_once_the_routes_are_written(shop: Shop) -> None:
    shop.file(ROLLED)
    assert "canary rollout start" in shop.preview().stdout
    assert shop.store.read() is None, "a preview writes nothing"

    assert "canary rollout start" in shop.up().stdout
    record = shop.record
    assert (record.phase, record.step, shop.weights) == (Phase.PENDING, NOT_STARTED, {OLD: 100})
    assert record.vs_uids == {NAME: shop.live.uid}
    assert (record.from_.version, record.from_.ready_pods, record.target.version) == (OLD, 1, NEW)
    assert record.from_.image_ids
    assert set(shop.store.read_routes(record.plan.routes)) == {"0", "1", "2", "back"}

    shop.up()
    assert shop.record == record, "nothing has changed"


def test_in_each_step_preview_and_up_agree_with_the_rollout(rolled: Shop) -> None:
    for step, weight in ((0, 10), (1, 50)) if LONG else ((1, 50),):
        rolled.move(step)
        before = rolled.live
        rolled.preview()
        rolled.up()
        after = rolled.live
        assert rolled.weights == {OLD: 100 - weight, NEW: weight}
        assert (after.http, after.annotation) == (before.http, before.annotation)
        assert rolled.store.read_routes(rolled.record.plan.routes)[str(step)][NAME] == after.http
        assert "unchanged" in rolled.up().stdout


@pytest.mark.long
def test_the_route_is_frozen_in_a_step(rolled: Shop) -> None:
    rolled.move(1)
    rolled.file({**ROLLED, "timeout": "6s"})
    for run in (rolled.preview, rolled.up):
        done = run(succeeds=False)
        assert "up-shop is in a rollout" in done.stdout + done.stderr
        assert "step 2 of 3" in done.stdout + done.stderr
    assert rolled.weights == {OLD: 50, NEW: 50}


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(False, id="an up in between: no"),
        pytest.param(True, id="an up in between: yes", marks=pytest.mark.long),
    ],
)
def test_a_git_revert_goes_back_first_and_then_removes_the_new_version(rolled: Shop, seen: bool) -> None:
    rolled.move(0)
    if seen:
        rolled.up()  # the state knows the step
        rolled.move(1)
    rolled.file(ONLY_OLD, versions=(OLD,))
    preview = rolled.preview()
    assert "all requests go back to version-1" in preview.stdout + preview.stderr
    assert rolled.record.phase is Phase.PROGRESSING, "a preview writes nothing"

    rolled.up()
    assert (rolled.record.phase, rolled.weights, rolled.versions()) == (Phase.ABORTED, {OLD: 100}, {OLD})


@pytest.mark.long
def test_from_again_goes_back_and_a_changed_route_comes_with_it(rolled: Shop) -> None:
    rolled.move(1)
    rolled.file({**ROLLED, "to": OLD, "timeout": "7s"})
    rolled.preview()
    rolled.up()
    assert (rolled.record.phase, rolled.weights) == (Phase.ABORTED, {OLD: 100})
    assert rolled.live.http[-1]["timeout"] == "7s"


@pytest.mark.long
def test_an_up_ends_an_abort_that_was_killed_before_the_routes(rolled: Shop) -> None:
    rolled.move(1)
    rolled.up()
    rolled.abort(routes=False)
    rolled.preview()
    assert rolled.weights == {OLD: 50, NEW: 50}
    rolled.up()
    assert (rolled.record.phase, rolled.weights) == (Phase.ABORTED, {OLD: 100})


@pytest.mark.long
def test_an_aborted_release_stays_away_and_another_template_of_its_name_begins_anew(rolled: Shop) -> None:
    rolled.move(1)
    rolled.abort()
    done = rolled.up()
    assert "canary rollout retry" in done.stdout + done.stderr
    assert rolled.weights == {OLD: 100}

    rolled.file(ROLLED, text="repaired")
    rolled.up()
    record = rolled.record
    assert (record.phase, record.id, rolled.weights) == (Phase.PENDING, "up-shop-2", {OLD: 100})
    assert [bar.version for bar in record.bars] == [NEW]

    rolled.file({"to": {OLD: 90, NEW: 10}, "timeout": "5s"})
    done = rolled.up(succeeds=False)
    assert "aborted" in done.stdout + done.stderr
    assert rolled.weights == {OLD: 100}


@pytest.mark.long
def test_a_third_version_is_refused_or_supersedes(shop: Shop) -> None:
    shop.file(ROLLED)
    shop.up()
    shop.move(1)
    shop.file({**ROLLED, "to": NEXT}, versions=ALL)
    done = shop.up(succeeds=False)
    assert "onSupersede" in done.stdout + done.stderr
    assert shop.weights == {OLD: 50, NEW: 50}


@pytest.mark.long
def test_a_third_version_supersedes_if_the_strategy_says_so(shop: Shop) -> None:
    shop.file(ROLLED, onSupersede="abort")
    shop.up()
    shop.move(1)
    shop.file({**ROLLED, "to": NEXT}, versions=ALL, onSupersede="abort")
    shop.preview()
    shop.up()
    record = shop.record
    assert (record.phase, record.target.version, shop.weights) == (Phase.PENDING, NEXT, {OLD: 100})
    assert [bar.version for bar in record.bars] == [NEW]
    shop.move(0)
    assert shop.weights == {OLD: 90, NEXT: 10}


@pytest.mark.long
def test_after_the_last_step_both_versions_stay_until_closed_and_then_a_second_rollout_begins(rolled: Shop) -> None:
    rolled.complete()
    rolled.up()
    assert rolled.weights == {NEW: 100}
    rolled.file({"to": NEW, "timeout": "5s"}, versions=(NEW,))
    done = rolled.up(succeeds=False)
    assert "the way back" in done.stdout + done.stderr

    rolled.change(phase=Phase.CLOSED, closed_at=rolled.store_time)
    rolled.file({**ROLLED, "to": NEXT}, versions=(NEW, NEXT))
    rolled.up()
    record = rolled.record
    assert (record.phase, record.from_.version, record.target.version) == (Phase.PENDING, NEW, NEXT)
    assert (rolled.weights, rolled.versions()) == ({NEW: 100}, {NEW, NEXT})


@pytest.mark.long
def test_a_record_that_cannot_be_read_is_refused(rolled: Shop) -> None:
    rolled.move(1)
    patch = '{"data": {"record": "{"}}'
    place = ("configmap", f"istio-canary-rollout-{NAME}", "--namespace", NAMESPACE)
    rolled.project.cluster.kubectl("patch", *place, "--type=merge", f"--patch={patch}")
    for rule, versions in ((ROLLED, BOTH), (ONLY_OLD, (OLD,))):
        rolled.file(rule, versions=versions)
        done = rolled.up(succeeds=False)
        assert "cannot be read" in done.stdout + done.stderr
    assert rolled.weights == {OLD: 50, NEW: 50}


@pytest.mark.long
def test_a_record_that_was_deleted_by_hand_keeps_the_weights(rolled: Shop) -> None:
    rolled.move(1)
    rolled.project.cluster.kubectl("delete", "configmap", f"istio-canary-rollout-{NAME}", "--namespace", NAMESPACE)
    rolled.up()
    record = rolled.record
    assert (record.phase, record.id, rolled.weights) == (Phase.PENDING, "up-shop-2", {OLD: 50, NEW: 50})
    assert record.plan.back["default"][OLD] == 100


@pytest.mark.long
def test_forced_patches_are_refused(rolled: Shop) -> None:
    done = rolled.up(succeeds=False, PULUMI_K8S_ENABLE_PATCH_FORCE="true")
    assert "unset PULUMI_K8S_ENABLE_PATCH_FORCE" in done.stdout + done.stderr


@pytest.mark.long
def test_a_new_cohort_begins_where_its_requests_are(shop: Shop) -> None:
    cohort = {**ROLLED, "match": [{"headers": {"x-plan": {"exact": "beta"}}}]}
    shop.file(cohort, ROLLED)
    shop.up()
    assert [entry["route"][0]["destination"]["subset"] for entry in shop.live.http] == [OLD, OLD]
    shop.move(1)
    shop.up()
    assert [len(entry["route"]) for entry in shop.live.http] == [2, 1]


@pytest.mark.long
def test_after_the_end_the_rollout_owns_the_routes_until_they_are_handed_back(rolled: Shop) -> None:
    rolled.move(1)
    rolled.abort()
    assert FIELD_MANAGER in rolled.owners
    rolled.up()
    assert hand_back(rolled.client, NAMESPACE, NAME, BY)
    assert rolled.owners == {PULUMI}
    rolled.file({**ROLLED, "timeout": "8s"})
    rolled.up()
    assert (rolled.weights, rolled.live.http[-1]["timeout"]) == ({OLD: 100}, "8s")
