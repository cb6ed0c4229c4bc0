"""Handing spec.http back to Pulumi: what it takes, what it leaves, and who refuses it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.conflicts import ConflictError
from rollout.record import FIELD_MANAGER
from rollout.routes import (
    RouteRefusedError,
    VirtualServiceGoneError,
    hand_over,
    handed_over,
    owner_of_http,
    owners_of_http,
)
from tests.unit.rollout.api_server import ApiServer
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
