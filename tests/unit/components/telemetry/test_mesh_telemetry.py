"""What the mesh reports: the Telemetry resource, and the values for istiod's chart."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from components.telemetry.mesh_telemetry import (
    AccessLogArgs,
    MeshTelemetry,
    MeshTelemetryArgs,
    TracingArgs,
    mesh_config,
    proxy_config,
    versions_statistics,
)
from metrics.series_names import LISTENER_STATISTICS
from tests.unit.mocks import Deploy, Run, in_cluster

METRICS = {"providers": [{"name": "prometheus"}]}
TAGS = {"request_host": "request.host"}
STATISTICS = (
    "upstream_rq_completed",
    "upstream_rq_200",
    "upstream_rq_5xx",
    "upstream_rq_total",
    "upstream_rq_active",
    "upstream_rq_time",
    "upstream_rq_retry",
    "retry.upstream_rq_completed",
    "upstream_rq_pending_overflow",
    "upstream_cx_none_healthy",
    "membership_healthy",
    "outlier_detection.ejections_active",
)


def _run(deploy: Deploy, **changes: Any) -> Run:
    def program() -> pulumi.Output[str]:
        args = MeshTelemetryArgs(namespace="istio-system", **changes)
        return MeshTelemetry("mesh-telemetry", args, in_cluster()).telemetry

    return deploy(program)


def _spec(deploy: Deploy, **changes: Any) -> dict[str, Any]:
    """The spec, which the engine's double has checked against Istio's CRD."""
    return _run(deploy, **changes).named("mesh-telemetry-telemetry").spec


def test_one_telemetry_without_a_selector_is_for_the_whole_mesh(deploy: Deploy) -> None:
    run = _run(deploy, tracing=TracingArgs(sampling=1))
    telemetry = run.named("mesh-telemetry-telemetry")

    assert telemetry.type == "kubernetes:telemetry.istio.io/v1:Telemetry"
    assert telemetry.metadata == {"name": "mesh-default", "namespace": "istio-system"}
    assert list(telemetry.spec) == ["tracing"], "for the rest, MeshConfig's defaults hold"
    assert list(run.named("mesh-telemetry").outputs or {}) == ["telemetry"]


def test_spans_go_to_jaeger_for_the_given_share_of_requests(deploy: Deploy) -> None:
    tags = {"tenant": {"header": {"name": "x-tenant"}}, "cluster": {"literal": {"value": "staging"}}}
    spec = _spec(deploy, tracing=TracingArgs(sampling=2.5, custom_tags=tags))

    assert spec["tracing"] == [{"providers": [{"name": "jaeger"}], "randomSamplingPercentage": 2.5, "customTags": tags}]


def test_without_custom_tags_there_are_none(deploy: Deploy) -> None:
    spec = _spec(deploy, tracing=TracingArgs(sampling=0))

    assert spec["tracing"] == [{"providers": [{"name": "jaeger"}], "randomSamplingPercentage": 0}]


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        (AccessLogArgs(), {"providers": [{"name": "access-log"}]}),
        (
            AccessLogArgs(filter="response.code >= 400"),
            {"providers": [{"name": "access-log"}], "filter": {"expression": "response.code >= 400"}},
        ),
    ],
)
def test_requests_that_the_filter_selects_are_logged(
    deploy: Deploy, logs: AccessLogArgs, expected: dict[str, Any]
) -> None:
    assert _spec(deploy, access_logs=logs)["accessLogging"] == [expected]


def test_further_tags_are_added_to_all_metrics(deploy: Deploy) -> None:
    spec = _spec(deploy, metric_tags=TAGS)

    assert spec["metrics"] == [
        {
            **METRICS,
            "overrides": [
                {
                    "match": {"metric": "ALL_METRICS"},
                    "tagOverrides": {"request_host": {"operation": "UPSERT", "value": "request.host"}},
                }
            ],
        }
    ]


def test_every_provider_that_the_telemetry_names_is_defined(deploy: Deploy) -> None:
    spec = _spec(deploy, tracing=TracingArgs(sampling=1), access_logs=AccessLogArgs(), metric_tags=TAGS)
    named = {provider["name"] for section in spec.values() for item in section for provider in item["providers"]}
    config = mesh_config(collector="jaeger-collector.istio-system.svc.cluster.local:4317", access_log_format="TEXT")
    defined = {provider["name"] for provider in config["extensionProviders"]}

    assert named == defined | {"prometheus"}, "istiod knows only the provider prometheus by itself"


def test_spans_are_sent_to_jaegers_collector_by_otlp() -> None:
    config = mesh_config(collector="jaeger-collector.observability.svc.cluster.local:4317")

    assert config["enableTracing"] is True
    assert config["extensionProviders"] == [
        {
            "name": "jaeger",
            "opentelemetry": {"service": "jaeger-collector.observability.svc.cluster.local", "port": 4317},
        }
    ]


def test_a_text_log_has_istios_default_format() -> None:
    assert mesh_config(access_log_format="TEXT")["extensionProviders"] == [
        {"name": "access-log", "envoyFileAccessLog": {"path": "/dev/stdout"}}
    ]


def test_a_json_log_names_the_version_the_flags_and_the_trace() -> None:
    (provider,) = mesh_config(access_log_format="JSON")["extensionProviders"]
    labels = provider["envoyFileAccessLog"]["logFormat"]["labels"]

    assert labels["upstream_cluster"] == "%UPSTREAM_CLUSTER_RAW%"
    assert labels["response_flags"] == "%RESPONSE_FLAGS%"
    assert labels["trace_id"] == "%TRACE_ID%"


def test_without_telemetry_nothing_is_configured() -> None:
    assert mesh_config() == {}


def test_a_pod_keeps_the_statistics_of_versions() -> None:
    patterns = [versions_statistics(["shop"]), LISTENER_STATISTICS]
    assert proxy_config(["shop"]) == {"proxyStatsMatcher": {"inclusionRegexps": patterns}}


@pytest.mark.parametrize("end", [";", ""])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_statistics_of_a_versions_cluster_are_kept(statistic: str, end: str) -> None:
    pattern = versions_statistics(["website-istio-ns", "shop"])

    name = f"cluster.outbound|80|version-1|website.website-istio-ns.svc.cluster.local{end}.{statistic}"
    assert re2.fullmatch(pattern, name)


@pytest.mark.parametrize(
    "name",
    [
        "cluster.outbound|80||website.shop.svc.cluster.local;.upstream_rq_total",
        "cluster.outbound|80|version-1|website.payment.svc.cluster.local;.upstream_rq_total",
        "cluster.outbound|80|version-1|website.workshop.svc.cluster.local;.upstream_rq_total",
        "cluster.outbound|80|version-1|website.shop.svc.cluster.local;.upstream_rq_totals",
        "cluster.outbound|80|version-1|website.shop.svc.cluster.local;.upstream_cx_rx_bytes_total",
        "cluster.outbound|80|version-1|website.shop.svc.cluster.local;.circuit_breakers.default.rq_open",
        "cluster.inbound|80|version-1|website.shop.svc.cluster.local;.upstream_rq_total",
        "my-cluster.outbound|80|version-1|website.shop.svc.cluster.local;.upstream_rq_total",
    ],
)
def test_other_statistics_are_not_kept(name: str) -> None:
    assert not re2.fullmatch(versions_statistics(["shop"]), name)


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABEL, min_size=1, max_size=4), LABEL, LABEL, st.integers(1, 65535), st.data())
def test_every_version_of_every_given_namespace_is_kept_and_no_other_namespace(
    namespaces: list[str], service: str, version: str, port: int, data: st.DataObject
) -> None:
    pattern = versions_statistics(namespaces)
    namespace = data.draw(st.sampled_from(namespaces) | LABEL)

    name = f"cluster.outbound|{port}|{version}|{service}.{namespace}.svc.cluster.local;.upstream_rq_total"
    assert bool(re2.fullmatch(pattern, name)) is (namespace in namespaces)
