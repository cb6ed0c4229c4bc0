"""The record, the routes and the log of a rollout in the cluster, and who may overwrite what."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kube.server_clock import ServerClock, ServerTimeUnknownError
from rollout.record import Bar, Record, RecordError, Release
from rollout.store import (
    LOG_LENGTH,
    ConflictError,
    NameTakenError,
    RolloutStore,
    StoredRoutesError,
    barred_versions,
)
from rollout.stored_routes import COMPRESSED_ABOVE, digest_of
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.records import record_of

NAMESPACE, NAME = "website-istio-ns", "istio-canary-rollout-website"
ROUTES = {"0": {"website": [{"name": "rule-1", "route": []}]}, "back": {"website": [{"name": "rule-1", "route": []}]}}


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def store(server: ApiServer) -> RolloutStore:
    return RolloutStore(server.client, NAMESPACE, "website")


def at(generation: int) -> Record:
    return record_of(generation=generation)


def bar(version: str, template: str) -> Bar:
    return Bar(version=version, hash=template, reason="errors", by="gate", at="2026-01-05T10:00:00+00:00")


def test_a_record_is_read_as_it_was_written(store: RolloutStore) -> None:
    created = store.create(at(1))
    written = store.write(at(2), created.resource_version)

    read = store.read()
    assert read is not None
    assert (read.record, read.resource_version) == (at(2), written.resource_version)
    assert written.resource_version != created.resource_version


def test_a_service_without_a_rollout_has_no_record(store: RolloutStore) -> None:
    assert store.read() is None


def test_the_phase_and_the_service_are_plain_text_beside_the_record(server: ApiServer, store: RolloutStore) -> None:
    store.create(at(1))

    found = server.get("configmaps", NAMESPACE, NAME)
    assert found["metadata"]["labels"] == {"istio-canary/rollout": "website"}
    assert found["data"] == {"record": at(1).to_json(), "phase": "Pending", "barred": ""}


@pytest.mark.parametrize(
    ("bars", "target", "barred"),
    [
        pytest.param((), "hash-2", (), id="nothing was aborted"),
        pytest.param((bar("version-2", "hash-2"),), "hash-2", ("version-2",), id="the target was aborted"),
        pytest.param((bar("version-2", "hash-1"),), "hash-2", (), id="the version has another template now"),
        pytest.param((bar("version-0", "hash-0"),), "hash-2", ("version-0",), id="an earlier release was aborted"),
        pytest.param(
            (bar("version-2", "hash-2"), bar("version-2", "hash-9")), "hash-2", ("version-2",), id="aborted twice"
        ),
        pytest.param((bar("version-1", "hash-0"),), "hash-2", (), id="the stable version was a bad one once"),
    ],
)
def test_a_version_is_barred_while_its_template_is_the_one_that_was_aborted(
    bars: tuple[Bar, ...], target: str, barred: tuple[str, ...]
) -> None:
    record = record_of(bars=bars, target=Release(version="version-2", hash=target))
    assert barred_versions(record) == barred


def test_the_barred_versions_are_text_for_the_admission_policy(server: ApiServer, store: RolloutStore) -> None:
    store.create(record_of(bars=(bar("version-2", "hash-2"), bar("version-0", "hash-0"))))
    assert server.get("configmaps", NAMESPACE, NAME)["data"]["barred"] == "version-0,version-2"


def test_of_two_who_create_the_record_one_is_refused(store: RolloutStore) -> None:
    store.create(at(1))
    with pytest.raises(ConflictError, match=f"{NAMESPACE}/{NAME}"):
        store.create(at(1))


def test_of_two_who_read_the_same_record_only_the_first_writes(server: ApiServer, store: RolloutStore) -> None:
    created = store.create(at(1))
    other = RolloutStore(server.client, NAMESPACE, "website")
    other.write(at(2), created.resource_version)

    with pytest.raises(ConflictError):
        store.write(at(3), created.resource_version)
    read = store.read()
    assert read is not None
    assert read.record.generation == 2


def test_a_record_that_was_deleted_is_not_written_again(server: ApiServer, store: RolloutStore) -> None:
    created = store.create(at(1))
    del server.objects["configmaps", NAMESPACE, NAME]

    with pytest.raises(ConflictError):
        store.write(at(2), created.resource_version)
    assert store.read() is None


def test_a_write_keeps_what_others_wrote_on_the_record_and_puts_the_label_back(
    server: ApiServer, store: RolloutStore
) -> None:
    store.create(at(1))

    def edit(item: Any) -> None:
        item["metadata"]["labels"] = {"team": "web"}

    server.update("configmaps", NAMESPACE, NAME, "kubectl-edit", edit)
    read = store.read()
    assert read is not None
    store.write(at(2), read.resource_version)
    labels = server.get("configmaps", NAMESPACE, NAME)["metadata"]["labels"]
    assert labels == {"team": "web", "istio-canary/rollout": "website"}


def test_the_time_of_an_answer_is_that_of_the_api_server(server: ApiServer, store: RolloutStore) -> None:
    assert store.create(at(1)).server_time == "2026-01-05T10:00:00+00:00"
    server.now += timedelta(seconds=90)
    read = store.read()
    assert read is not None
    assert read.server_time == store.server_time == "2026-01-05T10:01:30+00:00"


def test_a_client_has_one_clock(server: ApiServer) -> None:
    assert ServerClock.of(server.client) is ServerClock.of(server.client)


def test_answers_without_a_date_are_refused_with_the_fix(server: ApiServer, store: RolloutStore) -> None:
    server.has_date = False
    with pytest.raises(ServerTimeUnknownError, match="fix:"):
        store.create(at(1))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda item: item["data"].pop("record"), id="no record"),
        pytest.param(lambda item: item["data"].update(record="{"), id="no JSON"),
        pytest.param(lambda item: item["data"].update(record='{"schema": 2}'), id="of a newer version"),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_with_its_place_and_the_fix(
    server: ApiServer, store: RolloutStore, damage: Callable[[Any], None]
) -> None:
    store.create(at(1))
    server.update("configmaps", NAMESPACE, NAME, "kubectl-edit", damage)
    with pytest.raises(RecordError, match=rf"(?s){NAMESPACE}/{NAME}.*fix:"):
        store.read()


def test_a_service_with_the_name_of_anothers_log_is_refused(server: ApiServer, store: RolloutStore) -> None:
    store.log({"step": 0})
    with pytest.raises(NameTakenError, match="belongs to the rollout of the service website,"):
        RolloutStore(server.client, NAMESPACE, "website-log").read()


def test_a_log_with_the_name_of_anothers_record_is_refused(server: ApiServer, store: RolloutStore) -> None:
    RolloutStore(server.client, NAMESPACE, "website-log").create(record_of(service="website-log"))
    with pytest.raises(NameTakenError, match="belongs to the rollout of the service website-log,"):
        store.log({"step": 0})


def test_routes_are_read_as_they_were_written(store: RolloutStore) -> None:
    name = store.write_routes(ROUTES)
    assert name == f"{NAME}-routes-{digest_of(ROUTES)}"
    assert store.read_routes(name) == ROUTES


def test_the_same_routes_are_the_same_configmap_which_nobody_can_change(server: ApiServer, store: RolloutStore) -> None:
    turned = {step: ROUTES[step] for step in reversed(ROUTES)}
    assert store.write_routes(ROUTES) == store.write_routes(turned)
    assert server.get("configmaps", NAMESPACE, store.write_routes(ROUTES))["immutable"] is True


def test_other_routes_are_another_configmap(store: RolloutStore) -> None:
    assert store.write_routes(ROUTES) != store.write_routes({"0": ROUTES["0"]})


def many(count: int, compressible: bool) -> dict[str, Any]:
    """Routes with `count` rules of about 1,000 bytes each."""
    dice = random.Random(7)  # noqa: S311 - no secret
    text = ["x" * 1000 if compressible else dice.randbytes(500).hex() for _ in range(count)]
    return {"0": {"website": [{"name": one} for one in text]}}


@pytest.mark.parametrize(("count", "compressed"), [(100, False), (1000, True)])
def test_large_routes_are_compressed(server: ApiServer, store: RolloutStore, count: int, compressed: bool) -> None:
    routes = many(count, compressible=True)
    name = store.write_routes(routes)

    found = server.get("configmaps", NAMESPACE, name)
    assert ("binaryData" in found, "data" in found) == (compressed, not compressed)
    assert (count * 1000 > COMPRESSED_ABOVE) is compressed
    assert store.read_routes(name) == routes


def test_routes_that_no_configmap_takes_are_refused_with_their_size(server: ApiServer, store: RolloutStore) -> None:
    with pytest.raises(StoredRoutesError) as error:
        store.write_routes(many(2500, compressible=False))
    for words in ("routes of website", " bytes compressed, for 1 steps of up to 2500 rules", "1,048,576", "fix:"):
        assert words in str(error.value)
    assert server.objects == {}


def test_routes_that_were_deleted_are_an_error_with_the_fix(store: RolloutStore) -> None:
    with pytest.raises(StoredRoutesError, match=r"(?s)gone.*it does not exist.*fix:"):
        store.read_routes("gone")


@pytest.mark.parametrize(
    "content",
    [{"data": {"routes.json": "{}"}}, {"data": {"routes.json": "{"}}, {}, {"binaryData": {"routes.json.gz": "AAAA"}}],
)
def test_routes_that_somebody_made_anew_are_refused(
    server: ApiServer, store: RolloutStore, content: dict[str, Any]
) -> None:
    name = store.write_routes(ROUTES)
    found = server.objects["configmaps", NAMESPACE, name]
    for key in ("data", "binaryData"):
        found.pop(key, None)
    found.update(content)

    with pytest.raises(StoredRoutesError, match="fix:"):
        store.read_routes(name)
    with pytest.raises(StoredRoutesError, match="fix:"):
        store.write_routes(ROUTES)


def test_routes_of_earlier_rollouts_are_deleted_and_nothing_else(server: ApiServer, store: RolloutStore) -> None:
    store.create(at(1))
    store.log({"step": 0})
    old, new = store.write_routes({"0": ROUTES["0"]}), store.write_routes(ROUTES)
    of_another = RolloutStore(server.client, NAMESPACE, "shop").write_routes(ROUTES)

    store.delete_routes(keep=new)
    names = {name for _, _, name in server.objects}
    assert names == {NAME, f"{NAME}-log", new, of_another}
    assert old not in names


def test_the_log_keeps_the_last_decisions(store: RolloutStore) -> None:
    for step in range(LOG_LENGTH + 3):
        store.log({"step": step, "why": "a\nb"})
    logged = store.read_log()
    assert [one["step"] for one in logged] == list(range(3, LOG_LENGTH + 3))
    assert logged[0]["why"] == "a\nb"


def test_a_log_of_large_decisions_still_fits_into_a_configmap(store: RolloutStore) -> None:
    for step in range(5):
        store.log({"step": step, "numbers": "x" * 400_000})
    assert [one["step"] for one in store.read_log()] == [3, 4]


def test_a_damaged_line_of_the_log_hides_no_other(server: ApiServer, store: RolloutStore) -> None:
    store.log({"step": 0})
    log = server.objects["configmaps", NAMESPACE, f"{NAME}-log"]
    log["data"]["decisions"] += "\n{"
    store.log({"step": 1})
    assert [one["step"] for one in store.read_log()] == [0, 1]


def test_a_log_that_two_write_at_once_has_both_decisions(server: ApiServer, store: RolloutStore) -> None:
    store.log({"step": 0})
    server.before = lambda: RolloutStore(server.client, NAMESPACE, "website").log({"step": 1})
    store.log({"step": 2})
    assert [one["step"] for one in store.read_log()] == [0, 1, 2]
