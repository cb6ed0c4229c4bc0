"""Whether an Envoy's routes are those of a VirtualService, by its config dump."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.envoy_routes import config_name, follows, wanted_routes

HOST = "website.shop.svc.cluster.local"
CONFIG = config_name("shop", "website")
TESTERS = {"match": [{"headers": {"qa": {"exact": "x"}}}], "route": [{"destination": {"host": HOST, "subset": "v2"}}]}


def split(v2: int, *, match: Any = None) -> dict[str, Any]:
    """An http route with weights."""
    found: dict[str, Any] = {} if match is None else {"match": match}
    if v2 in (0, 100):
        return {**found, "route": [{"destination": {"host": HOST, "subset": "v2" if v2 else "v1"}}]}
    shares = {"v1": 100 - v2, "v2": v2}
    return {
        **found,
        "route": [{"destination": {"host": HOST, "subset": name}, "weight": weight} for name, weight in shares.items()],
    }


def cluster(subset: str) -> str:
    return f"outbound|80|{subset}|{HOST}"


def envoy(v2: int, *headers: str, config: str = CONFIG, scale: int = 1) -> dict[str, Any]:
    """An Envoy's route with this weight of v2; Envoy may have any sum of weights."""
    if v2 in (0, 100):
        action: dict[str, Any] = {"cluster": cluster("v2" if v2 else "v1")}
    else:
        shares = {"v1": 100 - v2, "v2": v2}
        named = [{"name": cluster(name), "weight": weight * scale} for name, weight in shares.items()]
        action = {"weighted_clusters": {"clusters": named}}
    return {
        "match": {"prefix": "/", "headers": [{"name": name} for name in headers]},
        "route": action,
        "metadata": {"filter_metadata": {"istio": {"config": config}}},
    }


def dump(*routes: dict[str, Any]) -> dict[str, Any]:
    return {"configs": [{"route_config": {"virtual_hosts": [{"name": "website:80", "routes": list(routes)}]}}]}


COHORT = [{"headers": {"x-plan": {"exact": "beta"}}}]


@pytest.mark.parametrize(
    ("http", "answer", "expected"),
    [
        ([split(10)], dump(envoy(10)), True),
        ([split(10)], dump(envoy(10, scale=1000)), True),
        ([split(10)], dump(envoy(0)), False),
        ([split(10)], dump(envoy(30)), False),
        ([split(100)], dump(envoy(100)), True),
        ([split(0)], dump(envoy(10)), False),
        ([TESTERS, split(10)], dump(envoy(100, "qa"), envoy(10)), True),
        ([TESTERS, split(10)], dump(envoy(100, "qa"), envoy(0)), False),
        ([TESTERS, split(100)], dump(envoy(100, "qa"), envoy(0)), False),
        # The cohort's old weights are those that everybody else has now.
        ([split(50, match=COHORT), split(10)], dump(envoy(10, "X-Plan"), envoy(10)), False),
        ([split(50, match=COHORT), split(10)], dump(envoy(50, "x-plan"), envoy(10)), True),
        # Only at this listener is the cohort not served.
        ([split(50, match=COHORT), split(10)], dump(envoy(10)), True),
        # istiod makes two routes of one.
        ([split(10)], dump(envoy(10), envoy(10)), True),
        ([split(10)], dump(envoy(10), envoy(0)), False),
        ([split(10)], dump(), True),
        ([split(10)], dump(envoy(0, config=config_name("shop", "other"))), True),
        ([split(10)], {}, True),
    ],
)
def test_an_envoy_follows_when_all_its_routes_are_those_of_the_virtual_service(
    http: list[dict[str, Any]], answer: dict[str, Any], expected: bool
) -> None:
    assert follows(answer, CONFIG, wanted_routes(http, "shop")) is expected


def test_a_short_host_is_that_of_the_namespace() -> None:
    short = {"route": [{"destination": {"host": "website", "subset": "v1"}}]}
    assert follows(dump(envoy(0)), CONFIG, wanted_routes([short], "shop"))


def test_a_redirect_has_no_destination() -> None:
    redirect = {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/"}}
    route = {**envoy(0), "route": None, "redirect": {"path_redirect": "/"}}
    assert follows(dump(route, envoy(10)), CONFIG, wanted_routes([redirect, split(10)], "shop"))
