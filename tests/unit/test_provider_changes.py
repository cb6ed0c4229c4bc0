"""Update, Read and Delete of the sandbox's provider, against an API server in a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.provider import apply, compare, crud, state
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.outcome import InitFailedError, ResourceError
from sandbox.provider.values import Secret
from tests.unit.provider_fakes import CONFIG_MAP, FakeApi, config_map, fake_cluster, made, urn


@pytest.fixture
def api() -> FakeApi:
    """The API server."""
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Cluster:
    """A cluster with the settings' defaults."""
    return fake_cluster(api)


# --- Update


def test_an_update_applies_as_the_states_manager_after_taking_over_what_the_post_set(
    cluster: Cluster, api: FakeApi
) -> None:
    properties = {**made(cluster, config_map(data={"a": "1"})), "__fieldManager": "recorded"}
    outcome = crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "2"}), [], 0, preview=False)
    patches = [query for method, _, query in api.requests if method == "PATCH"]
    assert [query.get("fieldManager") for query in patches] == [None, "recorded"]
    assert patches[1]["force"] == "false"
    assert outcome.properties["data"] == {"a": "2"}
    assert outcome.properties["__fieldManager"] == "recorded"
    owners = api.objects["/api/v1/namespaces/ns/configmaps/named"]["metadata"]["managedFields"]
    assert [(owner["manager"], owner["operation"]) for owner in owners] == [("recorded", "Apply")]


def test_the_preview_of_an_update_changes_nothing(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map(data={"a": "1"}))
    crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "2"}), [], 0, preview=True)
    patches = [query for method, _, query in api.requests if method == "PATCH"]
    assert [(query["dryRun"], query["force"]) for query in patches] == [("All", "true")]


def test_a_conflict_names_the_manager_the_field_and_the_remedy(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map(data={"a": "1"}))
    crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "2"}), [], 0, preview=False)
    api.refusals["PATCH"] = ApiError(409, "Conflict", 'conflict with "argo": .data.a')
    with pytest.raises(InitFailedError) as caught:
        crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "3"}), [], 0, preview=False)
    for part in ('"argo"', ".data.a", "pulumi.com/patchForce"):
        assert part in str(caught.value)
    assert caught.value.outcome.id == "ns/named"


@pytest.mark.parametrize(
    ("manager", "mended"),
    [('"kubectl-edit" using v1', True), ('"kubectl" with subresource "scale"', False), ('"argo" using v1', False)],
)
def test_a_preview_shows_the_conflicts_that_the_update_will_have(
    cluster: Cluster, api: FakeApi, monkeypatch: pytest.MonkeyPatch, manager: str, mended: bool
) -> None:
    properties = made(cluster, config_map(data={"a": "1"}))
    crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "2"}), [], 0, preview=False)
    patch = api.patch

    def refuse_unforced(path: str, body: object, content_type: str, **query: str) -> dict[str, Any]:
        if query.get("force") == "false":
            raise ApiError(409, "Conflict", "conflict", [{"message": f"conflict with {manager}", "field": ".data.a"}])
        return patch(path, body, content_type, **query)

    monkeypatch.setattr(api, "patch", refuse_unforced)
    if mended:
        crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "3"}), [], 0, preview=True)
    else:
        with pytest.raises(InitFailedError, match="conflict"):
            crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "3"}), [], 0, preview=True)


def test_an_update_of_an_object_that_is_gone_is_an_error(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map())
    api.objects.clear()
    with pytest.raises(ResourceError, match="not found"):
        crud.update(cluster, CONFIG_MAP, properties, config_map(data={"a": "1"}), [], 0, preview=False)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"manager": "me", "operation": "Apply", "fieldsV1": {"f:a": {}}}], None),
        ([{"manager": "argo", "operation": "Apply", "fieldsV1": {"f:a": {}}}], None),
        ([{"manager": "kubelet", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}], None),
        (
            [{"manager": "pulumi-kubernetes-1", "operation": "Update", "fieldsV1": {"f:a": {"f:b": {}}}}],
            [("me", "Apply", {"f:a": {"f:b": {}}})],
        ),
        (
            [
                {"manager": "me", "operation": "Apply", "fieldsV1": {"f:a": {"f:b": {}}}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:a": {"f:c": {}}, "f:d": {}}},
                {"manager": "argo", "operation": "Apply", "fieldsV1": {"f:z": {}}},
            ],
            [("argo", "Apply", {"f:z": {}}), ("me", "Apply", {"f:a": {"f:b": {}, "f:c": {}}, "f:d": {}})],
        ),
    ],
)
def test_fields_set_by_hand_or_by_a_post_come_to_the_applier(
    entries: list[dict[str, Any]], expected: list[tuple[str, str, dict[str, Any]]] | None
) -> None:
    moved = apply.moved_to(entries, "me")
    found = None if moved is None else [(e["manager"], e["operation"], e["fieldsV1"]) for e in moved]
    assert found == expected


