"""What a change of versions has to wait for, and which changes are refused, given the current routes."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes, is_out_of_effect, observed_routes, weights_of
from rollout.plan import Plan, plans
from stacks.cluster_facts import refuse_removal_in_use
from stacks.pod_counts import replicas_of
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError
from traffic.model import NOWHERE, Target

HOST = "shop.shop.svc.cluster.local"
V1, V2, V3 = (Target("shop", f"version-{number}") for number in (1, 2, 3))


def settings(route: list[dict[str, Any]], *versions: str, replicas: int = 1) -> Settings:
    """A stack with the service `shop` in these versions."""
    given = {version: {"image": "shop:1", "port": 8080, "replicas": replicas} for version in versions}
    return load({"services": {"shop": {"hosts": ["*"], "versions": given, "route": route}}})


def virtual_service(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A VirtualService as the API server returns it."""
    metadata = {"namespace": "shop", "name": "shop"}
    return {"metadata": metadata, "spec": {"gateways": ["shop-gateway"], "http": list(rules), **spec}}


def to(**weights: int) -> dict[str, Any]:
    """An Istio rule with these weights."""
    routes = [
        {"destination": {"host": HOST, "subset": name.replace("_", "-")}, "weight": weight}
        for name, weight in weights.items()
    ]
    return {"route": routes}


def destination_rule(*versions: str) -> dict[str, Any]:
    """A DestinationRule as the API server returns it."""
    subsets = [{"name": version, "labels": {}} for version in versions]
    return {"metadata": {"namespace": "shop", "name": "shop"}, "spec": {"host": HOST, "subsets": subsets}}


def deployment(version: str, replicas: int, namespace: str = "shop") -> dict[str, Any]:
    """A Deployment as the API server returns it."""
    template = {"metadata": {"labels": {"app": "shop", "version": f"shop-{version}"}}}
    return {"metadata": {"namespace": namespace, "name": version}, "spec": {"replicas": replicas, "template": template}}


TWO = settings([{"to": {"version-1": 90, "version-2": 10}}], "version-1", "version-2")
ALL_ON_1 = settings([{"to": {"version-1": 100, "version-2": 0}}], "version-1", "version-2")
ONLY_1 = settings([{"to": "version-1"}], "version-1")


def applied(*rules: dict[str, Any], subsets: tuple[str, ...], **spec: Any) -> ObservedRoutes:
    """The routes of a cluster with one VirtualService of these rules."""
    return observed_routes(TWO.services, [virtual_service(*rules, **spec)], [destination_rule(*subsets)])


SHARED = applied(to(version_1=90, version_2=10), subsets=("version-1", "version-2"))


@pytest.mark.parametrize(
    ("weights", "share"), [((995, 5), "0.5 %"), ((999_999, 1), "0.0001 %"), ((1, 2), "66.6667 %"), ((90, 10), "10 %")]
)
def test_weights_in_the_cluster_are_read_as_proportions(weights: tuple[int, int], share: str) -> None:
    found = applied(to(version_1=weights[0], version_2=weights[1]), subsets=("version-1", "version-2"))
    assert found.shares[V2] == f"{share} in VirtualService shop/shop, rule 1"
    assert sum(weights_of(to(version_1=weights[0], version_2=weights[1]), "shop").values()) == pytest.approx(100)


def test_a_virtual_service_that_is_out_of_effect_is_known_as_such() -> None:
    assert is_out_of_effect({"gateways": [NOWHERE]})
    assert not is_out_of_effect({"gateways": [NOWHERE, "mesh"]})
    assert not is_out_of_effect({})


def test_the_virtual_services_that_the_stack_has_made_are_known_by_service() -> None:
    made, foreign = virtual_service(to(version_1=100)), virtual_service(to(version_2=100))
    made["metadata"] = {**made["metadata"], "name": "shop-mesh", "managedFields": [{"manager": "pulumi-kubernetes-1"}]}
    foreign["metadata"] = {**foreign["metadata"], "managedFields": [{"manager": "kubectl"}]}

    assert observed_routes(TWO.services, [made, foreign], []).virtual_services == {"shop": {"shop-mesh": made["spec"]}}


def test_the_smallest_weight_in_the_cluster_still_gets_requests() -> None:
    found = applied(to(version_1=10**8, version_2=1), subsets=("version-1", "version-2"))
    assert V2 in found.used, "its pods must not be taken away"


