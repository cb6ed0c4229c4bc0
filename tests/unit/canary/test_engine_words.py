"""What rendered manifests, previews and `status` say of a service whose rollout another engine moves."""

from __future__ import annotations

from typing import Any

import pytest

from canary.effective import effective_routes, has_rollouts
from canary.engine.events import ResourceStep
from canary.render.rollout_notes import rollout_notes
from canary.status import _engine
from canary.strategy_notes import DEPLOYMENT, strategy_notes
from tests.unit.rollout.api_server import ApiServer
from tests.unit.stacks.engine_stacks import stack

NAMES = {"argo": "Argo Rollouts", "flagger": "Flagger"}


@pytest.mark.parametrize("engine", NAMES)
def test_rendered_manifests_say_who_moves_the_rollout(engine: str) -> None:
    (note,) = rollout_notes(stack(engine))
    assert note.startswith(f"shop: {NAMES[engine]} moves its rollout")


@pytest.mark.parametrize("engine", NAMES)
def test_a_preview_says_that_new_pods_begin_a_rollout(engine: str) -> None:
    settings = stack(engine)
    metadata = {"namespace": "shop", "name": "shop-main"}
    old, new = (
        {"metadata": metadata, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}}
        for image in ("shop:1", "shop:2")
    )
    step = ResourceStep("urn:pulumi:dev::p::x::y", DEPLOYMENT, "update", "done", old, new)
    assert strategy_notes(settings, [step], "dev") == [
        f"shop/main: its new pods begin a rollout, which {NAMES[engine]} moves"
    ]
    assert _engine(settings, "shop") == NAMES[engine]


def virtual_service(weights: dict[str, int]) -> dict[str, Any]:
    host = "shop.shop.svc.cluster.local"
    route = [{"destination": {"host": host, "subset": one}, "weight": weight} for one, weight in weights.items()]
    return {
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"hosts": ["shop.example.com"], "http": [{"name": "rollout", "route": route}]},
    }


def test_commands_that_compare_with_the_cluster_expect_the_weights_that_argo_has_written() -> None:
    settings, server = stack("argo"), ApiServer()
    server.objects["virtualservices", "shop", "shop"] = virtual_service({"stable": 70, "canary": 30})
    assert has_rollouts(settings)
    (rule,) = effective_routes(server.client, settings).settings.services["shop"].route
    assert rule.weights == {"stable": 70, "canary": 30}


@pytest.mark.parametrize("weights", [{}, {"main": 100}], ids=["no routes", "routes of before"])
def test_routes_that_argo_has_not_written_are_those_of_the_file(weights: dict[str, int]) -> None:
    settings, server = stack("argo"), ApiServer()
    if weights:
        server.objects["virtualservices", "shop", "shop"] = virtual_service(weights)
    (rule,) = effective_routes(server.client, settings).settings.services["shop"].route
    assert rule.weights == {"stable": 100, "canary": 0}


def test_what_flagger_writes_is_one_version_to_everybody_else() -> None:
    server = ApiServer()
    (rule,) = effective_routes(server.client, stack("flagger")).settings.services["shop"].route
    assert rule.weights == {"main": 100}
