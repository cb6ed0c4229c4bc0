"""The sandbox's provider's differences: kinds of change, property paths, and what replaces an object."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.provider import diff, objects, replacement
from sandbox.provider.normalize import normalize, quantity
from sandbox.provider.values import UNKNOWN

ADD, UPDATE, DELETE = "add", "update", "delete"
PODS = {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}}


def _changes(kind: str, old: dict[str, Any], new: dict[str, Any], **mutable: bool) -> dict[str, str]:
    api_version, _, name = kind.rpartition("/")
    obj = {**new, "apiVersion": api_version, "kind": name}
    rules = replacement.replaced_by(
        obj,
        mutable_config_maps=mutable.get("config_maps", False),
        mutable_secrets=mutable.get("secrets", False),
    )
    found = diff.changes(diff.merge_patch(old, new), old, new, old, rules)
    return {key: f"{change.kind}{'-replace' if change.replaces else ''}" for key, change in found.items()}


def _containers(**second: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", **second}]}}


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        ("v1/Pod", PODS, _containers(image="y:2"), {"spec.containers[1].image": "update-replace"}),
        ("apps/v1/Deployment", PODS, _containers(image="y:2"), {"spec.containers[1].image": UPDATE}),
        ("v1/Pod", PODS, _containers(image="y:1", x="1"), {"spec.containers[1].x": ADD}),
        ("v1/Pod", _containers(image="y:1", x="1"), PODS, {"spec.containers[1].x": DELETE}),
        ("x/v1/W", {"spec": {"a": [1, 2]}}, {"spec": {"a": [1, 2, 3]}}, {"spec.a[2]": ADD}),
        ("x/v1/W", {"spec": {"a": [1, 2]}}, {"spec": {"a": [1]}}, {"spec.a[1]": DELETE}),
        ("x/v1/W", {"spec": {"a": [1]}}, {"spec": {"a": {"b": 1}}}, {"spec.a": UPDATE}),
        ("x/v1/W", {"spec": {"a": True}}, {"spec": {"a": 1}}, {"spec.a": UPDATE}),
        ("x/v1/W", {"spec": {"a": 1}}, {"spec": {"a": 1.0}}, {}),
        ("x/v1/W", {"spec": {"a": 1}}, {"spec": {"a": UNKNOWN}}, {"spec.a": UPDATE}),
        ("x/v1/W", {"spec": {}}, {"spec": {"a": UNKNOWN}}, {"spec.a": ADD}),
        ("x/v1/W", {"spec": {"a": 1}}, {}, {"spec": DELETE}),
        (
            "x/v1/W",
            {"metadata": {"annotations": {"a.b/c": "1", "plain/x": "1"}}},
            {"metadata": {"annotations": {"a.b/c": "2", "plain/x": "2"}}},
            {'metadata.annotations["a.b/c"]': UPDATE, "metadata.annotations.plain/x": UPDATE},
        ),
        ("v1/ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}, {"data.a": "update-replace"}),
        ("v1/ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "1", "b": "2"}}, {"data.b": "add-replace"}),
        ("v1/ConfigMap", {"data": {"a": "1"}}, {}, {"data": "delete-replace"}),
        ("v1/ConfigMap", {"metadata": {}}, {"metadata": {"labels": {"a": "b"}}}, {"metadata.labels": ADD}),
        ("v1/Secret", {"data": {"a": "MQ=="}}, {"data": {"a": "Mg=="}}, {"data.a": "update-replace"}),
        ("v1/Secret", {"type": "Opaque"}, {"type": "x"}, {"type": "update-replace"}),
        ("v1/Service", {"spec": {"clusterIP": "None"}}, {"spec": {}}, {"spec.clusterIP": "delete-replace"}),
        (
            "v1/Service",
            {"spec": {"ports": [{"port": 1}]}},
            {"spec": {"ports": [{"port": 2}]}},
            {"spec.ports[0].port": UPDATE},
        ),
        (
            "apps/v1/Deployment",
            {"spec": {"selector": {"matchLabels": {"a": "1"}}}},
            {"spec": {"selector": {"matchLabels": {"a": "2"}}}},
            {"spec.selector.matchLabels.a": "update-replace"},
        ),
        (
            "apps/v1/DaemonSet",
            {"spec": {"selector": {"matchLabels": {"a": "1"}}}},
            {"spec": {"selector": {"matchLabels": {"a": "2"}}}},
            {"spec.selector.matchLabels.a": "update-replace"},
        ),
        (
            "apps/v1/StatefulSet",
            {"spec": {"serviceName": "a", "replicas": 1}},
            {"spec": {"serviceName": "b", "replicas": 2}},
            {"spec.serviceName": "update-replace", "spec.replicas": UPDATE},
        ),
        (
            "batch/v1/Job",
            {"spec": {"template": {"spec": {"x": 1}}}},
            {"spec": {"template": {"spec": {"x": 2}}}},
            {"spec.template.spec.x": "update-replace"},
        ),
        ("batch/v1/CronJob", {"spec": {"template": 1}}, {"spec": {"template": 2}}, {"spec.template": UPDATE}),
        (
            "rbac.authorization.k8s.io/v1/RoleBinding",
            {"roleRef": {"name": "view"}},
            {"roleRef": {"name": "edit"}},
            {"roleRef.name": "update-replace"},
        ),
        (
            "v1/PersistentVolumeClaim",
            {"spec": {}},
            {"spec": {"accessModes": ["x"]}},
            {"spec.accessModes": "add-replace"},
        ),
        (
            "v1/PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
            {"spec.resources.requests.storage": UPDATE},
        ),
        ("x/v1/W", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, {"metadata.name": "update-replace"}),
        (
            "x/v1/W",
            {"metadata": {"namespace": "a"}},
            {"metadata": {"namespace": UNKNOWN}},
            {"metadata.namespace": "update-replace"},
        ),
    ],
)
def test_each_change_has_its_path_and_kind(
    kind: str, old: dict[str, Any], new: dict[str, Any], expected: dict[str, str]
) -> None:
    assert _changes(kind, old, new) == expected


@pytest.mark.parametrize(
    ("kind", "flag", "extra", "expected"),
    [
        ("v1/ConfigMap", "config_maps", {}, UPDATE),
        ("v1/ConfigMap", "config_maps", {"immutable": True}, "update-replace"),
        ("v1/Secret", "secrets", {}, UPDATE),
        ("v1/Secret", "secrets", {"immutable": True}, "update-replace"),
    ],
)
def test_data_is_changed_in_place_when_the_provider_says_so(
    kind: str, flag: str, extra: dict[str, Any], expected: str
) -> None:
    old, new = {"data": {"a": "1"}, **extra}, {"data": {"a": "2"}, **extra}
    assert _changes(kind, old, new, **{flag: True}) == {"data.a": expected}


def test_what_the_cluster_fills_in_is_no_change() -> None:
    live = {"spec": {"replicas": 1, "paused": False}, "status": {"ready": 1}}
    patch = diff.merge_patch(live, {"spec": {"replicas": 1}})
    assert diff.changes(patch, live, {"spec": {"replicas": 1}}, {"spec": {"replicas": 1}}, ()) == {}


def test_pruning_keeps_what_a_person_set_at_its_live_value() -> None:
    live = {"spec": {"a": 2, "b": 1, "list": [{"x": 1, "y": 2}, {"x": 3}]}, "status": {}}
    shape = {"spec": {"a": 1, "list": [{"x": 1}]}, "gone": 1}
    assert objects.prune(live, shape) == {"spec": {"a": 2, "list": [{"x": 1}]}}


@pytest.mark.parametrize(
    ("ignored", "left"),
    [
        (["spec.replicas"], ['metadata.annotations["a.b"]', "spec.list[0].x"]),
        (["spec"], ['metadata.annotations["a.b"]']),
        (["spec.list[*].x"], ['metadata.annotations["a.b"]', "spec.replicas"]),
        (['metadata.annotations["a.b"]'], ["spec.list[0].x", "spec.replicas"]),
        (["metadata.*"], ["spec.list[0].x", "spec.replicas"]),
        (["spec.replica"], ['metadata.annotations["a.b"]', "spec.list[0].x", "spec.replicas"]),
    ],
)
def test_ignored_changes_are_left_out(ignored: list[str], left: list[str]) -> None:
    found = {key: diff.Change(UPDATE) for key in ("spec.replicas", "spec.list[0].x", 'metadata.annotations["a.b"]')}
    assert sorted(diff.without_ignored(found, ignored)) == left


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("0.5", "500m"), ("500m", "500m"), ("1000m", "1"), (1, "1"), (0.1, "100m"), ("2", "2"), ("0", "0"),
        ("1024Mi", "1Gi"), ("1Gi", "1Gi"), ("1536Mi", "1536Mi"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"),
        ("128974848", "128974848"), ("129M", "129M"), ("1000k", "1M"), ("1e3", "1e3"), ("1E", "1E"), ("0.0001", "100u"),
        ("100Ki", "100Ki"), ("1023Ki", "1023Ki"), ("512", "512"), ("0.5Ki", "512"), ("lots", "lots"), (True, True),
    ],
)  # fmt: skip
def test_quantities_have_one_spelling(given: object, canonical: object) -> None:
    assert quantity(given) == canonical


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"hostNetwork": False, "automountServiceAccountToken": False}, {"automountServiceAccountToken": False}),
        ({"replicas": 0, "minReadySeconds": 0}, {"replicas": 0}),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"storageClassName": "", "volumeName": ""}, {"storageClassName": ""}),
        ({"emptyDir": {}, "nodeSelector": {}, "tolerations": []}, {"emptyDir": {}}),
        ({"readinessProbe": {"timeoutSeconds": 0, "periodSeconds": 5}}, {"readinessProbe": {"periodSeconds": 5}}),
        ({"clientIP": {"timeoutSeconds": 0}}, {"clientIP": {"timeoutSeconds": 0}}),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}),
        ({"labels": {"empty": ""}}, {"labels": {"empty": ""}}),
    ],
)
def test_what_the_api_server_drops_is_no_difference(given: dict[str, Any], expected: dict[str, Any]) -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": given}
    assert normalize(obj)["spec"] == expected


def test_custom_resources_keep_every_value() -> None:
    spec = {"empty": {}, "zero": 0, "list": [], "limits": {"cpu": "0.5"}}
    assert normalize({"apiVersion": "ex.io/v1", "kind": "W", "spec": spec})["spec"] == spec


def test_string_data_becomes_data() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "x"}, "data": {"a": "b2xk", "b": "eQ=="}}
    made = normalize(secret)
    assert made["data"] == {"a": "eA==", "b": "eQ=="}
    assert "stringData" not in made


def test_read_only_metadata_is_no_input() -> None:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "creationTimestamp": "t", "generation": 3}
    assert normalize({"apiVersion": "v1", "kind": "X", "metadata": metadata})["metadata"] == {"name": "a"}
