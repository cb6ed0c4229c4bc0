"""Grafana with its data sources and dashboards, and the same for a Grafana that exists.

The files are those of Grafana's "Provision Grafana" and "Configure Grafana" pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.base import Component
from components.telemetry import workload

NAME = "grafana"
PORT = 3000
USER = 472
"""User of the official image."""

PROMETHEUS_UID = "prometheus"
JAEGER_UID = "jaeger"
"""Uids of the data sources, by which dashboards name them."""

ADMIN_USER = "admin"
PASSWORD_KEY = "admin-password"  # noqa: S105 - the key's name
"""Key of the administrator's password in the Secret `grafana`."""

CONFIG = "/etc/grafana"
DATA = "/var/lib/grafana"
SECRETS = f"{CONFIG}/secrets"
DASHBOARDS = f"{CONFIG}/dashboards"
DASHBOARD_UPDATE_SECONDS = 10

INI, DATA_SOURCES, DASHBOARD_PROVIDERS = "grafana.ini", "datasources.yaml", "dashboardproviders.yaml"
PATHS = {
    INI: f"{CONFIG}/{INI}",
    DATA_SOURCES: f"{CONFIG}/provisioning/datasources/{DATA_SOURCES}",
    DASHBOARD_PROVIDERS: f"{CONFIG}/provisioning/dashboards/{DASHBOARD_PROVIDERS}",
}

SIDECAR_LABELS = {"dashboards": {"grafana_dashboard": "1"}, "datasources": {"grafana_datasource": "1"}}
"""Labels of the ConfigMaps that the sidecar of Grafana's Helm chart reads."""


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """Grafana 12, its data sources, and its dashboards: JSON by file name.

    Grafana 13 downloads the plugins of both data sources when it starts, which is off here.

    `admin_password` is a Pulumi secret; None generates one. Grafana stores it at its first start, so a later change
    takes effect in the next pod, and with `storage` never (Grafana: "Configure Grafana", admin_password). With
    `anonymous`, everyone who reaches the port may view the dashboards without login, with no other right.
    `scrape_interval` is Prometheus' own, as Prometheus writes durations: the smallest step of a graph. Without
    `storage`, what users change is lost with the pod. Pods of `allowed_namespaces` may reach the port.
    `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    jaeger_url: pulumi.Input[str] | None = None
    dashboards: Mapping[str, str] = field(default_factory=dict)
    scrape_interval: str = "15s"
    admin_password: pulumi.Input[str] | None = None
    anonymous: bool = False
    storage: workload.StorageArgs | None = None
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    allowed_namespaces: Sequence[str] = ()
    ready_within: int = 300


class Grafana(Component):
    """Grafana's Deployment, Service `grafana` on port 3000, ServiceAccount, ConfigMaps, Secret and NetworkPolicy.

    The pod is replaced when Grafana's configuration or its data sources change. It is not when a dashboard changes:
    Grafana reads dashboards again, within about a minute, when the kubelet has updated the files.

    Only Kiali's pod in the same namespace reaches the port; a port-forward does too, because it comes from the pod's
    own node. An ingress in front of Grafana needs a NetworkPolicy of its own, since policies add up (Kubernetes:
    "Network Policies").
    """

    url: pulumi.Output[str]
    """URL of Grafana inside the cluster."""
    admin_secret: pulumi.Output[str]
    """Name of the Secret with the administrator's password; the user is `admin`, the key `admin-password`."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Grafana", name, opts)
        account = workload.service_account(f"{name}-account", NAME, args.namespace, self._child())
        secret = workload.generated_secret(
            f"{name}-admin", NAME, args.namespace, PASSWORD_KEY, args.admin_password, self._child()
        )
        service = workload.cluster_ip_service(
            f"{name}-service",
            NAME,
            NAME,
            args.namespace,
            [workload.service_port("http", PORT, app_protocol="http")],
            self._child(),
        )
        self._deployment(name, args, account.metadata.name, secret.metadata.name)
        rules = workload.allow([PORT], ["kiali"], args.allowed_namespaces)
        workload.network_policy(f"{name}-policy", NAME, args.namespace, rules, self._child())

        self.url = pulumi.Output.concat("http://", service.metadata.name, ".", args.namespace, f":{PORT}")
        self.admin_secret = secret.metadata.name
        self.register_outputs({"url": self.url, "admin_secret": self.admin_secret})

    def _deployment(self, name: str, args: GrafanaArgs, account: pulumi.Input[str], secret: pulumi.Input[str]) -> None:
        files = _files(args)
        config = workload.config_map(f"{name}-config", NAME, args.namespace, files, self._child())
        dashboards = k8s.core.v1.ConfigMap(
            f"{name}-dashboards",
            metadata=workload.metadata(f"{NAME}-dashboards", NAME, args.namespace),
            data=dict(args.dashboards) or None,
            opts=self._child(),
        )
        mounts = [
            workload.storage_mount(f"{name}-storage", NAME, args.namespace, DATA, args.storage, self._child()),
            workload.empty_mount("tmp", "/tmp"),  # noqa: S108 - the container's
            workload.secret_mount("admin", secret, SECRETS),
            workload.config_mount("dashboards", dashboards.metadata.name, DASHBOARDS),
            *(_file_mount(config.metadata.name, file, path) for file, path in PATHS.items()),
        ]
        workload.deployment(
            f"{name}-server",
            workload.ServerArgs(
                name=NAME,
                namespace=args.namespace,
                image=args.image,
                user=USER,
                ports={"http": PORT},
                mounts=mounts,
                annotations={workload.CHECKSUM: _checksum(files)},
                startup_probe=workload.probe("/api/health", "http", period_seconds=2, failure_threshold=90),
                readiness_probe=workload.probe("/api/health", "http", period_seconds=5),
                liveness_probe=workload.probe("/api/health", "http", timeout_seconds=10, failure_threshold=6),
                service_account=account,
                mount_token=False,
                resources=args.resources,
                ready_within=args.ready_within,
            ),
            self._child(),
        )


