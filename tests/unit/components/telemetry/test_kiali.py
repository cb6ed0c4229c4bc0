"""Kiali: its rights, its configuration by Kiali's documentation, its keys, and Istio's addon."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml

from components.telemetry.kiali import (
    CANARY_DASHBOARD,
    ISTIO_DASHBOARDS,
    Kiali,
    KialiArgs,
    KialiGrafana,
    KialiTracing,
    configuration,
    istiod_env,
)
from tests.unit.components.telemetry import addons
from tests.unit.istio_crds import module_folder
from tests.unit.mocks import Deploy, Run, in_cluster

IMAGE = "quay.io/kiali/kiali:v2.31"
PROMETHEUS = "http://prometheus.istio-system:9090"
SECRET = {pulumi.runtime.rpc._special_sig_key: pulumi.runtime.rpc._special_secret_sig}
TRACING = KialiTracing(internal_url="http://tracing.istio-system:16685/jaeger", external_url="http://localhost:16686")
GRAFANA = KialiGrafana(
    internal_url="http://grafana.istio-system:3000",
    external_url="http://localhost:3000",
    admin_secret="grafana",  # noqa: S106 - the Secret's name
)
RESOURCES = k8s.core.v1.ResourceRequirementsArgs(limits={"memory": "1Gi"}, requests={"cpu": "10m", "memory": "64Mi"})

PACKAGING = "read by Kiali's chart and operator, not by the server"
DEFAULT = "the server's default"
DIFFERENT = {
    **{
        f"*file config.yaml deployment.{key}*": PACKAGING
        for key in (
            *("additional_", "affinity.", "configmap_annotations", "custom_", "dns.", "extra_labels", "host_aliases"),
            *(
                "hpa.",
                "image_",
                "ingress",
                "logger.",
                "network_policy.",
                "node_selector",
                "pod_",
                "priority_class_name",
            ),
            *("probes.", "replicas", "resources.", "secret_name", "security_context", "service_", "strategy"),
            *("tolerations", "topology_spread_constraints", "version_label"),
        )
    },
    "*file config.yaml skipResources=*": PACKAGING,
    "*file config.yaml deployment.discovery_selectors={}": DEFAULT,
    "*file config.yaml deployment.remote_cluster_resources_only=false": DEFAULT,
    "*file config.yaml deployment.tls_config.*": DEFAULT,
    "*file config.yaml auth.open*": "for logins by OpenID and OpenShift",
    "*file config.yaml chat_ai.*": "the chat stays off",
    "*file config.yaml clustering.*": "the mesh has one cluster",
    "*file config.yaml identity.*": "no TLS inside the cluster",
    "*file config.yaml kiali_feature_flags.custom_workload_types=*": DEFAULT,
    "*file config.yaml kiali_feature_flags.disabled_features=*": DEFAULT,
    "*file config.yaml server.observability.metrics.health_status.*": DEFAULT,
    "*file config.yaml login_token.signing_key=*": "a known key; ours is in a Secret",
    "ClusterRole/kiali * extensions/*": "Kubernetes 1.16 removed this API group",
    "ClusterRole/kiali * apps.openshift.io/*": "OpenShift",
    "ClusterRole/kiali * route.openshift.io/*": "OpenShift",
    "ClusterRole/kiali * oauth.openshift.io/*": "OpenShift",
    "ClusterRole/kiali create authentication.k8s.io/tokenreviews": "for logins by token",
    "ClusterRole/kiali post *": "no verb of Kubernetes",
    "*env LOG_*": DEFAULT,
    "*mount /kiali-cabundle *": "no TLS to the other servers",
    "*mount /kiali-cert *": "no TLS inside the cluster",
    "*mount /kiali-remote-cluster-secrets/*": "the mesh has one cluster",
    "*mount /kiali-secret *": "for logins by OpenID",
    "*pod annotation proxy.istio.io/config=*": "the pod has no sidecar",
    "*security privileged=false": "Kubernetes' default",
    "*strategy RollingUpdate": "all servers have one pod at a time",
}

CR_REFERENCE = "https://kiali.io/docs/configuration/kialis.kiali.io/"
GRAFANA_PAGE = "https://kiali.io/docs/configuration/external-services/dashboards/grafana/"
JAEGER_PAGE = "https://kiali.io/docs/configuration/external-services/tracing/jaeger/"
DOCUMENTED = {
    "external_services.prometheus.url": "https://kiali.io/docs/configuration/external-services/metrics/prometheus/",
    "external_services.tracing.provider": CR_REFERENCE,
    "external_services.tracing.internal_url": JAEGER_PAGE,
    "external_services.tracing.external_url": JAEGER_PAGE,
    "external_services.tracing.use_grpc": JAEGER_PAGE,
    "external_services.grafana.enabled": GRAFANA_PAGE,
    "external_services.grafana.internal_url": GRAFANA_PAGE,
    "external_services.grafana.external_url": GRAFANA_PAGE,
    "external_services.grafana.datasource_uid": GRAFANA_PAGE,
    "external_services.grafana.auth.type": GRAFANA_PAGE,
    "external_services.grafana.auth.username": GRAFANA_PAGE,
    "external_services.grafana.dashboards.name": GRAFANA_PAGE,
    "external_services.grafana.dashboards.variables.datasource": GRAFANA_PAGE,
    "external_services.grafana.dashboards.variables.namespace": GRAFANA_PAGE,
    "external_services.grafana.dashboards.variables.service": GRAFANA_PAGE,
    "external_services.grafana.dashboards.variables.workload": GRAFANA_PAGE,
    "external_services.grafana.dashboards.variables.app": CR_REFERENCE,
}
"""Keys beyond those of Istio's addon, and the page of Kiali's documentation that names each."""


def _args(**given: Any) -> KialiArgs:
    return KialiArgs(**{"namespace": "istio-system", "image": IMAGE, "prometheus_url": PROMETHEUS, **given})


def _kiali(**given: Any) -> Callable[[], pulumi.Output[str]]:
    """A program with a Kiali; what makes an output is called in it."""

    def program() -> pulumi.Output[str]:
        known = {key: value() if callable(value) else value for key, value in given.items()}
        return Kiali("kiali", _args(**known), in_cluster()).url

    return program


def _config(run: Run) -> dict[str, Any]:
    (text,) = run.named("kiali-config").inputs["data"].values()
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def _pod(run: Run) -> dict[str, Any]:
    template: dict[str, Any] = run.named("kiali-server").spec["template"]
    return template


def _credentials(run: Run) -> dict[str, dict[str, Any]]:
    """The Secrets in Kiali's folder of credentials, by the name of the credential."""
    pod = _pod(run)["spec"]
    secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    return {
        mount["mountPath"].removeprefix("/kiali-override-secrets/"): secrets[mount["name"]]
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in secrets
    }