@pytest.mark.parametrize(
    ("owner", "expected"),
    [("hpa", {"paused": True}), ("me", {"paused": True, "replicas": 7}), (None, {"paused": True, "replicas": 7})],
)
def test_ignored_fields_are_left_to_their_owner(owner: str | None, expected: dict[str, Any]) -> None:
    entries = [{"manager": owner, "fieldsV1": {"f:spec": {"f:replicas": {}}}}] if owner else []
    live = {"spec": {"replicas": 7}, "metadata": {"managedFields": entries}}
    kept = apply.without_ignored({"spec": {"paused": True, "replicas": 1}}, live, "me", ["spec.replicas"])
    assert kept["spec"] == expected


# --- Read and Delete


def test_reading_what_is_gone_says_so(cluster: Cluster) -> None:
    assert crud.read(cluster, CONFIG_MAP, "ns/named", {}, {}).id == ""
    assert crud.read(cluster, urn("ex.io/v1:Unheard"), "ns/x", {}, {}).id == ""


def test_an_import_takes_the_inputs_from_the_cluster(cluster: Cluster) -> None:
    made(cluster, config_map(data={"a": "1"}, immutable=True))
    read = crud.read(cluster, CONFIG_MAP, "ns/named", {}, {})
    assert read.id == "ns/named"
    assert read.inputs == config_map(data={"a": "1"}, immutable=True)


def test_a_refresh_keeps_the_inputs_shape_and_secrets(cluster: Cluster) -> None:
    given = config_map(data={"a": Secret("1")})
    properties = made(cluster, given)
    read = crud.read(cluster, CONFIG_MAP, "ns/named", properties, given)
    assert read.inputs == given


@pytest.mark.parametrize(
    ("annotations", "policy"),
    [
        ({}, "Foreground"),
        ({"pulumi.com/deletionPropagationPolicy": "background"}, "Background"),
        ({"pulumi.com/deletionPropagationPolicy": "orphan"}, "Orphan"),
    ],
)
def test_objects_are_deleted_in_the_foreground_unless_asked_otherwise(
    cluster: Cluster, api: FakeApi, annotations: dict[str, str], policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config_map(metadata={"name": "named", "namespace": "ns", "annotations": annotations})
    properties = made(cluster, given)
    asked: list[str] = []
    delete = api.delete

    def recorded(path: str, propagation: str) -> dict[str, Any]:
        asked.append(propagation)
        return delete(path, propagation)

    monkeypatch.setattr(api, "delete", recorded)
    crud.delete(cluster, CONFIG_MAP, properties, 0)
    assert asked == [policy]
    assert api.objects == {}


def test_deleting_what_is_gone_is_no_error(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map())
    api.objects.clear()
    crud.delete(cluster, CONFIG_MAP, properties, 0)


def test_deleting_a_patch_gives_up_its_fields_and_leaves_the_object(cluster: Cluster, api: FakeApi) -> None:
    path = "/api/v1/namespaces/ns/configmaps/named"
    api.objects[path] = config_map()
    patch = urn("core/v1:ConfigMapPatch")
    properties = made(cluster, config_map(data={"a": "1"}), patch)
    crud.delete(cluster, patch, properties, 0)
    assert path in api.objects
    assert [method for method, _, _ in api.requests] == ["PATCH", "GET", "PATCH"]


# --- An API server that is not there


def test_an_unreachable_cluster_is_an_error_only_when_a_resource_needs_it(
    cluster: Cluster, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise UnreachableError("the API server https://test of context 'test' does not answer: refused")

    monkeypatch.setattr(api, "request", refuse)
    given = compare.check(cluster, CONFIG_MAP, {}, config_map(), b"", None).inputs
    assert crud.create(cluster, CONFIG_MAP, given, 0, preview=True).properties == given
    operations: list[Callable[[], object]] = [
        lambda: crud.create(cluster, CONFIG_MAP, given, 0, preview=False),
        lambda: crud.update(cluster, CONFIG_MAP, given, given, [], 0, preview=False),
        lambda: crud.read(cluster, CONFIG_MAP, "ns/named", given, given),
        lambda: crud.delete(cluster, CONFIG_MAP, given, 0),
    ]
    for operation in operations:
        with pytest.raises(ResourceError, match=r"https://test of context 'test'"):
            operation()


def test_field_managers_differ_by_resource_and_stay_the_same_for_one() -> None:
    names = {state.field_manager_for(urn("core/v1:ConfigMap", n), {}) for n in ("a", "b", "a")}
    assert len(names) == 2
    annotated = {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "mine"}}}
    assert state.field_manager_for(CONFIG_MAP, annotated, "recorded") == "mine"
