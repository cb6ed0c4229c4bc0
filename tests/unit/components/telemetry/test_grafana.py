"""Grafana: who gets in, its data sources and dashboards, what replaces its pod, and Istio's addon."""

from __future__ import annotations

import base64
import configparser
import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
import yaml

from components.telemetry.grafana import (
    Grafana,
    GrafanaArgs,
    GrafanaProvisioning,
    GrafanaProvisioningArgs,
)
from components.telemetry.workload import StorageArgs
from tests.unit.components.telemetry import addons
from tests.unit.mocks import Deploy, Run, in_cluster

IMAGE = "docker.io/grafana/grafana:12.3.0"
PROMETHEUS = "http://prometheus:9090"
JAEGER = "http://tracing.istio-system/jaeger"
PASSWORD = "correct horse battery staple"  # noqa: S105
SECRET = {pulumi.runtime.rpc._special_sig_key: pulumi.runtime.rpc._special_secret_sig}

DIFFERENT = {
    "*file datasources.yaml datasources[Loki].*": "the stack collects no logs",
    "*file datasources.yaml datasources[Prometheus].editable=true": "a data source belongs to the stack",
    "*file dashboardproviders.yaml providers[istio*": "there is one folder, for the dashboards that are given",
    "ConfigMap/istio-*grafana-dashboards*": "Istio's dashboards can be given like any others",
    "*mount /var/lib/grafana/dashboards/*": "the same dashboards",
    "*file grafana.ini analytics.check_for_updates=*": "Grafana calls nobody outside the cluster",
    "*file grafana.ini grafana_net.url=*": "the default",
    "*file grafana.ini paths.data=*": "the same folder, with a slash",
    "*file grafana.ini server.domain=*": "two quotation marks are no domain",
    "*env GF_AUTH_ANONYMOUS_*": "makes everyone an administrator; see grafana.ini",
    "*env GF_AUTH_BASIC_ENABLED=false": "Kiali logs in by basic authentication",
    "*env GF_PATHS_*": "in grafana.ini, and in the image",
    "*env GF_SECURITY_ADMIN_*": "in grafana.ini, and the password in a Secret",
    "*env POD_IP=": "for the gossip",
    "*port 9094/*": "gossip between several Grafanas",
    "*port 6060/TCP": "profiling, which is off",
    "*pod annotation kubectl.kubernetes.io/default-container=*": "there is one container",
    "*strategy RollingUpdate": "SQLite is one process' database",
    "Service/grafana port 3000/TCP named service": "Istio takes the protocol from the name",
}


def _grafana(**given: Any) -> Callable[[], pulumi.Output[Any]]:
    """A program with a Grafana; what makes an output is called in it."""
    arguments = {"namespace": "istio-system", "image": IMAGE, "prometheus_url": PROMETHEUS, **given}

    def program() -> pulumi.Output[Any]:
        args = GrafanaArgs(**{key: value() if callable(value) else value for key, value in arguments.items()})
        return Grafana("grafana", args, in_cluster()).url

    return program


def _provisioning(**given: Any) -> Callable[[], pulumi.Output[Any]]:
    args = GrafanaProvisioningArgs(namespace="monitoring", **given)
    return lambda: GrafanaProvisioning("provisioning", args, in_cluster()).config_maps


def _pod(run: Run) -> dict[str, Any]:
    template: dict[str, Any] = run.named("grafana-server").spec["template"]
    return template


def _files(run: Run) -> dict[str, str]:
    files: dict[str, str] = run.named("grafana-config").inputs["data"]
    return files


def _ini(run: Run) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(_files(run)["grafana.ini"])
    return parser


def _data_sources(text: str) -> dict[str, dict[str, Any]]:
    return {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}


def _checksum(run: Run) -> str:
    checksum: str = _pod(run)["metadata"]["annotations"]["checksum/config"]
    return checksum


def _password(run: Run) -> str:
    """The password in the Secret, whose data is a Pulumi secret as a whole."""
    data = run.named("grafana-admin").inputs["data"]
    assert data.items() >= SECRET.items(), "the password would be readable in the stack's state"
    return base64.b64decode(data["value"]["admin-password"]).decode()