@dataclass(frozen=True, kw_only=True)
class GrafanaProvisioningArgs:
    """Dashboards and data sources for a Grafana that exists.

    Without its URL, a data source is not created. The uids must be new to that Grafana: with one uid twice, it refuses
    the file, and does not start again.
    """

    namespace: pulumi.Input[str]
    dashboards: Mapping[str, str] = field(default_factory=dict)
    prometheus_url: pulumi.Input[str] | None = None
    prometheus_uid: str = f"istio-canary-{PROMETHEUS_UID}"
    jaeger_url: pulumi.Input[str] | None = None
    jaeger_uid: str = f"istio-canary-{JAEGER_UID}"
    scrape_interval: str = "15s"


class GrafanaProvisioning(Component):
    """ConfigMaps with dashboards and data sources, labelled for the sidecar of Grafana's Helm chart.

    The sidecar reads those of its own namespace, or of the namespaces in its setting `searchNamespace`. No data source
    is the default one: Grafana does not start with two of these.
    """

    config_maps: pulumi.Output[list[str]]
    """Names of the ConfigMaps."""

    def __init__(self, name: str, args: GrafanaProvisioningArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:GrafanaProvisioning", name, opts)
        files: dict[str, Mapping[str, pulumi.Input[str]]] = {"dashboards": args.dashboards}
        sources = _external_data_sources(args)
        if sources:
            files["datasources"] = {"istio-canary.yaml": _yaml({"apiVersion": 1, "datasources": sources})}
        config_maps = [
            k8s.core.v1.ConfigMap(
                f"{name}-{kind}",
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    name=f"istio-canary-grafana-{kind}", namespace=args.namespace, labels=SIDECAR_LABELS[kind]
                ),
                data=dict(data),
                opts=self._child(),
            )
            for kind, data in files.items()
            if data
        ]

        self.config_maps = pulumi.Output.all(*(config_map.metadata.name for config_map in config_maps))
        self.register_outputs({"config_maps": self.config_maps})


