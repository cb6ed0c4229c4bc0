"""The record and the Lease of a rollout on a real API server: what its unit tests' server in memory is held against."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.types import PatchType

from kube import kubeconfig
from kube.conflicts import ConflictError
from rollout.lease import Lease
from rollout.store import RolloutStore
from rollout.stored_routes import StoredRoutesError
from tests.e2e.tools import Access, Cluster, wait_until
from tests.unit.rollout.records import record_of

NAMESPACE = "rollout-store"
ROUTES = {"0": {"website": [{"name": "rule-1"}]}, "back": {"website": [{"name": "rule-1"}]}}


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    access = Access(str(cluster.layout.kubeconfig))
    with kubeconfig.client(kubeconfig.choose(access)) as made:
        item: Any = Namespace.from_dict({"metadata": {"name": NAMESPACE}})
        made.create(item)
        yield made
        made.delete(Namespace, NAMESPACE)


@pytest.fixture
def store(client: Client) -> RolloutStore:
    """The store of a service without a record."""
    for item in list(client.list(ConfigMap, namespace=NAMESPACE)):
        name = str(item.metadata.name if item.metadata else "")
        if name.startswith("istio-canary-rollout-"):
            client.delete(ConfigMap, name, namespace=NAMESPACE)
    return RolloutStore(client, NAMESPACE, "website")


def test_of_two_who_read_the_same_record_only_the_first_writes(store: RolloutStore) -> None:
    created = store.create(record_of(generation=1))
    written = store.write(record_of(generation=2), created.resource_version)
    with pytest.raises(ConflictError):
        store.write(record_of(generation=3), created.resource_version)
    with pytest.raises(ConflictError):
        store.create(record_of(generation=1))

    read = store.read()
    assert read is not None
    assert (read.record, read.resource_version) == (record_of(generation=2), written.resource_version)


def test_a_record_that_was_deleted_is_not_written_again(client: Client, store: RolloutStore) -> None:
    created = store.create(record_of())
    client.delete(ConfigMap, store.name, namespace=NAMESPACE)
    with pytest.raises(ConflictError):
        store.write(record_of(generation=2), created.resource_version)
    assert store.read() is None


def test_the_time_of_an_answer_is_that_of_the_api_server(store: RolloutStore) -> None:
    """On the machine of the sandbox, whose clock is the same."""
    answered = datetime.fromisoformat(store.create(record_of()).server_time)
    assert abs(answered - datetime.now(UTC)) < timedelta(minutes=1)


def test_routes_cannot_be_changed(client: Client, store: RolloutStore) -> None:
    name = store.write_routes(ROUTES)
    assert store.write_routes(ROUTES) == name
    with pytest.raises(ApiError, match="immutable"):
        client.patch(ConfigMap, name, {"data": {"routes.json": "{}"}}, namespace=NAMESPACE, patch_type=PatchType.MERGE)
    assert store.read_routes(name) == ROUTES


def large(rules: int) -> dict[str, Any]:
    """Routes of about 500 bytes a rule, compressed."""
    dice = random.Random(7)  # noqa: S311 - no secret
    return {"0": {"website": [{"name": dice.randbytes(500).hex()} for _ in range(rules)]}}


def test_routes_of_nearly_the_limit_are_taken_and_larger_ones_refused_before(store: RolloutStore) -> None:
    routes = large(1750)
    assert store.read_routes(store.write_routes(routes)) == routes
    with pytest.raises(StoredRoutesError, match="1,048,576 bytes"):
        store.write_routes(large(2500))


def test_the_log_is_written_beside_the_record(store: RolloutStore) -> None:
    store.log({"step": 0})
    store.log({"step": 1})
    assert store.read_log() == [{"step": 0}, {"step": 1}]


def test_a_lease_is_renewed_released_and_taken_over_once_it_stands_still(client: Client) -> None:
    first = Lease(client, NAMESPACE, "website", "first", seconds=1)
    second = Lease(client, NAMESPACE, "website", "second", seconds=1)
    assert first.acquire() is True
    assert second.acquire() is False
    assert first.renew() is True
    assert first.holder() == "first"

    wait_until(second.acquire, "the taking over", 10)
    assert first.held is False
    assert first.renew() is False
    second.release()
    assert second.holder() is None
    assert first.acquire() is True
