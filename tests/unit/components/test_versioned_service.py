"""A service in several versions: its pods, how they terminate, and what makes them roll over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.versioned_service import DisruptionBudgetArgs, VersionArgs, VersionedService, VersionedServiceArgs
from tests.unit.mocks import Deploy, Run, in_cluster

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECURITY = k8s.core.v1.SecurityContextArgs(run_as_user=1000)


def _service(*, ready_within: int = 300, speaks_tls: bool = False, **changes: Any) -> Callable[[], pulumi.Output[Any]]:
    given: dict[str, Any] = {
        "name": "web-v1",
        "label": "website-version-1",
        "image": "hashicorp/http-echo:1.0.0",
        "port": 5678,
        "security_context": SECURITY,
        "args": ["-listen=:5678", "-text=echo-v1"],
        "replicas": 4,
        **changes,
    }
    versions = {
        "version-1": VersionArgs(**given),
        "version-2": VersionArgs(
            name="web-v2",
            label="website-version-2",
            image="hashicorp/http-echo:1.0.0",
            port=5678,
            security_context=SECURITY,
        ),
    }
    args = VersionedServiceArgs(
        service="website",
        namespace="website-istio-ns",
        port=80,
        versions=versions,
        speaks_tls=speaks_tls,
        ready_within=ready_within,
    )

    def program() -> pulumi.Output[Any]:
        service = VersionedService("website", args, in_cluster())
        service.complete([], None)
        return pulumi.Output.all(service.service_name, service.deployment_names)

    return program


def _pod(run: Run, version: str = "version-1") -> dict[str, Any]:
    template: dict[str, Any] = run.named(f"website-{version}", DEPLOYMENT).spec["template"]
    return template


def _container(run: Run) -> dict[str, Any]:
    (container,) = _pod(run)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_each_version_is_a_deployment_with_its_own_label(deploy: Deploy) -> None:
    run = deploy(_service())

    for version, name in (("version-1", "web-v1"), ("version-2", "web-v2")):
        deployment = run.named(f"website-{version}", DEPLOYMENT)
        labels = {"app": "website", "version": f"website-{version}"}
        assert {key: deployment.metadata[key] for key in ("name", "namespace", "labels")} == {
            "name": name,
            "namespace": "website-istio-ns",
            "labels": labels,
        }
        assert deployment.spec["selector"] == {"matchLabels": labels}, "two versions must not claim each other's pods"
        assert deployment.spec["template"]["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("budget", "limits"),
    [
        (DisruptionBudgetArgs(max_unavailable=1), {"maxUnavailable": 1}),
        (DisruptionBudgetArgs(min_available="50%"), {"minAvailable": "50%"}),
    ],
)
def test_a_version_with_a_budget_has_a_pod_disruption_budget_for_its_own_pods(
    deploy: Deploy, budget: DisruptionBudgetArgs, limits: dict[str, Any]
) -> None:
    run = deploy(_service(disruption_budget=budget))

    (created,) = run.of_type(":PodDisruptionBudget")
    labels = {"app": "website", "version": "website-version-1"}
    assert created.type == "kubernetes:policy/v1:PodDisruptionBudget"
    assert created.metadata == {"name": "web-v1", "namespace": "website-istio-ns", "labels": labels}
    assert created.spec == {**limits, "selector": {"matchLabels": labels}}


def test_the_service_selects_all_versions_and_names_its_protocol(deploy: Deploy) -> None:
    service = deploy(_service()).named("website-service", "kubernetes:core/v1:Service")

    assert service.spec == {
        "type": "ClusterIP",
        "selector": {"app": "website"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


def test_sidecars_pass_tls_through_to_pods_that_terminate_it(deploy: Deploy) -> None:
    service = deploy(_service(speaks_tls=True)).named("website-service", "kubernetes:core/v1:Service")

    assert [port["appProtocol"] for port in service.spec["ports"]] == ["https"]


def test_the_container_is_built_from_the_version(deploy: Deploy) -> None:
    probe = k8s.core.v1.ProbeArgs(tcp_socket=k8s.core.v1.TCPSocketActionArgs(port=5678), period_seconds=2)
    run = deploy(
        _service(
            command=["/http-echo"],
            env={"LEVEL": "debug", "EMPTY": ""},
            resources=k8s.core.v1.ResourceRequirementsArgs(requests={"cpu": "10m"}),
            readiness_probe=probe,
            liveness_probe=probe,
            image_pull_policy="Never",
        )
    )
    container = _container(run)

    assert container["image"] == "hashicorp/http-echo:1.0.0"
    assert container["imagePullPolicy"] == "Never"
    assert container["command"] == ["/http-echo"]
    assert container["args"] == ["-listen=:5678", "-text=echo-v1"]
    assert container["env"] == [{"name": "LEVEL", "value": "debug"}, {"name": "EMPTY"}]
    assert container["ports"] == [{"name": "http", "containerPort": 5678, "protocol": "TCP"}]
    assert container["resources"] == {"requests": {"cpu": "10m"}}
    assert (
        container["readinessProbe"] == container["livenessProbe"] == {"tcpSocket": {"port": 5678}, "periodSeconds": 2}
    )


def test_the_security_context_is_only_on_the_container_and_no_token_is_mounted(deploy: Deploy) -> None:
    run = deploy(_service())

    assert _container(run)["securityContext"] == {"runAsUser": 1000}
    pod = _pod(run)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "website"
    assert "securityContext" not in pod, "Istio's injected containers keep their own"


@pytest.mark.parametrize(("seconds", "lifecycle"), [(5, {"preStop": {"sleep": {"seconds": 5}}}), (0, None)])
def test_a_pod_continues_to_serve_before_it_terminates(deploy: Deploy, seconds: int, lifecycle: Any) -> None:
    assert _container(deploy(_service(pre_stop_seconds=seconds))).get("lifecycle") == lifecycle


def test_an_update_waits_for_the_configured_time(deploy: Deploy) -> None:
    deployment = deploy(_service(ready_within=45)).named("website-version-1", DEPLOYMENT)

    assert deployment.timeouts == ("45s", "45s")
    assert deployment.spec["progressDeadlineSeconds"] == 600
    patient = deploy(_service(ready_within=900)).named("website-version-1", DEPLOYMENT)
    assert patient.spec["progressDeadlineSeconds"] == 900, "Kubernetes would give up before Pulumi does"


def test_config_files_are_mounted_read_only_from_an_immutable_config_map(deploy: Deploy) -> None:
    files = {"/config": {"application.properties": "instance.name=Two"}}
    run = deploy(_service(config_files=files))

    config_map = run.named("website-version-1/config", CONFIG_MAP)
    assert config_map.inputs["data"] == {"application.properties": "instance.name=Two"}
    assert config_map.inputs["immutable"] is True
    assert config_map.metadata["name"].startswith("web-v1-")
    pod = _pod(run)["spec"]
    assert pod["volumes"] == [{"name": "config-0", "configMap": {"name": config_map.metadata["name"]}}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "config-0", "mountPath": "/config", "readOnly": True}]
    assert "volumes" not in _pod(run, "version-2")["spec"], "the other version has no files"


def test_a_changed_config_file_is_a_new_config_map_and_rolls_the_pods_of_its_version_only(deploy: Deploy) -> None:
    before, after = (
        deploy(_service(config_files={"/config": {"application.properties": f"instance.name={name}"}}))
        for name in ("One", "Two")
    )

    names = [run.of_type(CONFIG_MAP)[0].metadata["name"] for run in (before, after)]
    assert names[0] != names[1], "the old ConfigMap must stay until the last pod that mounts it is gone"
    assert _pod(before) != _pod(after), "the pods would keep the old file"
    assert _pod(before, "version-2") == _pod(after, "version-2")


def test_equal_config_files_give_equal_names_in_any_order(deploy: Deploy) -> None:
    files = [{"/a": {"x": "1", "y": "2"}, "/b": {"z": "3"}}, {"/b": {"z": "3"}, "/a": {"y": "2", "x": "1"}}]
    runs = [deploy(_service(config_files=order)) for order in files]

    assert _pod(runs[0]) == _pod(runs[1]), "the order in a file must not replace pods"


def test_the_service_registers_its_outputs(deploy: Deploy) -> None:
    run = deploy(_service())

    deployments = {"version-1": "web-v1", "version-2": "web-v2"}
    assert run.result == ["website", deployments]
    assert run.named("website", "istio-canary:index:VersionedService").outputs == {
        "service_name": "website",
        "deployment_names": deployments,
    }
