"""Writing spec.http beside Pulumi: who owns it, whose write is refused, and how it is handed back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.conflicts import ConflictError
from rollout.record import ANNOTATION, FIELD_MANAGER
from rollout.routes import (
    RouteRefusedError,
    VirtualServiceGoneError,
    hand_over,
    handed_over,
    owner_of_http,
    owners_of_http,
    read_routes_in_cluster,
    write_http,
)
from tests.unit.rollout.api_server import ApiServer, RefusedError

NAMESPACE, NAME, PLURAL = "website-istio-ns", "website", "virtualservices"
PULUMI = "pulumi-kubernetes-0a1b2c3d"
KUBECTL = "kubectl-edit"


def http(weight: int, **keys: Any) -> list[dict[str, Any]]:
    """One rule that sends `weight` percent to version-2."""
    destinations = [("version-1", 100 - weight), ("version-2", weight)]
    return [
        {
            "route": [
                {"destination": {"host": "website", "subset": version}, "weight": share}
                for version, share in destinations
            ],
            **keys,
        }
    ]


def virtual_service(weight: int, **keys: Any) -> dict[str, Any]:
    """What the program renders."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {"app": "website"}},
        "spec": {"hosts": ["website.example.com"], "gateways": ["mesh"], "http": http(weight, **keys)},
    }


@pytest.fixture
def server() -> ApiServer:
    """An API server with the VirtualService as an `up` has left it: all requests go to version-1."""
    made = ApiServer()
    made.apply(PLURAL, virtual_service(0), PULUMI)
    return made


def live(server: ApiServer) -> dict[str, Any]:
    return server.get(PLURAL, NAMESPACE, NAME)


def up(server: ApiServer, weight: int, **keys: Any) -> None:
    """The provider's update: it takes over what kubectl owns, then applies without force (`fixCSAFieldManagers`)."""
    managed: list[dict[str, Any]] = server.objects[PLURAL, NAMESPACE, NAME]["metadata"]["managedFields"]
    (mine,) = (one for one in managed if one["manager"] == PULUMI)
    for one in [one for one in managed if one["manager"].startswith("kubectl")]:
        managed.remove(one)
        mine["fieldsV1"].setdefault("f:spec", {}).update(one["fieldsV1"].get("f:spec", {}))
    server.apply(PLURAL, virtual_service(weight, **keys), PULUMI)


def step(server: ApiServer, weight: int, generation: int = 1, version: str | None = None) -> str:
    return write_http(server.client, NAMESPACE, NAME, http(weight), f"website-1/{generation}", version)


def edit(server: ApiServer, weight: int) -> None:
    def change(item: Any) -> None:
        item["spec"]["http"] = http(weight)

    server.update(PLURAL, NAMESPACE, NAME, KUBECTL, change)


def give_back(server: ApiServer) -> bool:
    return hand_over(server.client, live(server))


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


def test_what_would_happen_without_the_handing_over(server: ApiServer) -> None:
    """An apply without http deletes it: the reason for handing over by managedFields."""
    step(server, 100)
    empty = virtual_service(0)
    del empty["spec"]
    server.apply(PLURAL, empty, FIELD_MANAGER)
    assert "http" not in live(server)["spec"]


@pytest.mark.parametrize(
    ("prepare", "owners"),
    [
        pytest.param([lambda s: step(s, 100)], {PULUMI}, id="the rollout's alone"),
        pytest.param([lambda s: step(s, 100), lambda s: up(s, 100)], {PULUMI}, id="the rollout's and Pulumi's"),
        pytest.param(
            [
                lambda s: step(s, 100),
                lambda s: s.apply(PLURAL, virtual_service(100), "kubectl"),
            ],
            {PULUMI, "kubectl"},
            id="the rollout's and kubectl's",
        ),
    ],
)
def test_http_goes_to_pulumi_and_nothing_else_changes(
    server: ApiServer, prepare: list[Callable[[ApiServer], Any]], owners: set[str]
) -> None:
    for write in prepare:
        write(server)
    before = live(server)
    assert give_back(server) is True

    after = live(server)
    assert set(owners_of_http(after)) == owners
    assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert give_back(server) is False


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param([], id="Pulumi's"),
        pytest.param([lambda s: edit(s, 20)], id="kubectl-edit's"),
        pytest.param([lambda s: step(s, 50), lambda s: edit(s, 20)], id="taken by kubectl-edit"),
    ],
)
def test_http_that_is_not_the_rollouts_is_left_as_it_is(
    server: ApiServer, prepare: list[Callable[[ApiServer], Any]]
) -> None:
    for write in prepare:
        write(server)
    before = live(server)
    assert give_back(server) is False
    assert live(server) == before


def test_fields_that_kubectl_edit_has_taken_from_pulumi_stay_its_own(server: ApiServer) -> None:
    def change(item: Any) -> None:
        item["spec"]["hosts"] = ["other.example.com"]

    step(server, 100)
    server.update(PLURAL, NAMESPACE, NAME, KUBECTL, change)
    assert give_back(server) is True
    fields = {one["manager"]: one["fieldsV1"] for one in live(server)["metadata"]["managedFields"]}
    assert fields[KUBECTL] == {"f:spec": {"f:hosts": {}}}
    assert fields[PULUMI]["f:spec"] == {"f:gateways": {}, "f:http": {}}