def _rights(run: Run) -> set[str]:
    return set(addons.permissions(run.named("kiali-role").inputs))


def _keys(value: Any, place: str = "") -> Iterator[str]:
    """Yield the path of every setting, without positions in lists."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _keys(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for item in value:
            yield from _keys(item, place)
    else:
        yield place


def _addons_config() -> dict[str, Any]:
    config_map = addons.one(addons.addon("kiali"), "ConfigMap", "kiali")
    config: dict[str, Any] = yaml.safe_load(config_map["data"]["config.yaml"])
    return config


def test_everything_in_istios_addon_is_here_or_different_for_a_reason(deploy: Deploy) -> None:
    run = deploy(_kiali(authentication="anonymous", view_only_mode=False, resources=RESOURCES))

    addons.hold(addons.built(run), addons.addon("kiali"), DIFFERENT)


@pytest.mark.parametrize(("authentication", "view_only_mode"), list(product(["token", "anonymous"], [True, False])))
def test_kiali_has_no_right_that_istios_addon_does_not_give(
    deploy: Deploy, authentication: str, view_only_mode: bool
) -> None:
    run = deploy(_kiali(authentication=authentication, view_only_mode=view_only_mode))

    assert _rights(run) <= set(addons.permissions(addons.one(addons.addon("kiali"), "ClusterRole", "kiali")))
    changes = {right for right in _rights(run) if right.split()[0] not in {"get", "list", "watch"}}
    changes -= {"create core/pods/portforward", "create authentication.k8s.io/tokenreviews"}
    may_change = authentication == "anonymous" and not view_only_mode
    assert bool(changes) is may_change, "other users change objects by the token of their login"


def test_kiali_does_not_read_secrets(deploy: Deploy) -> None:
    assert not [right for right in _rights(deploy(_kiali())) if "secrets" in right or right.endswith("core/*")]


def test_kiali_changes_nothing_and_asks_for_a_login_by_default(deploy: Deploy) -> None:
    config = _config(deploy(_kiali()))

    assert config["auth"] == {"strategy": "token"}
    assert config["deployment"]["view_only_mode"] is True


def test_every_key_of_the_configuration_is_documented() -> None:
    ours = set(_keys(configuration(_args(tracing=TRACING, grafana=GRAFANA))))

    assert ours - set(_keys(_addons_config())) == set(DOCUMENTED)


def test_the_configuration_names_the_other_servers(deploy: Deploy) -> None:
    given = {"prometheus_url": lambda: pulumi.Output.from_input(PROMETHEUS), "tracing": TRACING, "grafana": GRAFANA}
    services = _config(deploy(_kiali(**given)))["external_services"]

    assert services["prometheus"] == {"enabled": True, "url": PROMETHEUS}
    assert services["tracing"] == {
        "enabled": True,
        "provider": "jaeger",
        "internal_url": "http://tracing.istio-system:16685/jaeger",
        "external_url": "http://localhost:16686",
        "use_grpc": True,
    }
    grafana = services["grafana"]
    assert [grafana["internal_url"], grafana["external_url"]] == [GRAFANA.internal_url, GRAFANA.external_url]
    assert grafana["dashboards"][0] == {
        "name": "Canary",
        "variables": {"namespace": "var-namespace", "app": "var-service"},
    }


def test_without_jaeger_and_grafana_kiali_does_not_look_for_them(deploy: Deploy) -> None:
    services = _config(deploy(_kiali()))["external_services"]

    assert services["tracing"] == services["grafana"] == {"enabled": False}


def test_istios_dashboards_have_the_names_that_kiali_looks_for() -> None:
    texts = [
        text
        for item in addons.addon("grafana")
        if item["kind"] == "ConfigMap"
        for name, text in item["data"].items()
        if name.endswith(".json")
    ]

    titles = {json.loads(text)["title"] for text in texts}
    assert {dashboard.name for dashboard in ISTIO_DASHBOARDS} <= titles


def test_the_canary_dashboard_is_not_given_a_full_host_name() -> None:
    # In `service` Kiali fills in <service>.<namespace>.svc.cluster.local.
    assert "service" not in CANARY_DASHBOARD.variables


def test_the_key_that_signs_sessions_is_generated_once(deploy: Deploy) -> None:
    first, second = (deploy(_kiali()).named("kiali-signing-key") for _ in range(2))

    keys = [base64.b64decode(secret.inputs["data"]["value"]["signing-key"]) for secret in (first, second)]
    assert keys[0] != keys[1], "a constant is no key"
    assert len(keys[0]) in {16, 24, 32}, "Kiali does not start with another length"
    assert first.ignores == ("data",), "every run would end all sessions"
    assert first.inputs["data"].items() >= SECRET.items(), "the key would be readable in the stack's state"
    assert first.metadata["name"] == "kiali"


def test_kiali_reads_the_key_from_its_folder_of_credentials(deploy: Deploy) -> None:
    run = deploy(_kiali())

    assert _credentials(run) == {
        "login-token-signing-key": {"secretName": "kiali", "items": [{"key": "signing-key", "path": "value.txt"}]}
    }
    # The server takes what is here as the key itself: "secret:kiali:signing-key" has 24 bytes, which it accepts.
    assert "login_token" not in _config(run)


def test_kiali_logs_in_to_grafana_by_the_mounted_password(deploy: Deploy) -> None:
    run = deploy(_kiali(grafana=GRAFANA))

    assert _config(run)["external_services"]["grafana"]["auth"] == {"type": "basic", "username": "admin"}
    assert _credentials(run)["grafana-password"] == {
        "secretName": "grafana",
        "items": [{"key": "admin-password", "path": "value.txt"}],
    }


def test_a_grafana_that_needs_no_login_gets_none(deploy: Deploy) -> None:
    run = deploy(_kiali(grafana=KialiGrafana(internal_url="http://grafana.monitoring")))

    assert "auth" not in _config(run)["external_services"]["grafana"]
    assert list(_credentials(run)) == ["login-token-signing-key"]


@pytest.mark.parametrize("changed", [{"web_root": "/"}, {"tracing": TRACING}, {"view_only_mode": False}])
def test_the_pod_is_replaced_when_the_configuration_changes(deploy: Deploy, changed: dict[str, Any]) -> None:
    before, after = (_pod(deploy(_kiali(**given)))["metadata"]["annotations"] for given in ({}, changed))

    assert before["checksum/config"] != after["checksum/config"]
    assert before | {"checksum/config": ""} == after | {"checksum/config": ""}


@pytest.mark.parametrize(("web_root", "path"), [("/kiali", "/kiali"), ("/", "")])
def test_probes_and_url_are_below_the_web_root(deploy: Deploy, web_root: str, path: str) -> None:
    run = deploy(_kiali(web_root=web_root))

    (container,) = _pod(run)["spec"]["containers"]
    probes = [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert probes == [f"{path}/healthz"] * 3
    assert run.named("kiali", "istio-canary:index:Kiali").outputs == {"url": f"http://kiali.istio-system:20001{path}"}


def test_other_pods_reach_only_the_metrics(deploy: Deploy) -> None:
    policy = deploy(_kiali()).named("kiali-policy")

    (rule,) = policy.spec["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [{"app.kubernetes.io/name": "prometheus"}]
    assert [port["port"] for port in rule["ports"]] == [9090]


@pytest.mark.parametrize(
    ("kiali_namespace", "env"),
    [
        ("istio-system", {}),
        ("monitoring", {"DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": "monitoring"}),
    ],
)
def test_istiod_answers_to_a_kiali_in_another_namespace(kiali_namespace: str, env: dict[str, str]) -> None:
    assert istiod_env(kiali_namespace, "istio-system") == env


def test_istiod_knows_the_variable_that_allows_namespaces() -> None:
    (variable,) = istiod_env("monitoring", "istio-system")

    features = module_folder() / "pilot/pkg/features/pilot.go"
    assert f'"{variable}"' in features.read_text(encoding="utf-8")
