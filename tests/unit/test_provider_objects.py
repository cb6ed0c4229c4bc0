"""Check, Diff and Create of the sandbox's provider, against an API server in a dictionary."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.provider import compare, crud
from sandbox.provider.api import ApiError
from sandbox.provider.cluster import Cluster
from sandbox.provider.naming import Autonaming, NamingError
from sandbox.provider.outcome import ResourceError
from sandbox.provider.values import UNKNOWN, Secret
from tests.unit.provider_fakes import CONFIG_MAP, FakeApi, config_map, fake_cluster, made, urn


@pytest.fixture
def api() -> FakeApi:
    """The API server."""
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Cluster:
    """A cluster with the settings' defaults."""
    return fake_cluster(api)


# --- Check


@pytest.mark.parametrize(
    ("type_", "given", "namespace"),
    [
        ("core/v1:ConfigMap", {"apiVersion": "v1", "kind": "ConfigMap"}, "default"),
        ("core/v1:Namespace", {"apiVersion": "v1", "kind": "Namespace"}, None),
        ("ex.io/v1:Widget", {"apiVersion": "ex.io/v1", "kind": "Widget"}, "default"),
        ("ex.io/v1:Planet", {"apiVersion": "ex.io/v1", "kind": "Planet"}, None),
        ("ex.io/v1:Unheard", {"apiVersion": "ex.io/v1", "kind": "Unheard"}, "default"),
    ],
)
def test_objects_with_a_namespace_get_the_default_one(
    cluster: Cluster, type_: str, given: dict[str, Any], namespace: str | None
) -> None:
    checked = compare.check(cluster, urn(type_), {}, given, b"", None).inputs
    assert checked["metadata"].get("namespace") == namespace


def test_an_object_without_a_name_gets_one_and_keeps_it(cluster: Cluster) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": Secret("x")}}
    first = compare.check(cluster, CONFIG_MAP, {}, given, b"", None).inputs
    name = first["metadata"]["name"]
    assert name.startswith("thing-")
    assert len(name) == len("thing-") + 8
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert first["data"] == {"a": Secret("x")}, "a secret stays one"
    assert compare.check(cluster, CONFIG_MAP, first, given, b"", None).inputs == first


def test_the_engines_seed_makes_the_same_name_in_preview_and_update(cluster: Cluster) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap"}
    names = {compare.check(cluster, CONFIG_MAP, {}, given, b"seed", None).inputs["metadata"]["name"] for _ in "ab"}
    assert len(names) == 1


@pytest.mark.parametrize("metadata", [{"name": "mine"}, {"name": UNKNOWN}])
def test_a_given_name_is_kept_even_when_it_is_not_known_yet(cluster: Cluster, metadata: dict[str, Any]) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    checked = compare.check(cluster, CONFIG_MAP, {}, given, b"", None).inputs["metadata"]
    assert checked["name"] is metadata["name"]
    assert "annotations" not in checked


def test_the_stacks_autonaming_settings_are_obeyed(cluster: Cluster) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap"}
    proposed = compare.check(cluster, CONFIG_MAP, {}, given, b"", Autonaming("mine", "enforce")).inputs
    assert proposed["metadata"]["name"] == "mine"
    with pytest.raises(NamingError, match=r"metadata\.name"):
        compare.check(cluster, CONFIG_MAP, {}, given, b"", Autonaming(mode="disable"))


