"""Writing spec.http beside Pulumi: who owns it, and whose write is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from kube.conflicts import ConflictError
from rollout.record import ANNOTATION, FIELD_MANAGER
from rollout.routes import (
    RouteRefusedError,
    VirtualServiceGoneError,
    owner_of_http,
    owners_of_http,
    read_routes_in_cluster,
    write_http,
)
from tests.unit.rollout.api_server import ApiServer, RefusedError
from tests.unit.rollout.virtual_services import (
    KUBECTL,
    NAME,
    NAMESPACE,
    PLURAL,
    PULUMI,
    deployed,
    edit,
    give_back,
    http,
    live,
    step,
    up,
    virtual_service,
)


@pytest.fixture
def server() -> ApiServer:
    return deployed()


def test_a_step_takes_http_and_leaves_everything_else_to_pulumi(server: ApiServer) -> None:
    before = live(server)
    version = step(server, 10)

    found = live(server)
    assert found["metadata"]["resourceVersion"] == version != before["metadata"]["resourceVersion"]
    assert found["spec"] == {**before["spec"], "http": http(10)}
    assert found["metadata"]["annotations"] == {ANNOTATION: "website-1/1"}
    fields = {one["manager"]: one["fieldsV1"] for one in found["metadata"]["managedFields"]}
    assert fields[FIELD_MANAGER]["f:spec"] == {"f:http": {}}
    assert fields[PULUMI]["f:spec"] == {"f:hosts": {}, "f:gateways": {}}


def test_a_write_forward_with_a_stale_resource_version_is_refused(server: ApiServer) -> None:
    stale = live(server)["metadata"]["resourceVersion"]
    step(server, 10)
    with pytest.raises(ConflictError, match=f"{NAMESPACE}/{NAME}"):
        step(server, 30, 2, stale)
    assert live(server)["spec"]["http"] == http(10)


def test_a_write_forward_with_the_resource_version_that_was_read_passes(server: ApiServer) -> None:
    version = step(server, 10)
    assert step(server, 30, 2, version) == live(server)["metadata"]["resourceVersion"]


def test_an_abort_to_weights_that_stand_already_still_stops_a_holder_that_slept(server: ApiServer) -> None:
    read_before_the_abort = step(server, 0)
    step(server, 0, 2)
    with pytest.raises(ConflictError):
        step(server, 100, 3, read_before_the_abort)
    assert live(server)["spec"]["http"] == http(0)


def test_without_a_new_annotation_it_would_not(server: ApiServer) -> None:
    assert step(server, 0) == step(server, 0)


@pytest.mark.parametrize("version", [None, "101"], ids=["abort", "forward"])
def test_a_virtual_service_that_was_deleted_is_not_created_without_hosts(
    server: ApiServer, version: str | None
) -> None:
    uid = live(server)["metadata"]["uid"]
    server.objects.clear()
    for known in (None, uid):
        with pytest.raises(VirtualServiceGoneError, match="does not exist"):
            write_http(server.client, NAMESPACE, NAME, http(10), "website-1/1", version, known)
    assert server.objects == {}


def test_a_virtual_service_that_was_created_again_is_not_written(server: ApiServer) -> None:
    uid = live(server)["metadata"]["uid"]
    server.objects.clear()
    server.apply(PLURAL, virtual_service(0), PULUMI)
    with pytest.raises(VirtualServiceGoneError, match="created again"):
        write_http(server.client, NAMESPACE, NAME, http(100), "website-1/1", None, uid)
    assert live(server)["spec"]["http"] == http(0)


def test_no_routes_are_never_written(server: ApiServer) -> None:
    with pytest.raises(ValueError, match="all its requests would fail"):
        write_http(server.client, NAMESPACE, NAME, [], "website-1/1", None)


def test_routes_that_a_policy_denies_are_an_error_with_its_words(server: ApiServer) -> None:
    server.denies = lambda before, after: "version-2 is barred"
    with pytest.raises(RouteRefusedError, match=r"(?s)its new routes are refused.*version-2 is barred.*fix:"):
        step(server, 10)


def test_a_missing_right_is_left_to_the_words_of_the_query(server: ApiServer) -> None:
    server.forbidden = {"patch"}
    with pytest.raises(httpx2.HTTPStatusError, match="cannot patch"):
        step(server, 10)


def test_the_routes_are_read_with_their_owner_and_the_decision_that_wrote_them(server: ApiServer) -> None:
    version = step(server, 10)
    routes = read_routes_in_cluster(server.client, NAMESPACE, [NAME, "website-mesh"])

    assert list(routes) == [NAME]
    found = routes[NAME]
    assert (found.owner, found.annotation, found.resource_version) == (FIELD_MANAGER, "website-1/1", version)
    assert (list(found.http), found.uid) == (http(10), live(server)["metadata"]["uid"])


def stale_up(server: ApiServer) -> None:
    """An `up` that read an older record."""
    with pytest.raises(RefusedError) as refused:
        up(server, 95)
    assert refused.value.code == 409


SEQUENCES: list[Any] = [
    pytest.param([], (PULUMI,), 0, id="an up alone"),
    pytest.param([lambda s: step(s, 10)], (FIELD_MANAGER,), 10, id="a step takes http"),
    pytest.param(
        [lambda s: step(s, 10), lambda s: up(s, 10)],
        (FIELD_MANAGER, PULUMI),
        10,
        id="an up that says the same passes, and owns it, too",
    ),
    pytest.param(
        [lambda s: step(s, 10), lambda s: up(s, 10), lambda s: step(s, 50, 2)],
        (FIELD_MANAGER,),
        50,
        id="the next step takes it again",
    ),
    pytest.param([lambda s: step(s, 50), stale_up], (FIELD_MANAGER,), 50, id="another up is refused"),
    pytest.param([lambda s: step(s, 50), lambda s: edit(s, 20)], (KUBECTL,), 20, id="an edit takes http"),
    pytest.param(
        [lambda s: step(s, 50), lambda s: edit(s, 20), lambda s: up(s, 95)],
        (PULUMI,),
        95,
        id="an up after an edit takes it from kubectl",
    ),
    pytest.param(
        [lambda s: step(s, 50), lambda s: edit(s, 20), lambda s: step(s, 0, 2)],
        (FIELD_MANAGER,),
        0,
        id="an abort overrides an edit",
    ),
    pytest.param([lambda s: step(s, 50), give_back], (PULUMI,), 50, id="handed over"),
    pytest.param(
        [lambda s: step(s, 50), give_back, lambda s: up(s, 95)], (PULUMI,), 95, id="handed over, any up passes"
    ),
    pytest.param(
        [lambda s: step(s, 50), give_back, lambda s: step(s, 0, 2), stale_up],
        (FIELD_MANAGER,),
        0,
        id="handed over, then an abort: a stale up is refused",
    ),
]


@pytest.mark.parametrize(("writes", "owners", "weight"), SEQUENCES)
def test_http_belongs_to_who_wrote_it_last(
    server: ApiServer, writes: list[Callable[[ApiServer], Any]], owners: tuple[str, ...], weight: int
) -> None:
    for write in writes:
        write(server)
    found = live(server)
    assert set(owners_of_http(found)) == set(owners)
    assert owner_of_http(found) == owners[0]
    assert found["spec"]["http"] == http(weight)


def test_http_of_nobody_has_no_owner() -> None:
    assert owner_of_http({"metadata": {}}) is None
