"""The objects and the version of Argo Rollouts that the benchmark runs; the controller itself is not run here."""

from __future__ import annotations

import pytest

from benchmarks import echo_objects
from benchmarks.argo_rollouts.build import MODULE
from benchmarks.argo_rollouts.peer import ArgoRollouts
from benchmarks.echo_objects import Object
from benchmarks.rollout_peers import CANARY, STABLE, PeerError
from sandbox.layout import layout
from tests.unit.istio_crds import check

PEER = ArgoRollouts(layout())


def _routing() -> dict[str, Object]:
    objects = echo_objects.routing("shop", "shop.example.com", {STABLE: {"app": "x"}, CANARY: {"app": "x"}})
    return {each["kind"]: each for each in objects}


def test_istios_crds_accept_the_objects_of_the_peers() -> None:
    for kind, each in _routing().items():
        if kind != "Service":
            check(each)


def test_the_stable_version_gets_all_requests_at_the_start() -> None:
    (route,) = _routing()["VirtualService"]["spec"]["http"]
    assert [(each["destination"]["subset"], each["weight"]) for each in route["route"]] == [(STABLE, 100), (CANARY, 0)]


def test_the_rollout_names_the_route_and_the_subsets_that_are_there() -> None:
    istio = PEER.rollout()["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]
    objects = _routing()
    (route,) = objects["VirtualService"]["spec"]["http"]
    named = istio["virtualService"], istio["destinationRule"]
    assert [each["name"] for each in named] == [
        objects[kind]["metadata"]["name"] for kind in ("VirtualService", "DestinationRule")
    ]
    assert named[0]["routes"] == [route["name"]]
    subsets = [each["name"] for each in objects["DestinationRule"]["spec"]["subsets"]]
    assert [named[1]["stableSubsetName"], named[1]["canarySubsetName"]] == subsets


def test_the_rollout_waits_with_the_canarys_pods_before_its_weight() -> None:
    steps = PEER.rollout()["spec"]["strategy"]["canary"]["steps"]
    assert [list(step) for step in steps[:3]] == [["setCanaryScale"], ["pause"], ["setWeight"]]


def test_a_step_that_the_rollout_does_not_have_is_refused() -> None:
    with pytest.raises(PeerError, match="a step to 50 %, none to 20 %"):
        PEER.step(20)


def test_both_ways_to_run_the_plugin_have_their_own_namespace() -> None:
    assert len({ArgoRollouts(layout(), by_kubectl=each).namespace for each in (True, False)}) == 2


def test_the_version_that_is_built_and_reported_is_the_one_in_go_mod() -> None:
    assert MODULE.version == "v1.10.1"
    assert "utils/version.version=1.10.1" in MODULE.linker_flags