@pytest.mark.parametrize(
    ("type_", "given", "message"),
    [
        ("core/v1:ConfigMapList", {"apiVersion": "v1", "kind": "ConfigMapList"}, "list resources"),
        ("core/v1:NamespacePatch", {"apiVersion": "v1", "kind": "Namespace"}, r"require the `\.metadata\.name`"),
        ("core/v1:ConfigMap", {"data": {}}, "needs `apiVersion` and `kind`"),
        ("core/v1:Pod", {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}, "generateName"),
    ],
)
def test_what_cannot_be_made_is_refused(cluster: Cluster, type_: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        compare.check(cluster, urn(type_), {}, given, b"", None)


# --- Diff


@pytest.mark.parametrize(
    ("metadata", "before_delete"),
    [
        ({"name": "named", "namespace": "ns"}, True),
        ({"name": "named", "namespace": "ns", "annotations": {"pulumi.com/autonamed": "true"}}, False),
        ({"name": "other", "namespace": "ns"}, False),
        ({"name": "named", "namespace": "elsewhere"}, False),
    ],
)
def test_a_named_object_is_deleted_before_its_replacement_ismade(
    cluster: Cluster, metadata: dict[str, Any], before_delete: bool
) -> None:
    old = config_map(metadata={**metadata, "name": "named", "namespace": "ns"}, data={"a": "1"})
    found = compare.difference(
        cluster, CONFIG_MAP, made(cluster, old), config_map(metadata=metadata, data={"a": "2"}), []
    )
    assert "data.a" in found.replaces
    assert found.delete_before_replace == before_delete


def test_a_diff_asks_the_cluster_nothing(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map(data={"a": "1"}))
    api.requests.clear()
    assert compare.difference(cluster, CONFIG_MAP, properties, config_map(data={"a": "1"}), []).changes == {}
    assert api.requests == []


def test_a_patch_resource_is_changed_in_place(cluster: Cluster) -> None:
    patch = urn("core/v1:ConfigMapPatch")
    properties = made(cluster, config_map(data={"a": "1"}))
    found = compare.difference(cluster, patch, properties, config_map(data={"a": "2"}), [])
    assert found.replaces == ()
    assert list(found.changes) == ["data.a"]


def test_a_change_in_the_cluster_is_seen_after_a_refresh(cluster: Cluster, api: FakeApi) -> None:
    properties = made(cluster, config_map(data={"a": "1"}))
    api.objects["/api/v1/namespaces/ns/configmaps/named"]["data"]["a"] = "edited"
    read = crud.read(cluster, CONFIG_MAP, "ns/named", properties, config_map(data={"a": "1"}))
    found = compare.difference(cluster, CONFIG_MAP, read.properties, config_map(data={"a": "1"}), [])
    assert list(found.changes) == ["data.a"]


# --- Create


def test_an_object_is_made_by_a_post_as_a_manager_of_its_own(cluster: Cluster, api: FakeApi) -> None:
    outcome = crud.create(cluster, CONFIG_MAP, config_map(data={"a": Secret("x")}), 0, preview=False)
    method, path, query = api.requests[0]
    assert (method, path) == ("POST", "/api/v1/namespaces/ns/configmaps")
    assert query["fieldManager"].startswith("pulumi-kubernetes-")
    assert outcome.id == "ns/named"
    assert outcome.properties["data"] == {"a": Secret("x")}
    assert outcome.properties["__inputs"]["data"] == {"a": Secret("x")}
    assert outcome.properties["__initialApiVersion"] == "v1"
    assert outcome.properties["__fieldManager"] == query["fieldManager"]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (config_map(), True),
        (config_map(data={"a": UNKNOWN}), False),
        ({"apiVersion": "ex.io/v1", "kind": "Unheard", "metadata": {"name": "x"}}, False),
    ],
)
def test_a_preview_is_a_dry_run_of_what_is_known(
    cluster: Cluster, api: FakeApi, given: dict[str, Any], asked: bool
) -> None:
    outcome = crud.create(cluster, CONFIG_MAP, given, 0, preview=True)
    assert outcome.id == ""
    assert api.objects == {}
    assert [query.get("dryRun") for _, _, query in api.requests] == (["All"] if asked else [])


@pytest.mark.parametrize(
    "error",
    [
        ApiError(409, "AlreadyExists", "it exists"),
        ApiError(404, "NotFound", "namespaces ns not found"),
        ApiError(403, "Forbidden", "no"),
    ],
)
def test_a_preview_bears_what_the_update_will_have_mended(cluster: Cluster, api: FakeApi, error: ApiError) -> None:
    api.refusals["POST"] = error
    assert crud.create(cluster, CONFIG_MAP, config_map(), 0, preview=True).properties == config_map()


def test_a_preview_shows_what_the_api_server_will_refuse(cluster: Cluster, api: FakeApi) -> None:
    api.refusals["POST"] = ApiError(422, "Invalid", "spec.x is wrong")
    with pytest.raises(ResourceError, match=r"spec\.x is wrong"):
        crud.create(cluster, CONFIG_MAP, config_map(), 0, preview=True)


def test_an_object_that_exists_is_an_error_with_the_way_to_import_it(cluster: Cluster, api: FakeApi) -> None:
    made(cluster, config_map(), urn("core/v1:ConfigMap", "another resource"))
    with pytest.raises(ResourceError, match="already exists") as caught:
        made(cluster, config_map())
    assert "pulumi import kubernetes:core/v1:ConfigMap <name> ns/named" in str(caught.value)


def test_an_object_that_exists_is_taken_over_when_the_provider_says_so(api: FakeApi) -> None:
    cluster = fake_cluster(api, upsert_existing_objects=True)
    api.objects["/api/v1/namespaces/ns/configmaps/named"] = config_map()
    assert made(cluster, config_map(data={"a": "1"}))["data"] == {"a": "1"}
    assert api.requests[0][0] == "PATCH"


def test_an_object_left_by_a_killed_update_is_gone_on_with(cluster: Cluster, api: FakeApi) -> None:
    made(cluster, config_map(data={"a": "1"}))
    again = made(cluster, config_map(data={"a": "2"}))
    assert again["data"] == {"a": "2"}


def test_a_missing_namespace_is_waited_for(cluster: Cluster, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.refusals["POST"] = ApiError(404, "NotFound", "namespaces ns not found")
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            del api.refusals["POST"]
        return False

    monkeypatch.setattr(cluster.cancelled, "wait", wait)
    assert made(cluster, config_map())["metadata"]["name"] == "named"
    assert len(pauses) == 3


def test_a_kind_that_never_comes_is_told_by_its_name(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.cancelled, "wait", lambda seconds: False)
    given = {"apiVersion": "ex.io/v1", "kind": "Unheard", "metadata": {"name": "x"}}
    with pytest.raises(ResourceError, match=r"CRDs have been created.*'Unheard'"):
        made(cluster, given, urn("ex.io/v1:Unheard"))