def test_everything_in_istios_addon_is_here_or_different_for_a_reason(deploy: Deploy) -> None:
    ours = addons.built(deploy(_grafana()))

    addons.hold(ours, addons.addon("grafana"), DIFFERENT)


def test_nobody_gets_in_without_a_login_by_default(deploy: Deploy) -> None:
    assert _ini(deploy(_grafana()))["auth.anonymous"]["enabled"] == "false"


def test_anonymous_users_may_only_view(deploy: Deploy) -> None:
    anonymous = _ini(deploy(_grafana(anonymous=True)))["auth.anonymous"]

    assert dict(anonymous) == {"enabled": "true", "org_role": "Viewer"}


def test_a_password_is_generated_once(deploy: Deploy) -> None:
    first, second = deploy(_grafana()), deploy(_grafana())

    assert len(_password(first)) == 32
    assert _password(first) != _password(second), "a constant is no password"
    assert first.named("grafana-admin").ignores == ("data",), "every run would set another password"


def test_a_given_password_is_used_and_can_be_changed(deploy: Deploy) -> None:
    run = deploy(_grafana(admin_password=lambda: pulumi.Output.secret(PASSWORD)))

    assert _password(run) == PASSWORD
    assert run.named("grafana-admin").ignores == ()


def test_the_password_is_nowhere_but_in_the_secret(deploy: Deploy) -> None:
    run = deploy(_grafana(admin_password=lambda: pulumi.Output.secret(PASSWORD)))

    others = json.dumps([resource.inputs for resource in run.resources if resource.name != "grafana-admin"])
    assert PASSWORD not in others
    assert base64.b64encode(PASSWORD.encode()).decode() not in others
    assert run.named("grafana", "istio-canary:index:Grafana").outputs == {
        "url": "http://grafana.istio-system:3000",
        "admin_secret": "grafana",
    }


def test_grafana_reads_the_password_from_the_mounted_secret(deploy: Deploy) -> None:
    run = deploy(_grafana())

    pod = _pod(run)["spec"]
    (volume,) = (volume["name"] for volume in pod["volumes"] if volume.get("secret") == {"secretName": "grafana"})
    (path,) = (mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume)
    security = _ini(run)["security"]
    assert security["admin_password"] == f"$__file{{{path}/admin-password}}"
    assert security["admin_user"] == "admin"


def test_the_pod_gets_no_token_of_kubernetes_api(deploy: Deploy) -> None:
    run = deploy(_grafana())

    pod = _pod(run)["spec"]
    assert pod["serviceAccountName"] == "grafana"
    assert pod["automountServiceAccountToken"] is False
    assert run.named("grafana-account").inputs["automountServiceAccountToken"] is False


def test_grafana_writes_only_to_its_data_and_temporary_folders(deploy: Deploy) -> None:
    run = deploy(_grafana())

    (container,) = _pod(run)["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/grafana", "/tmp"}
    assert _ini(run)["log"]["mode"] == "console", "the folder of the logs cannot be written"


def test_grafana_calls_nobody_outside_the_cluster(deploy: Deploy) -> None:
    ini = _ini(deploy(_grafana()))

    assert set(ini["analytics"].values()) == {"false"}
    assert ini["news"]["news_feed_enabled"] == ini["snapshots"]["external_enabled"] == "false"
    assert ini["plugins"]["preinstall_disabled"] == ini["security"]["disable_gravatar"] == "true"


def test_prometheus_is_the_default_data_source(deploy: Deploy) -> None:
    run = deploy(_grafana(prometheus_url=lambda: pulumi.Output.from_input(PROMETHEUS), scrape_interval="5s"))

    (prometheus,) = _data_sources(_files(run)["datasources.yaml"]).values()
    assert prometheus["uid"] == prometheus["type"] == "prometheus"
    assert prometheus["url"] == PROMETHEUS
    assert prometheus["isDefault"] is True
    assert prometheus["jsonData"]["timeInterval"] == "5s"


def test_jaeger_is_a_second_data_source(deploy: Deploy) -> None:
    sources = _data_sources(_files(deploy(_grafana(jaeger_url=JAEGER)))["datasources.yaml"])

    assert list(sources) == ["prometheus", "jaeger"]
    assert sources["jaeger"]["type"] == "jaeger"
    assert sources["jaeger"]["url"] == JAEGER
    assert sources["jaeger"]["isDefault"] is False


