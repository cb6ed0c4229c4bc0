"""The order in which an update changes subsets, routes and pods, and what it waits for in between."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes
from rollout.proxy_sync import ProxySync, ProxySyncTimeoutError
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from tests.unit.conftest import WEBSITE
from tests.unit.mocks import HookError, Run, run_program
from traffic.model import NOWHERE, Target

SUBSETS, ROUTES = "website-routing-destination-rule", "website-routing-virtual-service"
V1, V2, GONE = (Target("website", name) for name in ("version-1", "version-2", "version-0"))
SHARED = {V1: "90 %", V2: "10 %"}


def stack(weights: dict[str, int], **version_2: Any) -> dict[str, Any]:
    """The website with one rule of these weights."""
    values = copy.deepcopy(WEBSITE)
    website = values["services"]["website"]
    website["route"] = [{"to": weights}]
    website["versions"]["version-2"].update(version_2)
    return values


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the run waited for, in order."""
    calls: list[str] = []

    def record(what: str) -> Any:
        def wait(self: ProxySync, targets: Iterable[Target], **_: str) -> None:
            calls.append(f"{what} {', '.join(target.version for target in sorted(targets))}")

        return wait

    monkeypatch.setattr(ProxySync, "until_known", record("known"))
    monkeypatch.setattr(ProxySync, "until_unused", record("unused"))
    return calls


def run(values: dict[str, Any], applied: ObservedRoutes, preview: bool = False) -> Run:
    """Run the program for these settings in a cluster with these routes."""
    facts = ClusterFacts(uid="7b1f", routes=applied)
    return run_program(lambda: Environment(load(values), facts, "istio-canary/test").outputs, preview)


def applied(used: Iterable[Target], subsets: Iterable[Target]) -> ObservedRoutes:
    """A cluster with routes to these versions, and with these subsets."""
    return ObservedRoutes(subsets=frozenset(subsets), shares=dict.fromkeys(used, "some"), routed=frozenset({"website"}))


@pytest.mark.parametrize(
    ("values", "before", "waits"),
    [
        pytest.param(stack({"version-1": 50, "version-2": 50}), applied([V1, V2], [V1, V2]), [], id="only weights"),
        pytest.param(stack({"version-1": 90, "version-2": 10}), ObservedRoutes(), [], id="first deployment"),
        pytest.param(
            stack({"version-1": 90, "version-2": 10}), applied([V1], [V1]), ["known version-2"], id="a version is added"
        ),
        pytest.param(
            stack({"version-1": 90, "version-2": 10}),
            applied([V1, V2], [V1, V2, GONE]),
            ["unused version-0"],
            id="a version is removed",
        ),
        pytest.param(
            stack({"version-1": 100, "version-2": 0}, replicas=0),
            applied([V1, V2], [V1, V2]),
            ["unused version-2"],
            id="a version becomes idle",
        ),
    ],
)
def test_an_update_waits_for_the_envoys_if_versions_are_added_or_removed(
    waited: list[str], values: dict[str, Any], before: ObservedRoutes, waits: list[str]
) -> None:
    run(values, before)
    assert waited == waits


def test_a_preview_waits_for_nothing(waited: list[str]) -> None:
    run(stack({"version-1": 100, "version-2": 0}), applied([V1, V2], [V1, V2, GONE]), preview=True)
    assert waited == []


def dependencies(run: Run, name: str) -> set[str]:
    """Return the names of all that the engine finishes before this resource: what it, and its parent, depend on.

    The order of registration proves less: without any dependency it is the order of the program's lines.
    """
    by_urn = {resource.urn: resource for resource in run.resources}
    found: set[str] = set()
    pending = [run.named(name).urn]
    while pending:
        resource = by_urn[pending.pop()]
        needed = {urn for urn in (*resource.depends_on, resource.parent) if urn in by_urn}
        pending += needed - found
        found |= needed
    return {by_urn[urn].name for urn in found}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_pods_that_get_requests_come_before_the_routes_and_idle_ones_after(preview: bool) -> None:
    done = run(stack({"version-1": 100, "version-2": 0}), ObservedRoutes(), preview)
    assert "website-version-1" in dependencies(done, SUBSETS)
    assert {"website-version-1", SUBSETS} <= dependencies(done, ROUTES)
    assert ROUTES in dependencies(done, "website-version-2"), "it may shrink only after the routes have changed"
    assert "website-version-2" not in dependencies(done, ROUTES)


@pytest.mark.parametrize(
    ("values", "before", "method", "untouched"),
    [
        pytest.param(
            stack({"version-1": 90, "version-2": 10}), applied([V1], [V1]), "until_known", {ROUTES}, id="not known"
        ),
        pytest.param(
            stack({"version-1": 90, "version-2": 10}),
            applied([V1, V2], [V1, V2, GONE]),
            "until_unused",
            {SUBSETS, ROUTES},
            id="subset still used",
        ),
        pytest.param(
            stack({"version-1": 100, "version-2": 0}),
            applied([V1, V2], [V1, V2]),
            "until_unused",
            {"website-version-2"},
            id="pods still used",
        ),
    ],
)
def test_nothing_after_a_wait_is_changed_if_an_envoy_is_not_in_sync(
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    before: ObservedRoutes,
    method: str,
    untouched: set[str],
) -> None:
    def time_out(self: ProxySync, targets: Iterable[Target], **_: str) -> None:
        raise ProxySyncTimeoutError("istio-ingress/a is not in sync")

    monkeypatch.setattr(ProxySync, method, time_out)
    begun = Run()
    facts = ClusterFacts(uid="7b1f", routes=before)
    with pytest.raises(HookError, match="istio-ingress/a is not in sync"):
        run_program(lambda: Environment(load(values), facts, "istio-canary/test").outputs, False, begun)
    registered = {resource.name for resource in begun.resources}
    assert "website-version-1" in registered, "everything before the wait was done"
    assert not untouched & registered


def test_a_virtual_service_that_the_service_has_no_more_applies_nowhere_before_pods_are_taken_away(
    waited: list[str],
) -> None:
    """Pulumi deletes last: until then every Envoy would have the routes that the run waits for."""
    mesh = {"hosts": ["website"], "gateways": ["mesh"], "http": [{"name": "as it was"}]}
    before = replace(applied([V1, V2], [V1, V2]), virtual_services={"website": {"website": {}, "website-mesh": mesh}})
    done = run(stack({"version-1": 100, "version-2": 0}, replicas=0), before)

    former = done.named("website-routing-mesh-virtual-service")
    assert former.inputs["spec"] == {**mesh, "gateways": [NOWHERE]}
    assert ROUTES in dependencies(done, former.name)
    assert former.name in dependencies(done, "website-version-2")


def test_a_virtual_service_that_stays_is_written_as_it_is_rendered() -> None:
    before = replace(applied([V1], [V1]), virtual_services={"website": {"website": {"hosts": ["old.example"]}}})
    done = run(stack({"version-1": 100, "version-2": 0}), before)

    assert done.named(ROUTES).inputs["spec"]["gateways"] != [NOWHERE]


def test_a_virtual_service_that_the_service_has_no_more_is_deleted_at_once_if_nothing_waits_for_it() -> None:
    former = {"website": {"website-mesh": {"gateways": ["mesh"]}}}
    before = replace(applied([V1, V2], [V1, V2]), virtual_services=former)
    done = run(stack({"version-1": 50, "version-2": 50}), before)

    assert all(resource.name != "website-routing-mesh-virtual-service" for resource in done.resources)
