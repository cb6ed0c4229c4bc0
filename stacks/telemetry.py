"""Builds the telemetry of a stack: its servers, what the mesh reports to them, and what each proxy counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.gate_service import NAME as GATE_SERVICE
from components.istio_mesh import proxy_config_annotation
from components.telemetry.grafana import Grafana, GrafanaArgs, GrafanaProvisioning, GrafanaProvisioningArgs
from components.telemetry.jaeger import Jaeger, JaegerArgs
from components.telemetry.kiali import CANARY_DASHBOARD, Kiali, KialiArgs, KialiGrafana, KialiTracing, istiod_env
from components.telemetry.mesh_telemetry import (
    AccessLogArgs,
    MeshTelemetry,
    MeshTelemetryArgs,
    TracingArgs,
    mesh_config,
    proxy_config,
)
from components.telemetry.prometheus import Prometheus, PrometheusArgs
from components.telemetry.workload import StorageArgs
from components.workload_args import args_of
from metrics.dashboard import canary_dashboard
from metrics.rules import AlertThresholds, rule_groups, weight_groups
from stacks.engine_objects import services_of_versions
from stacks.settings.engines import engines_of
from stacks.settings.model import Settings
from stacks.settings.resources import Resources
from stacks.settings.telemetry import CustomTag, Server, Storage

WEIGHTS, RULES = "canary-weights.yml", "canary-rules.yml"
DASHBOARD = "canary.json"
EXISTING_PROMETHEUS_UID = "istio-canary-prometheus"
"""Uid of the data source in a Grafana that exists, which may have one of its own with a simpler uid."""
GRAFANA_HERE, JAEGER_HERE = "http://localhost:3000", "http://localhost:16686/jaeger"
"""Where a person who runs `canary open` reaches them; Kiali's links lead there."""

Options = pulumi.ResourceOptions


class TelemetryServers:
    """The servers of a stack's telemetry that it creates. They need no mesh, so they are built beside it."""

    def __init__(
        self, settings: Settings, namespace: pulumi.Input[str], admin_password: pulumi.Input[str] | None, opts: Options
    ) -> None:
        self._settings, self._telemetry, self._namespace = settings, settings.telemetry, namespace
        self._admin_password, self._opts = admin_password, opts
        self._grafana_secret: pulumi.Input[str] | None = None
        build: Mapping[str, Callable[[], None]] = {
            "prometheus": self._build_prometheus,
            "jaeger": self._build_jaeger,
            "grafana": self._build_grafana,
            "kiali": self._build_kiali,
        }
        for server, build_it in build.items():
            if getattr(self._telemetry, server).enabled:
                build_it()
        if self._telemetry.grafana.url is not None:
            self._build_provisioning()

    def _common(self, given: Server) -> dict[str, Any]:
        """The arguments that every server has."""
        return {
            "namespace": self._namespace,
            "image": given.image,
            "resources": _resources(given.resources),
            "allowed_namespaces": self._telemetry.allowed_namespaces,
            "ready_within": self._settings.ready_within,
        }

    def _build_prometheus(self) -> None:
        given = self._telemetry.prometheus
        Prometheus(
            "prometheus",
            PrometheusArgs(
                **{**self._common(given), **self._clients()},
                scrape_interval=self._telemetry.scrape_interval,
                retention=given.retention,
                rules=self._rules(),
                alertmanagers=given.alertmanagers,
                storage=_storage(given.storage),
            ),
            self._opts,
        )

    def _clients(self) -> dict[str, Any]:
        """Who may query Prometheus: also the gate service, and the runner, which reads limits and gates there."""
        gate, runner = self._settings.gate_service, self._settings.rollout_runner
        is_here = gate.namespace == self._telemetry.namespace
        others = [*[runner.namespace] * runner.enabled, *[gate.namespace] * (gate.enabled and not is_here)]
        return {
            "allowed_namespaces": list(dict.fromkeys((*self._telemetry.allowed_namespaces, *others))),
            "further_clients": (GATE_SERVICE,) if gate.enabled and is_here else (),
        }

    def _rules(self) -> dict[str, str]:
        """The rule files by name."""
        telemetry = self._telemetry
        thresholds = AlertThresholds(**telemetry.alerts.model_dump(by_alias=False, exclude={"enabled"}))
        alerts = thresholds if telemetry.evaluates_alerts else None
        moved = engines_of(self._settings)  # their weights are not those of the file
        files = {
            WEIGHTS: weight_groups({name: one for name, one in self._settings.services.items() if name not in moved}),
            RULES: rule_groups(self._settings.services, alerts, telemetry.metrics),
        }
        return {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}

    def _build_jaeger(self) -> None:
        given = self._telemetry.jaeger
        Jaeger(
            "jaeger",
            JaegerArgs(
                **self._common(given),
                retention=f"{given.retention_seconds}s",
                storage=_storage(given.storage),
            ),
            self._opts,
        )

    def _build_grafana(self) -> None:
        given, telemetry = self._telemetry.grafana, self._telemetry
        grafana = Grafana(
            "grafana",
            GrafanaArgs(
                **self._common(given),
                prometheus_url=telemetry.prometheus_url or "",
                jaeger_url=telemetry.jaeger_url,
                dashboards={DASHBOARD: canary_dashboard(telemetry.metrics)},
                scrape_interval=telemetry.scrape_interval,
                admin_password=self._admin_password,
                anonymous=given.anonymous,
                storage=_storage(given.storage),
            ),
            self._opts,
        )
        self._grafana_secret = None if given.anonymous else grafana.admin_secret

    def _build_provisioning(self) -> None:
        """For a Grafana that exists: what its sidecar reads."""
        telemetry = self._telemetry
        GrafanaProvisioning(
            "grafana",
            GrafanaProvisioningArgs(
                namespace=self._namespace,
                dashboards={DASHBOARD: canary_dashboard(telemetry.metrics, EXISTING_PROMETHEUS_UID)},
                prometheus_url=telemetry.prometheus_url,
                jaeger_url=telemetry.jaeger_url,
                scrape_interval=telemetry.scrape_interval,
            ),
            self._opts,
        )

    def _build_kiali(self) -> None:
        given, telemetry = self._telemetry.kiali, self._telemetry
        Kiali(
            "kiali",
            KialiArgs(
                **self._common(given),
                prometheus_url=telemetry.prometheus_url or "",
                istio_namespace=self._settings.mesh.namespace,
                authentication=given.authentication.value,
                tracing=self._kiali_tracing(),
                grafana=self._kiali_grafana(),
            ),
            self._opts,
        )

    def _kiali_tracing(self) -> KialiTracing | None:
        jaeger = self._telemetry.jaeger
        if jaeger.url is not None:
            return KialiTracing(internal_url=jaeger.url, external_url=jaeger.url, use_grpc=False)
        if not jaeger.enabled:
            return None
        return KialiTracing(
            internal_url=f"http://tracing.{self._telemetry.namespace}:16685/jaeger", external_url=JAEGER_HERE
        )

    def _kiali_grafana(self) -> KialiGrafana | None:
        grafana = self._telemetry.grafana
        if grafana.url is not None:
            return KialiGrafana(
                internal_url=grafana.url, external_url=grafana.url, datasource_uid=EXISTING_PROMETHEUS_UID
            )
        if not grafana.enabled:
            return None
        return KialiGrafana(
            internal_url=f"http://grafana.{self._telemetry.namespace}:3000",
            external_url=GRAFANA_HERE,
            dashboards=(CANARY_DASHBOARD,),
            admin_secret=self._grafana_secret,
        )


