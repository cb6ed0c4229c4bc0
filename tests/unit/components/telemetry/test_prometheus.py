"""Prometheus: held against Istio's addon, its configuration, and who may query it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest
import yaml

from components.telemetry.prometheus import Prometheus, PrometheusArgs
from components.telemetry.workload import StorageArgs
from tests.unit.components.telemetry import addons
from tests.unit.mocks import Deploy, Run, in_cluster, run_program

DEPLOYMENT = "kubernetes:apps/v1:Deployment"

CONFIG = "ConfigMap/prometheus file prometheus.yml"
CONTAINER = "Deployment/prometheus container prometheus"

DIFFERENT = {
    "ClusterRole/prometheus * core/configmaps": "no job discovers ConfigMaps",
    "ClusterRole/prometheus * core/ingresses": "no job discovers Ingresses",
    "ClusterRole/prometheus * networking.k8s.io/*": "no job discovers Ingresses",
    "ClusterRole/prometheus * discovery.k8s.io/*": "the jobs discover Endpoints",
    "ClusterRole/prometheus list core/nodes/metrics": "a kubelet only asks for `get`",
    "ClusterRole/prometheus watch core/nodes/metrics": "a kubelet only asks for `get`",
    "ConfigMap/prometheus file alert*": "rule files are named by the stack",
    "ConfigMap/prometheus file re*": "rule files are named by the stack",
    "ConfigMap/prometheus file rules": "rule files are named by the stack",
    "ConfigMap/prometheus file allow-*": "a setting of another program",
    f"{CONFIG} rule_files[]=*": "rule files are named by the stack",
    f'{CONFIG} global.evaluation_interval="1m"': "rules follow the scrape interval",
    f"{CONFIG} global.scrape_timeout=*": "Prometheus' default, which follows a shorter scrape interval",
    f"{CONFIG} scrape_configs[kubernetes-services]*": "needs a blackbox exporter",
    f"{CONFIG} scrape_configs[prometheus-pushgateway]*": "needs a pushgateway",
    f"{CONTAINER} arg --storage.tsdb.retention.time=*": "deprecated: it is in prometheus.yml",
    f"{CONTAINER} arg --web.console.*": "Prometheus 3 comes without console templates",
    f"{CONTAINER} arg --web.enable-lifecycle": "no reloader needs it, and it lets any client stop Prometheus",
    "Deployment/prometheus container prometheus-config-reloader *": "Prometheus reloads its files itself",
}


def _prometheus(**changes: Any) -> Callable[[], pulumi.Output[str]]:
    given: dict[str, Any] = {
        "namespace": "istio-system",
        "image": "docker.io/prom/prometheus:v3.14.0",
        **changes,
    }

    def program() -> pulumi.Output[str]:
        return Prometheus("prometheus", PrometheusArgs(**given), in_cluster()).url

    return program


def _config(run: Run) -> dict[str, Any]:
    text = run.named("prometheus-config").inputs["data"]["prometheus.yml"]
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def test_all_of_istios_addon_is_there_or_among_the_differences() -> None:
    addons.hold(addons.built(run_program(_prometheus(), preview=False)), addons.addon("prometheus"), DIFFERENT)


def test_prometheus_has_no_right_that_the_addon_does_not_give() -> None:
    objects = (addons.built(run_program(_prometheus(), preview=False)), addons.addon("prometheus"))
    ours, theirs = (set(addons.permissions(addons.one(o, "ClusterRole", "prometheus"))) for o in objects)

    assert ours < theirs


def test_the_service_leads_to_the_pod_by_the_url_that_is_returned(deploy: Deploy) -> None:
    run = deploy(_prometheus())
    service, deployment = run.named("prometheus-service"), run.named("prometheus-server")

    assert run.result == "http://prometheus.istio-system:9090"
    assert run.named("prometheus", "istio-canary:index:Prometheus").outputs == {"url": run.result}
    assert service.spec["selector"].items() <= deployment.spec["template"]["metadata"]["labels"].items()


def test_rules_and_scrapes_have_the_same_interval(deploy: Deploy) -> None:
    config = _config(deploy(_prometheus(scrape_interval="5s")))

    assert config["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}


def test_the_retention_is_in_the_file_that_prometheus_reloads(deploy: Deploy) -> None:
    assert _config(deploy(_prometheus(retention="7d")))["storage"] == {"tsdb": {"retention": {"time": "7d"}}}


def test_rule_files_lie_beside_the_configuration_which_names_them(deploy: Deploy) -> None:
    rules = {"recording.yml": "groups: []", "alerts.yml": "groups: []"}
    run = deploy(_prometheus(rules=rules))

    assert rules.items() <= run.named("prometheus-config").inputs["data"].items()
    assert _config(run)["rule_files"] == ["/etc/config/recording.yml", "/etc/config/alerts.yml"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "http://alertmanager.monitoring:9093",
            {"scheme": "http", "static_configs": [{"targets": ["alertmanager.monitoring:9093"]}]},
        ),
        (
            "https://alerts.example.com/",
            {"scheme": "https", "static_configs": [{"targets": ["alerts.example.com"]}]},
        ),
        (
            "https://example.com/alertmanager",
            {
                "scheme": "https",
                "path_prefix": "/alertmanager",
                "static_configs": [{"targets": ["example.com"]}],
            },
        ),
    ],
)
def test_alerts_go_to_the_given_alertmanagers(deploy: Deploy, url: str, expected: dict[str, Any]) -> None:
    config = _config(deploy(_prometheus(alertmanagers=[url])))

    assert config["alerting"] == {"alertmanagers": [expected]}


def test_without_an_alertmanager_alerts_are_only_evaluated(deploy: Deploy) -> None:
    assert "alerting" not in _config(deploy(_prometheus()))


@pytest.mark.parametrize(
    "changes", [{"scrape_interval": "5s"}, {"retention": "1d"}, {"rules": {"a.yml": "groups: []"}}]
)
def test_a_changed_configuration_replaces_no_pod(deploy: Deploy, changes: dict[str, Any]) -> None:
    before, after = (deploy(_prometheus(**given)) for given in ({}, changes))

    assert before.named("prometheus-config").inputs != after.named("prometheus-config").inputs
    assert before.named("prometheus-server").inputs == after.named("prometheus-server").inputs


def test_prometheus_reloads_the_folder_that_the_kubelet_updates(deploy: Deploy) -> None:
    pod = deploy(_prometheus()).named("prometheus-server").spec["template"]["spec"]

    (container,) = pod["containers"]
    assert {"--config.auto-reload", "--config.file=/etc/config/prometheus.yml"} <= set(container["args"])
    (config,) = (mount for mount in container["volumeMounts"] if mount["name"] == "config")
    assert config == {"name": "config", "mountPath": "/etc/config", "readOnly": True}, "a subPath is never updated"


def test_only_prometheus_grafana_and_kiali_may_query(deploy: Deploy) -> None:
    (rule,) = deploy(_prometheus()).named("prometheus-policy").spec["ingress"]

    assert rule["ports"] == [{"protocol": "TCP", "port": 9090}]
    assert [source["podSelector"]["matchLabels"] for source in rule["from"]] == [
        {"app.kubernetes.io/name": server} for server in ("prometheus", "grafana", "kiali")
    ]


def test_resources_and_storage_are_the_given_ones(deploy: Deploy) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "512Mi"}}
    run = deploy(_prometheus(resources=resources, storage=StorageArgs(size="10Gi")))

    (container,) = run.named("prometheus-server", DEPLOYMENT).spec["template"]["spec"]["containers"]
    assert container["resources"] == resources
    assert run.named("prometheus-storage").spec["resources"] == {"requests": {"storage": "10Gi"}}