def settings(anonymous: bool) -> dict[str, dict[str, str]]:
    """Return the sections of grafana.ini: Grafana sends nothing to others and downloads nothing."""
    return {
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "auth.anonymous": {"enabled": str(anonymous).lower(), "org_role": "Viewer"},
        "log": {"mode": "console"},
        "news": {"news_feed_enabled": "false"},
        "paths": {
            "data": DATA,
            "logs": "/var/log/grafana",
            "plugins": f"{DATA}/plugins",
            "provisioning": f"{CONFIG}/provisioning",
        },
        "plugins": {"preinstall_disabled": "true"},
        "security": {
            "admin_user": ADMIN_USER,
            "admin_password": f"$__file{{{SECRETS}/{PASSWORD_KEY}}}",
            "disable_gravatar": "true",
        },
        "server": {"http_port": str(PORT)},
        "snapshots": {"external_enabled": "false"},
        "users": {"allow_sign_up": "false"},
    }


def data_sources(args: GrafanaArgs) -> list[dict[str, Any]]:
    """Return the data sources: Prometheus, which is the default one, and Jaeger if it has a URL."""
    prometheus = _prometheus("Prometheus", PROMETHEUS_UID, args.prometheus_url, args.scrape_interval)
    jaeger = [] if args.jaeger_url is None else [_jaeger("Jaeger", JAEGER_UID, args.jaeger_url)]
    return [prometheus | {"isDefault": True}, *jaeger]


def dashboard_provider() -> dict[str, Any]:
    """Return the provider that reads the dashboards' files, and removes a dashboard with its file."""
    return {
        "name": "istio-canary",
        "orgId": 1,
        "folder": "Istio canary",
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": DASHBOARD_UPDATE_SECONDS,
        "options": {"path": DASHBOARDS},
    }


def _files(args: GrafanaArgs) -> dict[str, pulumi.Input[str]]:
    return {
        INI: _ini(settings(args.anonymous)),
        DATA_SOURCES: _yaml({"apiVersion": 1, "prune": True, "datasources": data_sources(args)}),
        DASHBOARD_PROVIDERS: _yaml({"apiVersion": 1, "providers": [dashboard_provider()]}),
    }


def _external_data_sources(args: GrafanaProvisioningArgs) -> list[dict[str, Any]]:
    """Return the data sources, each named by its uid, since names are unique in a Grafana too."""
    found = []
    if args.prometheus_url is not None:
        found.append(_prometheus(args.prometheus_uid, args.prometheus_uid, args.prometheus_url, args.scrape_interval))
    if args.jaeger_url is not None:
        found.append(_jaeger(args.jaeger_uid, args.jaeger_uid, args.jaeger_url))
    return found


def _prometheus(name: str, uid: str, url: pulumi.Input[str], scrape_interval: str) -> dict[str, Any]:
    data = {"timeInterval": scrape_interval, "httpMethod": "POST", "prometheusType": "Prometheus"}
    return _data_source(name, uid, "prometheus", url, data)


def _jaeger(name: str, uid: str, url: pulumi.Input[str]) -> dict[str, Any]:
    return _data_source(name, uid, "jaeger", url, {"nodeGraph": {"enabled": True}})


def _data_source(
    name: str, uid: str, type_: str, url: pulumi.Input[str], json_data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a data source that users cannot change."""
    return {
        "name": name,
        "uid": uid,
        "type": type_,
        "access": "proxy",
        "orgId": 1,
        "url": url,
        "isDefault": False,
        "editable": False,
        "jsonData": dict(json_data),
    }


def _file_mount(config_map: pulumi.Input[str], file: str, path: str) -> workload.Mount:
    """Mount one file among those of the image. It is not updated in a running pod (Kubernetes: "Volumes", subPath)."""
    volume = f"config-{file.replace('.', '-')}"
    source = k8s.core.v1.ConfigMapVolumeSourceArgs(name=config_map)
    return workload.Mount(
        volume=k8s.core.v1.VolumeArgs(name=volume, config_map=source),
        mount=k8s.core.v1.VolumeMountArgs(name=volume, mount_path=path, sub_path=file, read_only=True),
    )


def _checksum(files: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    return pulumi.Output.all(**files).apply(lambda texts: workload.checksum(texts)[workload.CHECKSUM])


def _ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for section, values in sections.items()
    )


def _yaml(content: Mapping[str, Any]) -> pulumi.Output[str]:
    """Return `content` as YAML once the outputs in it are known."""
    return pulumi.Output.from_input(content).apply(lambda known: str(yaml.safe_dump(known, sort_keys=False)))
