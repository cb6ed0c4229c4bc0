"""The comparison with Istio's addons finds what is missing, and differences that are needless or too wide."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.components.telemetry import addons

SERVICE: dict[str, Any] = {
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "grpc", "port": 90}]},
}
DEPLOYMENT: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "web", "sidecar.istio.io/inject": "false"}},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "docker.io/example/web:1.0",
                        "args": ["--flag"],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                        "env": [{"name": "LEVEL", "value": "info"}],
                        "volumeMounts": [{"name": "files", "mountPath": "/etc/web"}],
                    }
                ],
                "volumes": [{"name": "files", "configMap": {"name": "web"}}],
            },
        }
    },
}
CONFIG_MAP: dict[str, Any] = {
    "kind": "ConfigMap",
    "metadata": {"name": "web"},
    "data": {
        "a.yaml": "jobs: [{job_name: one, steps: [{do: this}]}, {job_name: two, ports: [1, 2]}]",
        "b.ini": "[log]\nmode = console",
    },
}
ROLE: dict[str, Any] = {
    "kind": "ClusterRole",
    "metadata": {"name": "web"},
    "rules": [
        {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ],
}


def test_the_facts_of_a_service_are_its_type_and_ports() -> None:
    assert addons.facts(SERVICE) == {
        "Service/web",
        "Service/web type ClusterIP",
        "Service/web port 80/TCP -> 8080",
        "Service/web port 80/TCP named http",
        "Service/web port 90/TCP -> 90",
        "Service/web port 90/TCP named grpc",
    }


def test_the_facts_of_a_deployment_are_how_its_pods_run() -> None:
    assert addons.facts(DEPLOYMENT) == {
        "Deployment/web",
        "Deployment/web replicas 1",
        "Deployment/web strategy RollingUpdate",
        "Deployment/web service account default",
        "Deployment/web terminates within 30 s",
        "Deployment/web pod label sidecar.istio.io/inject=false",
        "Deployment/web container web image docker.io/example/web",
        "Deployment/web container web arg --flag",
        "Deployment/web container web port 8080/TCP",
        "Deployment/web container web readinessProbe GET 8080/ready",
        "Deployment/web container web env LEVEL=info",
        "Deployment/web container web mount /etc/web shows ConfigMap/web",
    }


def test_the_facts_of_a_config_map_are_the_settings_in_its_files() -> None:
    assert addons.facts(CONFIG_MAP) == {
        "ConfigMap/web",
        "ConfigMap/web file a.yaml",
        'ConfigMap/web file a.yaml jobs[one].job_name="one"',
        'ConfigMap/web file a.yaml jobs[one].steps[0].do="this"',
        'ConfigMap/web file a.yaml jobs[two].job_name="two"',
        "ConfigMap/web file a.yaml jobs[two].ports[0]=1",
        "ConfigMap/web file a.yaml jobs[two].ports[1]=2",
        "ConfigMap/web file b.ini",
        'ConfigMap/web file b.ini log.mode="console"',
    }


def test_the_facts_of_a_role_are_single_permissions() -> None:
    assert addons.facts(ROLE) == {
        "ClusterRole/web",
        "ClusterRole/web get core/pods",
        "ClusterRole/web list core/pods",
        "ClusterRole/web get apps/pods",
        "ClusterRole/web list apps/pods",
        "ClusterRole/web get /metrics",
    }


def _without_grpc() -> dict[str, Any]:
    service = copy.deepcopy(SERVICE)
    del service["spec"]["ports"][1]
    return service


def test_a_missing_fact_needs_a_reason() -> None:
    with pytest.raises(AssertionError, match="neither built nor among the differences"):
        addons.hold([_without_grpc()], [SERVICE], {"Service/web port 90/TCP -> *": "no gRPC"})

    addons.hold([_without_grpc()], [SERVICE], {"Service/web port 90/TCP *": "no gRPC"})


def test_a_difference_that_is_none_is_refused() -> None:
    with pytest.raises(AssertionError, match="nothing is missing for"):
        addons.hold([SERVICE], [SERVICE], {"Service/web port 90/TCP *": "no gRPC"})


def test_a_difference_that_covers_what_is_there_is_refused() -> None:
    with pytest.raises(AssertionError, match="also matches what is there"):
        addons.hold([_without_grpc()], [SERVICE], {"Service/web port *": "no gRPC"})


def test_a_bracket_in_a_pattern_is_a_bracket() -> None:
    settings = ("jobs[one].*", "jobs[two].*")
    different = {f"ConfigMap/web file a.yaml {setting}": "no jobs" for setting in settings}
    rest = {
        "ConfigMap/web": "no files",
        "ConfigMap/web file a.yaml": "no files",
        "ConfigMap/web file b.ini*": "no files",
    }

    addons.hold([], [CONFIG_MAP], different | rest)
