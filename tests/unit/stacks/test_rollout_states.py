"""What is read of the rollouts of a stack's services."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.record import ANNOTATION, FIELD_MANAGER, Record
from rollout.routes_of_steps import http_routes
from rollout.store import LABEL, RolloutStore
from stacks.rollout_states import RolloutState, read_rollout_states, with_images
from stacks.settings.model import Settings
from tests.unit.rollout.api_server import ApiServer
from tests.unit.stacks.rollout_stacks import NEW, OLD, PLAIN, at, pending, progressing, stack
from traffic.model import Target

PLURAL = "virtualservices"


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


def apply(server: ApiServer, weight: float, manager: str, **annotations: str) -> None:
    """Write the routes of the service."""
    settings = stack()
    http = http_routes(settings.services, "shop", at(weight), gateway_namespace="istio-ingress")["shop"]
    metadata: dict[str, Any] = {"name": "shop", "namespace": "shop", "annotations": annotations}
    body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata}
    server.apply(PLURAL, {**body, "spec": {"hosts": ["shop.example.com"], "http": http}}, manager, force=True)


def keep(server: ApiServer, record: Record) -> Record:
    return RolloutStore(server.client, "shop", "shop").create(record).record


def read(server: ApiServer, settings: Settings | None = None) -> dict[str, RolloutState]:
    return read_rollout_states(server.client, stack() if settings is None else settings)


def test_before_the_first_up_a_service_with_a_rollout_has_an_empty_state(server: ApiServer) -> None:
    assert read(server) == {"shop": RolloutState()}


def test_the_state_has_the_record_the_weights_and_the_owner_of_the_routes(server: ApiServer) -> None:
    apply(server, 0, "pulumi-kubernetes-1")
    record = keep(server, progressing(stack()))
    apply(server, 50, FIELD_MANAGER, **{ANNOTATION: record.annotation})
    found = read(server)["shop"]
    assert found.stored is not None
    assert found.stored.record == record
    assert found.now == at(50)
    assert (found.http_owner, found.routes["shop"].annotation) == (FIELD_MANAGER, record.annotation)


def test_a_stack_without_any_rollout_has_no_states(server: ApiServer) -> None:
    apply(server, 0, "pulumi-kubernetes-1")
    assert read(server, stack(PLAIN)) == {}


def test_a_record_is_found_though_the_file_has_no_rollout_any_more(server: ApiServer) -> None:
    record = keep(server, pending(stack()))
    found = read(server, stack(PLAIN))["shop"]
    assert found.stored is not None
    assert found.stored.record == record


def test_a_record_that_may_not_be_read_is_unreadable_and_says_the_fix(server: ApiServer) -> None:
    apply(server, 50, FIELD_MANAGER, **{ANNOTATION: "shop-1/3"})
    keep(server, progressing(stack()))
    items = [server.get(PLURAL, "shop", "shop")]
    server.forbidden.add("get")
    for settings in (stack(), stack(PLAIN)):
        found = read_rollout_states(server.client, settings, items)["shop"]
        assert found.unreadable is not None
        assert "istio-canary-rollout-shop" in found.unreadable
        assert "docs/rights.md" in found.unreadable
    assert read_rollout_states(server.client, stack(PLAIN), []) == {}, "nothing tells of a rollout"


def test_a_damaged_record_is_unreadable(server: ApiServer) -> None:
    keep(server, pending(stack()))
    server.objects["configmaps", "shop", "istio-canary-rollout-shop"]["data"]["record"] = "{"
    found = read(server)["shop"]
    assert found.stored is None
    assert found.unreadable is not None


def test_records_of_other_services_are_not_taken_for_it(server: ApiServer) -> None:
    body = {"metadata": {"name": "istio-canary-rollout-cart", "namespace": "shop", "labels": {LABEL: "cart"}}}
    server.objects["configmaps", "shop", "istio-canary-rollout-cart"] = {**body, "data": {"record": "{"}}
    assert read(server)["shop"].stored is None


def test_the_names_of_both_versions_are_those_of_the_file(server: ApiServer) -> None:
    apply(server, 10, FIELD_MANAGER)
    assert read(server)["shop"].now["default"].keys() == {OLD, NEW}


def test_a_state_has_the_images_of_its_own_versions() -> None:
    images = {Target("shop", OLD): "shop:1", Target("cart", OLD): "cart:7"}
    assert with_images({"shop": RolloutState()}, images)["shop"].images == {OLD: "shop:1"}
