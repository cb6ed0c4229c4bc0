"""What a preview says of the strategies of the services that change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from canary.engine.events import ResourceStep
from canary.strategy_notes import DEPLOYMENT, strategy_notes
from stacks.settings.loading import load
from traffic.render import virtual_services

VERSIONS = {name: {"image": "shop:1", "port": 8080} for name in ("one", "two")}


def notes(old: dict[str, Any], new: dict[str, Any], version: str = "one") -> list[str]:
    """The notes on a change of the service's settings: of its VirtualService and the Deployment of a version."""
    states = []
    for given in (old, new):
        service = {"hosts": ["*"], "versions": copy.deepcopy(VERSIONS), **given}
        settings = load({"services": {"shop": service}})
        spec = virtual_services(settings.services, "shop", gateway_namespace="istio-ingress")["shop"]
        deployed = settings.services["shop"].deployed[version]
        template = {"spec": {"containers": [{"image": deployed.image}]}}
        states.append((settings, spec, deployed, template))
    (_, old_spec, old_version, old_template), (settings, spec, deployed, template) = states
    metadata = {"namespace": "shop", "name": deployed.name, "labels": {"app": "shop"}}
    route_type = "kubernetes:networking.istio.io/v1:VirtualService"
    route_step = _step(route_type, {"metadata": metadata, "spec": old_spec}, {"metadata": metadata, "spec": spec})
    pods = [
        {"metadata": metadata, "spec": {"replicas": one.replicas, "template": pods}}
        for one, pods in ((old_version, old_template), (deployed, template))
    ]
    return strategy_notes(settings, [route_step, _step(DEPLOYMENT, *pods)], "dev")


def _step(type_: str, old: dict[str, Any], new: dict[str, Any]) -> ResourceStep:
    op = "same" if old == new else "update"
    return ResourceStep(f"urn:pulumi:dev::p::{type_}::x", type_, op, "done", old, new)


def weights(one: int) -> dict[str, Any]:
    return {"route": [{"to": {"one": one, "two": 100 - one}}]}


def image(strategy: Any, tag: int, **more: Any) -> dict[str, Any]:
    versions = copy.deepcopy(VERSIONS)
    versions["one"] |= {"image": f"shop:{tag}", **more}
    return {"strategy": strategy, "versions": versions, **weights(50)}


def cohort(to: dict[str, int]) -> dict[str, Any]:
    """A rule of its own for one header's value, before the one for everybody, at version one."""
    return {"route": [{"match": [{"headers": {"group": {"exact": "beta"}}}], "to": to}, {"to": {"one": 100, "two": 0}}]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (weights(90), weights(90), []),
        (weights(90), weights(50), ["shop: requests move; `canary undo shop --stack dev` goes back"]),
        (
            {"strategy": {"blueGreen": {"active": "one"}}},
            {"strategy": {"blueGreen": {"active": "two"}}},
            ["shop: two is active (blueGreen); `canary undo shop --stack dev` goes back"],
        ),
        (
            image("recreate", 1),
            image("recreate", 2),
            ["shop/one: all pods are deleted before new ones start; requests to it fail until then (Recreate)"],
        ),
        (
            image({"ramped": {"maxUnavailable": "25%", "minReadySeconds": 5}}, 1),
            image({"ramped": {"maxUnavailable": "25%", "minReadySeconds": 5}}, 2),
            [
                "shop/one: its pods are replaced a few at a time "
                "(RollingUpdate, maxSurge 1, maxUnavailable 25%, minReadySeconds 5)"
            ],
        ),
        (image("ramped", 1), image("ramped", 1, replicas=3), []),
        (weights(90), {"route": [{"timeout": "2s", "to": {"one": 90, "two": 10}}]}, []),
        ({"route": [{"to": {"one": 100, "two": 0}}]}, cohort({"one": 100, "two": 0}), []),
        (cohort({"one": 100, "two": 0}), {"route": [{"to": {"one": 100, "two": 0}}]}, []),
        (
            {"route": [{"to": {"one": 100, "two": 0}}]},
            cohort({"one": 50, "two": 50}),
            ["shop: requests move; `canary undo shop --stack dev` goes back"],
        ),
    ],
    ids=["nothing", "weights", "a switch", "recreate", "ramped", "replicas", "a timeout",
         "a rule", "no rule", "a cohort"],
)  # fmt: skip
def test_a_line_says_what_the_strategy_means_for_a_change(
    old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    assert notes(old, new) == expected


@pytest.mark.parametrize(
    ("count", "takes", "expected"),
    [
        ({"replicas": 3}, True, "shop/one: its number of pods is set to 3 again, whatever it is now"),
        ({"replicas": None}, False, "shop/one: its number of pods is left as it is (not managed)"),
        (
            {"autoscaling": {"minReplicas": 2, "maxReplicas": 5, "cpu": 70}},
            False,
            "shop/one: its number of pods is left as it is (autoscaling, 2 to 5)",
        ),
    ],
    ids=str,
)
def test_a_line_says_who_decides_about_the_pods_from_now_on(count: dict[str, Any], takes: bool, expected: str) -> None:
    versions = copy.deepcopy(VERSIONS)
    versions["one"] |= count
    settings = load({"services": {"shop": {"hosts": ["*"], "versions": versions, **weights(50)}}})
    plain = {"namespace": "shop", "name": "shop-one"}
    marked = {**plain, "annotations": {"pulumi.com/patchForce": "true"}}
    old, new = ({"metadata": metadata, "spec": {}} for metadata in ((plain, marked) if takes else (marked, plain)))

    assert strategy_notes(settings, [_step(DEPLOYMENT, old, new)], "dev") == [expected]


def rolled(weight: int, **testers: Any) -> dict[str, Any]:
    """A rule for testers, and one that the program renders at a rollout's weight."""
    route = [{"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": {"one": 100}, **testers}, {"to": weight}]
    return {"route": [route[0], {"to": {"one": 100 - weight, "two": weight}}]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (rolled(10), rolled(50), "the rollout did this: the weights are in the cluster already, and no request moves"),
        (rolled(10), rolled(10, to={"two": 100}), "requests move; `canary undo shop --stack dev` goes back"),
        (rolled(10), rolled(50, to={"two": 100}), "requests move; `canary undo shop --stack dev` goes back"),
    ],
    ids=["of the rollout", "of another rule", "of both"],
)
def test_weights_that_a_rollout_has_written_are_told_from_those_that_move(
    old: dict[str, Any], new: dict[str, Any], expected: str
) -> None:
    """The settings have the rollout; what the program renders has the weights that it wants."""
    specs = []
    for given in (old, new):
        service = {"hosts": ["*"], "versions": copy.deepcopy(VERSIONS), **given}
        routes = load({"services": {"shop": service}}).services
        specs.append(virtual_services(routes, "shop", gateway_namespace="istio-ingress")["shop"])
    rollout = {"to": "two", "from": "one", "rollout": {"steps": [{"weight": 10, "for": "1m"}, {"weight": 100}]}}
    file = {"hosts": ["*"], "versions": copy.deepcopy(VERSIONS), "route": [new["route"][0], rollout]}
    settings = load({"services": {"shop": file}})
    metadata = {"namespace": "shop", "name": "shop", "labels": {"app": "shop"}}
    old_side, new_side = ({"metadata": metadata, "spec": spec} for spec in specs)
    step = _step("kubernetes:networking.istio.io/v1:VirtualService", old_side, new_side)
    assert strategy_notes(settings, [step], "dev")[0] == f"shop: {expected}"