def test_a_data_source_that_is_no_longer_given_is_removed(deploy: Deploy) -> None:
    assert yaml.safe_load(_files(deploy(_grafana()))["datasources.yaml"])["prune"] is True


def test_grafana_reads_the_dashboards_where_they_are_mounted(deploy: Deploy) -> None:
    run = deploy(_grafana(dashboards={"canary.json": "{}"}))

    assert run.named("grafana-dashboards").inputs["data"] == {"canary.json": "{}"}
    (provider,) = yaml.safe_load(_files(run)["dashboardproviders.yaml"])["providers"]
    (container,) = _pod(run)["spec"]["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "dashboards")
    assert provider["options"]["path"] == mount["mountPath"]
    assert "subPath" not in mount, "a mounted file is not updated in a running pod"
    assert provider["updateIntervalSeconds"] == 10


@pytest.mark.parametrize(
    ("changed", "replaced"),
    [
        ({"anonymous": True}, True),
        ({"prometheus_url": "http://prometheus.monitoring:9090"}, True),
        ({"jaeger_url": JAEGER}, True),
        ({"scrape_interval": "5s"}, True),
        ({"dashboards": {"canary.json": "{}"}}, False),
        ({"admin_password": PASSWORD}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_pod_is_replaced_for_configuration_and_not_for_dashboards(
    deploy: Deploy, changed: dict[str, Any], replaced: bool
) -> None:
    before, after = deploy(_grafana()), deploy(_grafana(**changed))

    assert (_checksum(before) != _checksum(after)) is replaced
    assert (_pod(before) != _pod(after)) is replaced


def test_data_is_kept_in_a_claim_if_storage_is_given(deploy: Deploy) -> None:
    run = deploy(_grafana(storage=StorageArgs(size="1Gi")))

    claim = run.named("grafana-storage")
    assert claim.spec["resources"] == {"requests": {"storage": "1Gi"}}
    (data,) = (volume for volume in _pod(run)["spec"]["volumes"] if volume["name"] == "data")
    assert data["persistentVolumeClaim"] == {"claimName": claim.metadata["name"]}
    assert _pod(run)["spec"]["securityContext"]["fsGroup"] == 472, "the image's user could not write to the claim"


def test_only_kialis_pod_reaches_the_port(deploy: Deploy) -> None:
    policy = deploy(_grafana()).named("grafana-policy")

    (rule,) = policy.spec["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [{"app.kubernetes.io/name": "kiali"}]
    assert [port["port"] for port in rule["ports"]] == [3000]


def test_an_existing_grafana_gets_labelled_config_maps_only(deploy: Deploy) -> None:
    run = deploy(_provisioning(dashboards={"canary.json": "{}"}, prometheus_url=PROMETHEUS, jaeger_url=JAEGER))

    assert {resource.type for resource in run.custom()} == {"kubernetes:core/v1:ConfigMap"}
    dashboards, sources = run.named("provisioning-dashboards"), run.named("provisioning-datasources")
    assert dashboards.metadata["labels"] == {"grafana_dashboard": "1"}
    assert sources.metadata["labels"] == {"grafana_datasource": "1"}
    assert dashboards.inputs["data"] == {"canary.json": "{}"}
    assert {resource.metadata["namespace"] for resource in run.custom()} == {"monitoring"}
    assert run.result == ["istio-canary-grafana-dashboards", "istio-canary-grafana-datasources"]


def test_data_sources_do_not_clash_with_those_of_an_existing_grafana(deploy: Deploy) -> None:
    run = deploy(_provisioning(prometheus_url=PROMETHEUS, jaeger_url=JAEGER))

    (text,) = run.named("provisioning-datasources").inputs["data"].values()
    sources = _data_sources(text)
    assert list(sources) == ["istio-canary-prometheus", "istio-canary-jaeger"]
    assert [source["name"] for source in sources.values()] == list(sources), "names are unique, too"
    assert not any(source["isDefault"] for source in sources.values()), "Grafana does not start with two of these"


def test_an_existing_grafana_may_have_the_data_source_already(deploy: Deploy) -> None:
    run = deploy(_provisioning(dashboards={"canary.json": "{}"}))

    assert [resource.name for resource in run.custom()] == ["provisioning-dashboards"]
