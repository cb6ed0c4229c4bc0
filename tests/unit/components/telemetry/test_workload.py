"""The objects that all telemetry servers share: a pod with few rights, its storage, secrets and NetworkPolicy."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc

from components.telemetry import workload
from components.telemetry.workload import ServerArgs, StorageArgs
from tests.unit.mocks import Deploy, Run, in_cluster

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
SECRET = "kubernetes:core/v1:Secret"  # noqa: S105
CONFIG = {"server.yml": "level: info"}


def _server(storage: StorageArgs | None = None, **changes: Any) -> Callable[[], None]:
    def program() -> None:
        opts = in_cluster()
        config_map = workload.config_map("server-config", "server", "istio-system", CONFIG, opts)
        mounts = [
            workload.config_mount("config", config_map.metadata.name, "/etc/server"),
            workload.storage_mount("server-storage", "server", "istio-system", "/data", storage, opts),
        ]
        given: dict[str, Any] = {
            "name": "server",
            "namespace": "istio-system",
            "image": "docker.io/example/server:1.0",
            "user": 1000,
            "ports": {"http": 8080},
            "readiness_probe": workload.probe("/ready", "http"),
            "liveness_probe": workload.probe("/live", "http", period_seconds=15),
            "mounts": mounts,
            **changes,
        }
        workload.deployment("server", ServerArgs(**given), opts)

    return program


def _pod(run: Run) -> dict[str, Any]:
    template: dict[str, Any] = run.named("server").spec["template"]
    return template


def test_a_pod_has_the_rights_of_the_policy_restricted_and_a_read_only_root_file_system(deploy: Deploy) -> None:
    spec = _pod(deploy(_server()))["spec"]

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_old_pod_terminates_before_the_new_one_starts(deploy: Deploy) -> None:
    deployment = deploy(_server()).named("server")

    assert deployment.spec["replicas"] == 1
    assert deployment.spec["strategy"] == {"type": "Recreate"}


def test_a_deployment_selects_its_own_pods_which_get_no_sidecar(deploy: Deploy) -> None:
    run = deploy(_server())
    labels = {"app": "server", "app.kubernetes.io/name": "server"}

    assert run.named("server").spec["selector"]["matchLabels"] == labels
    assert _pod(run)["metadata"]["labels"] == {**labels, "sidecar.istio.io/inject": "false"}


def test_a_deployment_that_is_not_ready_in_time_fails_the_run(deploy: Deploy) -> None:
    assert deploy(_server(ready_within=120)).named("server").timeouts == ("120s", "120s")


@pytest.mark.parametrize(
    ("changes", "mounted"),
    [
        ({}, False),
        ({"service_account": "server"}, True),
        ({"service_account": "server", "mount_token": False}, False),
    ],
)
def test_a_pod_gets_a_token_only_if_it_calls_kubernetes_api(
    deploy: Deploy, changes: dict[str, Any], mounted: bool
) -> None:
    spec = _pod(deploy(_server(**changes)))["spec"]

    assert spec["automountServiceAccountToken"] is mounted
    assert spec.get("serviceAccountName") == changes.get("service_account")


def test_probes_ask_the_container_port_by_its_name(deploy: Deploy) -> None:
    (container,) = _pod(deploy(_server()))["spec"]["containers"]

    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert container["readinessProbe"] == {"httpGet": {"path": "/ready", "port": "http"}}
    assert container["livenessProbe"] == {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 15}


def test_without_storage_the_data_is_in_an_empty_dir(deploy: Deploy) -> None:
    run = deploy(_server())

    assert {"name": "data", "emptyDir": {}} in _pod(run)["spec"]["volumes"]
    assert run.of_type(CLAIM) == []


@pytest.mark.parametrize(
    ("storage", "name"),
    [
        (StorageArgs(size="10Gi"), "server"),
        (StorageArgs(size="10Gi", storage_class_name="fast"), "server-fast"),
    ],
)
def test_a_claim_of_another_class_is_another_claim(deploy: Deploy, storage: StorageArgs, name: str) -> None:
    run = deploy(_server(storage))

    claim = run.named("server-storage", CLAIM)
    assert claim.metadata["name"] == name
    assert claim.spec["resources"] == {"requests": {"storage": "10Gi"}}
    assert claim.spec.get("storageClassName") == storage.storage_class_name
    assert {"name": "data", "persistentVolumeClaim": {"claimName": name}} in _pod(run)["spec"]["volumes"]


def test_a_claim_is_not_awaited_because_it_may_be_bound_only_when_the_pod_exists(deploy: Deploy) -> None:
    claim = deploy(_server(StorageArgs(size="1Gi"))).named("server-storage", CLAIM)

    assert claim.metadata["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_files_are_mounted_read_only_and_data_is_not(deploy: Deploy) -> None:
    (container,) = _pod(deploy(_server()))["spec"]["containers"]

    assert container["volumeMounts"] == [
        {"name": "config", "mountPath": "/etc/server", "readOnly": True},
        {"name": "data", "mountPath": "/data"},
    ]


def test_a_pods_checksum_changes_with_the_content_of_its_files_and_not_with_their_order() -> None:
    first = workload.checksum({"a": "1", "b": "2"}, CONFIG)

    assert first == workload.checksum({"b": "2", "a": "1"}, CONFIG)
    for other in (({"a": "1", "b": "3"}, CONFIG), ({"a": "1"}, CONFIG), ({"a": "1", "b": "2"}, {})):
        assert workload.checksum(*other) != first


def _secret(value: pulumi.Input[str] | None, length: int = 32) -> Callable[[], None]:
    def program() -> None:
        opts = in_cluster()
        workload.generated_secret("server-secret", "server", "istio-system", "key", value, opts, length)

    return program


def _value(run: Run) -> str:
    data = rpc.unwrap_rpc_secret(run.named("server-secret", SECRET).inputs["data"])
    return base64.b64decode(data["key"]).decode()


def test_a_generated_secret_keeps_the_value_of_its_first_run(deploy: Deploy) -> None:
    first, second = deploy(_secret(None)), deploy(_secret(None))

    assert _value(first) != _value(second), "the value must not be predictable"
    for run in (first, second):
        ignored = run.named("server-secret", SECRET).ignores
        assert ignored == ("data",), "another value in every run would be a diff in every run"
    assert first.named("server-secret").metadata == second.named("server-secret").metadata


@pytest.mark.parametrize("length", [16, 31, 32])
def test_a_generated_secret_has_the_wanted_length(deploy: Deploy, length: int) -> None:
    assert len(_value(deploy(_secret(None, length)))) == length


def test_a_given_secret_is_written_as_it_is_and_may_change(deploy: Deploy) -> None:
    run = deploy(_secret("from the stack's config"))

    assert _value(run) == "from the stack's config"
    assert run.named("server-secret", SECRET).ignores == ()


@pytest.mark.parametrize("value", [None, "given"])
def test_a_secrets_value_reaches_the_engine_as_a_secret(deploy: Deploy, value: str | None) -> None:
    assert rpc.is_rpc_secret(deploy(_secret(value)).named("server-secret", SECRET).inputs["data"])


def test_a_rule_that_would_allow_nobody_is_left_out() -> None:
    assert workload.allow([80], []) == [], "without a source it would allow everyone"


def test_a_network_policy_names_the_servers_and_namespaces_that_may_connect(deploy: Deploy) -> None:
    def program() -> None:
        rules = [*workload.allow([80, 81], ["grafana"], ["monitoring"]), *workload.allow_all([4317])]
        workload.network_policy("server-policy", "server", "istio-system", rules, in_cluster())

    policy = deploy(program).named("server-policy")

    assert policy.spec == {
        "podSelector": {"matchLabels": {"app": "server", "app.kubernetes.io/name": "server"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [
                    {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "grafana"}}},
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
                ],
                "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "TCP", "port": 81}],
            },
            {"ports": [{"protocol": "TCP", "port": 4317}]},
        ],
    }