def test_http_belongs_to_nobody_if_pulumi_owns_nothing_any_more_and_pulumis_next_apply_takes_it(
    server: ApiServer,
) -> None:
    step(server, 100)
    managed = server.objects[PLURAL, NAMESPACE, NAME]["metadata"]["managedFields"]
    managed[:] = [one for one in managed if one["manager"] != PULUMI]
    assert give_back(server) is True
    assert owner_of_http(live(server)) is None
    server.apply(PLURAL, virtual_service(0), PULUMI)
    assert owner_of_http(live(server)) == PULUMI


def entry(manager: str, *fields: str, operation: str = "Apply") -> dict[str, Any]:
    spec: dict[str, Any] = {f"f:{field}": {} for field in fields}
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": spec} if fields else {}}


def with_managers(*entries: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries), "annotations": annotations}}


def owners_after(found: dict[str, Any]) -> list[str]:
    return [one["manager"] for one in handed_over(found) if "f:http" in one["fieldsV1"].get("f:spec", {})]


def test_of_two_stacks_the_one_with_the_hosts_gets_http() -> None:
    other = "pulumi-kubernetes-ffffffff"
    found = with_managers(entry(other, "exportTo"), entry(PULUMI, "hosts"), entry(FIELD_MANAGER, "http"))
    assert owners_after(found) == [PULUMI]


def test_a_manager_that_the_provider_was_told_to_use_gets_http() -> None:
    name = {"pulumi.com/patchFieldManager": "web-team"}
    found = with_managers(entry(PULUMI, "hosts"), entry("web-team", "hosts"), entry(FIELD_MANAGER, "http"), **name)
    assert owners_after(found) == ["web-team"]
    assert owner_of_http(with_managers(entry("a", "http"), entry("web-team", "http"), **name)) == "web-team"


def test_what_istiod_owns_of_the_status_stays() -> None:
    status = {
        "manager": "pilot-discovery",
        "operation": "Update",
        "subresource": "status",
        "fieldsV1": {"f:status": {"f:conditions": {}}},
    }
    found = with_managers(entry(PULUMI, "hosts"), status, entry(FIELD_MANAGER, "http"))
    assert status in handed_over(found)


def test_a_manager_without_fields_is_left_out() -> None:
    found = with_managers(entry(FIELD_MANAGER, "http"), entry(PULUMI, "hosts"))
    assert [one["manager"] for one in handed_over(found)] == [PULUMI]


MANAGERS = st.sampled_from([PULUMI, "pulumi-kubernetes-ffffffff", KUBECTL, "kubectl", FIELD_MANAGER])
FIELDS = st.sets(st.sampled_from(["hosts", "gateways", "http", "exportTo"]), min_size=1)


@given(st.dictionaries(st.tuples(MANAGERS, st.sampled_from(["Apply", "Update"])), FIELDS))
def test_handing_over_takes_http_from_the_rollout_and_nothing_from_anybody_else(
    owned: dict[tuple[str, str], set[str]],
) -> None:
    entries = [entry(manager, *fields, operation=how) for (manager, how), fields in owned.items()]
    found = with_managers(*copy.deepcopy(entries))
    after = {(one["manager"], one["operation"]): one["fieldsV1"]["f:spec"] for one in handed_over(found) if one}

    assert found == with_managers(*entries), "the object that was read is not changed"
    for (manager, how), fields in owned.items():
        left = set(after.get((manager, how), {}))
        expected = {f"f:{field}" for field in fields}
        assert left - {"f:http"} == expected - {"f:http"}
        assert "f:http" not in left if manager == FIELD_MANAGER else left >= expected
    if any(manager.startswith("pulumi-") and how == "Apply" for manager, how in owned):
        assert any(manager.startswith("pulumi-") and "f:http" in fields for (manager, _), fields in after.items())


def test_a_handing_over_by_an_object_that_was_written_since_is_refused(server: ApiServer) -> None:
    step(server, 50)
    read = live(server)
    step(server, 0, 2)
    with pytest.raises(ConflictError):
        hand_over(server.client, read)
    assert owner_of_http(live(server)) == FIELD_MANAGER


def test_a_handing_over_of_an_object_that_was_deleted_is_an_error(server: ApiServer) -> None:
    step(server, 50)
    read = live(server)
    server.objects.clear()
    with pytest.raises(VirtualServiceGoneError):
        hand_over(server.client, read)


def deny(server: ApiServer) -> None:
    server.denies = lambda before, after: "managedFields are not yours"


def reset(server: ApiServer) -> None:
    kept = live(server)["metadata"]["managedFields"]
    server.mutates = lambda item: item["metadata"].update(managedFields=copy.deepcopy(kept))


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        pytest.param(deny, "managedFields are not yours", id="a webhook denies it"),
        pytest.param(reset, f"still belongs to {FIELD_MANAGER}", id="a webhook puts them back"),
    ],
)
def test_a_webhook_that_refuses_the_handing_over_is_named_with_the_fix(
    server: ApiServer, refuse: Callable[[ApiServer], None], reason: str
) -> None:
    step(server, 100)
    refuse(server)
    with pytest.raises(RouteRefusedError) as error:
        give_back(server)
    for words in (f"VirtualService {NAMESPACE}/{NAME}", "cannot be handed back to Pulumi", reason, "fix:"):
        assert words in str(error.value)
    assert live(server)["spec"]["http"] == http(100)
