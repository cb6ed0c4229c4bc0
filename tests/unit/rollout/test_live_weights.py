"""Where the requests of each rule go now, read from the VirtualServices as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.live_weights import live_weights
from rollout.routes_of_steps import http_routes
from rollout.schedule import rule_key
from tests.unit.route_tables import table
from traffic.model import RouteTable, Rule

TESTERS = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": "version-2"}
BETA = {"match": [{"headers": {"x-plan": {"exact": "beta"}}}, {"uri": {"prefix": "/new"}}], "to": "version-2"}
EVERYBODY = {"to": "version-2"}
STICKY = {**EVERYBODY, "to": {"version-1": 50, "version-2": 50}, "sticky": {"cookie": "seen", "ttl": "1h"}}
MESH = {"gateways": ["shop-gateway", "mesh"]}
KEYS = [rule_key(Rule.model_validate(rule)) for rule in (TESTERS, BETA, EVERYBODY)]


def routes(*rules: dict[str, Any], **keys: Any) -> RouteTable:
    return table(shop={"route": list(rules), **keys})


def seen(file: RouteTable, live: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What is read for the route of `file`, without versions at 0."""
    found = live_weights(file, "shop", live, gateway_namespace="istio-ingress")
    return {key: {name: one for name, one in given.items() if one} for key, given in found.items()}


def rendered(given: RouteTable, weights: dict[str, dict[str, float]] | None = None) -> dict[str, Any]:
    return dict(http_routes(given, "shop", weights or {}, gateway_namespace="istio-ingress"))


@given(new=st.lists(st.integers(0, 100), min_size=3, max_size=3), in_mesh=st.booleans())
def test_what_is_rendered_is_read_back(new: list[int], in_mesh: bool) -> None:
    given = routes(TESTERS, BETA, EVERYBODY, **(MESH if in_mesh else {}))
    pairs = zip(KEYS, new, strict=True)
    weights = {key: {"version-1": 100.0 - one, "version-2": float(one)} for key, one in pairs}
    expected = {key: {name: one for name, one in pair.items() if one} for key, pair in weights.items()}
    assert seen(given, rendered(given, weights)) == expected


@pytest.mark.parametrize(
    ("file", "live", "expected"),
    [
        (routes(EVERYBODY), {}, {}),
        (routes(EVERYBODY), rendered(routes({"to": "version-1", "timeout": "9s"})), {"default": {"version-1": 100}}),
        (routes(BETA, EVERYBODY), rendered(routes({"to": "version-1"})), {"default": {"version-1": 100}}),
        (routes(BETA), rendered(routes({**BETA, "match": BETA["match"][::-1]}, {"to": "version-1"})),
         {KEYS[1]: {"version-2": 100}, "default": {"version-1": 100}}),
        (routes(STICKY), rendered(routes(STICKY)), {"default": {"version-1": 50, "version-2": 50}}),
        (routes(EVERYBODY), rendered(routes(STICKY)), {"default": {"version-1": 50, "version-2": 50}}),
        (routes(EVERYBODY), rendered(routes({"redirect": {"uri": "/closed"}})), {}),
        (routes(EVERYBODY), rendered(routes({"to": {"version-1": 1, "version-2": 999}})),
         {"default": {"version-1": 0.1, "version-2": 99.9}}),
        (routes(EVERYBODY, **MESH), rendered(routes({"to": "version-1"})), {"default": {"version-1": 100}}),
    ],
    ids=["nothing there", "other actions", "a new rule", "a rule that is gone, and matches in another order", "sticky",
         "no more sticky", "a redirect", "a small share", "the mesh is new"],
)  # fmt: skip
def test_a_rule_is_found_by_its_matches(file: RouteTable, live: dict[str, Any], expected: dict[str, Any]) -> None:
    assert seen(file, live) == expected