def istiod_settings(settings: Settings) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the telemetry adds to MeshConfig and to istiod's environment variables."""
    telemetry = settings.telemetry
    config = mesh_config(
        collector=telemetry.span_collector,
        access_log_format=telemetry.access_logs.format.value if telemetry.access_logs.enabled else None,
    )
    return config, istiod_env(telemetry.namespace, settings.mesh.namespace) if telemetry.kiali.enabled else {}


def proxy_config_of(settings: Settings) -> dict[str, Any]:
    """Return the ProxyConfig of the stack's proxies: with Prometheus, they keep the statistics of versions."""
    namespaces = {service.namespace for service in settings.services.values()}
    if not (settings.telemetry.prometheus.in_use and namespaces):
        return {}
    return proxy_config(sorted(namespaces), services_of_versions(settings))


def pod_annotations_of(settings: Settings) -> dict[str, str]:
    """Return the annotations of the pods of every version, which are callers of others too."""
    config = proxy_config_of(settings)
    return proxy_config_annotation(json.dumps(config)) if config else {}


def build_mesh_telemetry(settings: Settings, namespace: Callable[[str], pulumi.Input[str]], opts: Options) -> None:
    """Build what the proxies report: in the whole mesh if the stack installs it, else in the services' namespaces."""
    telemetry = settings.telemetry
    if not (telemetry.traces_requests or telemetry.access_logs.enabled or telemetry.metric_tags):
        return
    tracing = TracingArgs(
        sampling=telemetry.tracing.sampling,
        custom_tags={name: _custom_tag(tag) for name, tag in telemetry.tracing.custom_tags.items()},
    )
    access_logs = AccessLogArgs(filter=telemetry.access_logs.filter)
    args = partial(
        MeshTelemetryArgs,
        tracing=tracing if telemetry.traces_requests else None,
        access_logs=access_logs if telemetry.access_logs.enabled else None,
        metric_tags=telemetry.metric_tags,
    )
    places = {settings.mesh.namespace} if settings.mesh.install else {s.namespace for s in settings.services.values()}
    for place in sorted(places):
        MeshTelemetry(f"{place}-telemetry", args(namespace=namespace(place)), opts)


def _custom_tag(tag: CustomTag) -> dict[str, Any]:
    """A custom tag as Istio's Telemetry writes it."""
    if tag.literal is not None:
        return {"literal": {"value": tag.literal}}
    if tag.header is not None:
        return {"header": {"name": tag.header}}
    return {"environment": {"name": tag.environment}}


def _storage(storage: Storage | None) -> StorageArgs | None:
    if storage is None:
        return None
    return StorageArgs(size=storage.size, storage_class_name=storage.storage_class_name)


def _resources(resources: Resources) -> k8s.core.v1.ResourceRequirementsArgs | None:
    return args_of(k8s.core.v1.ResourceRequirementsArgs, resources.model_dump(by_alias=False, exclude_defaults=True))
