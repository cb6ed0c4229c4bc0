"""Differential test of the simulator and Envoy: the same routes and requests, and every answer compared.

A longer run with other seeds: python -m tests.differential --pairs 20000 --seed 7
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.differential.cases import Case, generate
from tests.differential.cluster import Cluster
from tests.differential.expected import Expected, expected_of
from tests.differential.run import Differential, Expect
from tests.differential.wire import WireRequest
from tests.e2e.tools import Project
from traffic.model import Route, RouteTable

TABLES, REQUESTS = 120, 22
SEED = 6
OTHER_SEEDS = range(100, 108)
LEAST = {
    "Forwarded": 400, "Redirected": 50, "Answered": 50, "Refused": 50, "inside the mesh": 100, "aborted": 5, "late": 1,
    "several requests": 20, "sticks": 2, "CORS": 10,
}  # fmt: skip
"""Minimum number of requests of each kind, so that the comparison is meaningful."""


@pytest.fixture(scope="module")
def place(mesh: Project) -> Iterator[Cluster]:
    """Services, callers and a gateway shared by all route tables."""
    with Cluster.prepared(mesh.cluster.layout.kubeconfig) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Route tables with requests, from a fixed seed."""
    return generate(TABLES, REQUESTS, SEED)


def test_simulator_and_envoy_agree_on_at_least_2000_requests(place: Cluster, cases: list[Case]) -> None:
    differential = Differential(place)
    for batch in (cases[: TABLES // 2], cases[TABLES // 2 :]):
        found = differential.check(batch)
        if found:
            smallest = differential.shrink(found[0]).report(place.client.gateway)
            pytest.fail(f"simulator and Envoy differ on {len(found)} requests, such as:\n\n{smallest}")
    assert differential.pairs >= 2000
    for kind, least in LEAST.items():
        assert differential.kinds[kind] >= least, f"too few requests of kind {kind}: {differential.kinds}"


@pytest.mark.long
@pytest.mark.parametrize("seed", OTHER_SEEDS)
def test_they_agree_on_other_route_tables_too(place: Cluster, seed: int) -> None:
    differential = Differential(place)
    assert [one.report(place.client.gateway) for one in differential.check(generate(TABLES, REQUESTS, seed))] == []
    assert differential.pairs >= 2000


def ignoring_case(route: Route) -> Route:
    """A mistake: paths are matched case-insensitively."""
    return tuple(
        rule.model_copy(
            update={"match": tuple(match.model_copy(update={"ignore_uri_case": True}) for match in rule.match)}
        )
        for rule in route
    )


def reversed_rules(route: Route) -> Route:
    """A mistake: the rules are in reverse order."""
    return route[::-1]


def ignoring_weights(route: Route) -> Route:
    """A mistake: every request goes to the first destination."""
    return tuple(rule.model_copy(update={"to": next(iter(rule.weights))}) if rule.weights else rule for rule in route)


def with_mistake(mistake: Callable[[Route], Route]) -> Expect:
    """A simulator with the mistake."""

    def expect(table: RouteTable, request: WireRequest) -> Expected:
        wrong = {name: one.model_copy(update={"route": mistake(one.route)}) for name, one in table.items()}
        return expected_of(wrong, request)

    return expect


@pytest.mark.parametrize(
    "mistake",
    [ignoring_case, *(pytest.param(one, marks=pytest.mark.long) for one in (reversed_rules, ignoring_weights))],
)
def test_a_simulator_with_a_mistake_is_detected(
    place: Cluster, cases: list[Case], mistake: Callable[[Route], Route]
) -> None:
    differential = Differential(place, with_mistake(mistake), patience=0.5)
    assert differential.check(cases[: TABLES // 2]), "the comparison cannot fail"


@pytest.mark.long
def test_a_counterexample_is_minimized(place: Cluster, cases: list[Case]) -> None:
    differential = Differential(place, with_mistake(ignoring_case), patience=0.5)
    found = next(one for one in differential.check(cases[: TABLES // 2]) if not one.case.requests[0].by_dns_name)
    smallest = differential.shrink(found)
    report = smallest.report(place.client.gateway)
    assert smallest.differences, report
    assert sum(len(service["route"]) for service in smallest.case.table.values()) <= 2, report
    assert not smallest.case.requests[0].headers, report