@pytest.mark.parametrize(
    ("after", "before", "plan"),
    [
        pytest.param(TWO, SHARED, Plan(), id="no change"),
        pytest.param(TWO, ObservedRoutes(), Plan(), id="first deployment, no callers yet"),
        pytest.param(
            TWO,
            applied({"route": [{"destination": {"host": HOST, "subset": "version-1"}}]}, subsets=("version-1",)),
            Plan(activated=frozenset({V2})),
            id="an added version must be known first",
        ),
        pytest.param(
            settings([{"to": {"version-1": 90, "version-2": 10}}], "version-1", "version-2", replicas=1),
            applied(to(version_1=100, version_2=0), subsets=("version-1", "version-2")),
            Plan(activated=frozenset({V2})),
            id="a version at 0 gets no requests, so it must be known, too",
        ),
        pytest.param(
            ALL_ON_1, SHARED, Plan(draining=frozenset({V2})), id="a version set to 0 keeps its pods until unused"
        ),
        pytest.param(
            ONLY_1,
            applied(to(version_1=100), subsets=("version-1", "version-3")),
            Plan(removed=frozenset({V3})),
            id="the subset of a removed version is removed",
        ),
        pytest.param(
            TWO,
            applied(
                {**to(version_1=100), "mirrors": [{"destination": {"host": HOST, "subset": "version-2"}}]},
                subsets=("version-1", "version-2"),
            ),
            Plan(),
            id="a version that gets mirrored requests is known already",
        ),
    ],
)
def test_the_plan_of_a_change(after: Settings, before: ObservedRoutes, plan: Plan) -> None:
    assert plans(after.services, replicas_of(after), before)["shop"] == plan


def test_removing_a_version_that_still_gets_requests_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        refuse_removal_in_use(ONLY_1, SHARED, "Pulumi.dev.yaml")
    (problem,) = error.value.problems
    assert problem.path == "istio-canary:services.shop.versions.version-2"
    assert "still routes requests to it (10 % in VirtualService shop/shop, rule 1)" in problem.what
    assert "`version-2: 0`" in problem.fix


def test_a_version_that_is_named_only_by_a_header_rule_still_gets_requests() -> None:
    header = {"match": [{"headers": {"qa": {"exact": "yes"}}}], **to(version_2=100)}
    with pytest.raises(SettingsError, match="100 % in VirtualService shop/shop, rule 1"):
        refuse_removal_in_use(
            ONLY_1, applied(header, to(version_1=100), subsets=("version-1", "version-2")), "Pulumi.dev.yaml"
        )


@pytest.mark.parametrize(
    ("deployments", "draining"),
    [
        pytest.param([deployment("version-2", 2)], {V2}, id="it loses a pod"),
        pytest.param(
            [deployment("version-2", 1), deployment("version-2", 1)], {V2}, id="it loses a Deployment of another name"
        ),
        pytest.param([deployment("version-2", 1)], set(), id="it keeps its pods"),
        pytest.param(
            [deployment("version-1", 2), deployment("version-2", 2, namespace="other")], set(), id="others lose pods"
        ),
        pytest.param([], set(), id="it has none"),
    ],
)
def test_an_idle_version_that_loses_pods_is_waited_for_since_an_interrupted_run_may_have_left_it_in_use(
    deployments: list[dict[str, Any]], draining: set[Target]
) -> None:
    routes = [virtual_service(to(version_1=100))]
    before = observed_routes(ALL_ON_1.services, routes, [destination_rule("version-1", "version-2")], deployments)
    assert plans(ALL_ON_1.services, replicas_of(ALL_ON_1), before)["shop"].draining == draining


def test_the_generation_of_every_deployment_is_observed() -> None:
    one, two = deployment("version-1", 2), deployment("version-2", 1)
    one["metadata"]["generation"] = 7
    assert observed_routes(TWO.services, [], [], [one, two]).generations == {
        ("shop", "version-1"): 7,
        ("shop", "version-2"): 0,
    }


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(ObservedRoutes(), id="nothing is deployed"),
        pytest.param(applied(to(version_1=100, version_2=0), subsets=("version-1", "version-2")), id="its weight is 0"),
        pytest.param(applied(to(version_1=100), subsets=("version-1", "version-2")), id="no rule names it"),
    ],
)
def test_a_version_without_requests_may_be_removed(before: ObservedRoutes) -> None:
    refuse_removal_in_use(ONLY_1, before, "Pulumi.dev.yaml")


@pytest.mark.parametrize(("gateways", "in_mesh"), [(["shop-gateway"], False), (["a", "mesh"], True), (None, True)])
def test_routes_apply_inside_the_mesh_if_their_gateways_include_it(gateways: list[str] | None, in_mesh: bool) -> None:
    assert applied(to(version_1=100), subsets=(), gateways=gateways).in_mesh is in_mesh
