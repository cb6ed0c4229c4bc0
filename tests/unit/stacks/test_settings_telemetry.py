"""What the telemetry's settings become, in which stacks and beside which services, and the laws of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.durations import prometheus_seconds
from metrics.queries import Source
from stacks.settings.loading import load, load_stack
from stacks.settings.problems import Problem, SettingsError
from stacks.settings.stack_file import read_stack_file
from tests.unit.problems import (
    ALL_SERVERS,
    HERE,
    PROMETHEUS,
    Case,
    assert_is_reported,
    config,
    created,
    marked_line,
    telemetry,
    told,
    warnings_of,
)
from tests.unit.problems import TELEMETRY as KEY

OPEN = "grafana: {enabled: true, anonymous: true}, kiali: {enabled: true, authentication: anonymous}"


@pytest.mark.parametrize("stack", ["staging", "prod", "development", "my-dev", "devops"])
def test_only_a_stack_for_development_may_have_no_login(stack: str, tmp_path: Path) -> None:
    file = tmp_path / f"Pulumi.{stack}.yaml"
    file.write_text(config(f"telemetry: {{prometheus: {{enabled: true}}, {OPEN}}}"))
    with pytest.raises(SettingsError) as caught:
        load_stack(file)

    anonymous, authentication = caught.value.problems
    assert (anonymous.path, anonymous.line) == (f"{KEY}.grafana.anonymous", 2)
    for words in told(
        "everyone who reaches Grafana could read what it shows, without a login",
        "true",
        f"anonymous: false, except in a stack named dev or dev-…; this one is {stack}",
        "write anonymous: false",
    ):
        assert words in str(anonymous)
    assert (authentication.path, authentication.line) == (f"{KEY}.kiali.authentication", 2)
    for words in told(
        "everyone who reaches Kiali could read what it shows, without a login",
        '"anonymous"',
        f"authentication: token, except in a stack named dev or dev-…; this one is {stack}",
        "write authentication: token",
    ):
        assert words in str(authentication)


@pytest.mark.parametrize("stack", ["dev", "dev-ann"])
def test_a_stack_for_development_may_have_no_login(stack: str, tmp_path: Path) -> None:
    file = tmp_path / f"Pulumi.{stack}.yaml"
    file.write_text(config(f"telemetry: {{prometheus: {{enabled: true}}, {OPEN}}}"))

    assert load_stack(file).settings.telemetry.grafana.anonymous
    values = read_stack_file(file).values
    assert load(values, stack=stack).telemetry.grafana.anonymous, "Pulumi knows the name without a file"
    with pytest.raises(SettingsError, match="without a login"):
        load(values)


def test_no_login_of_a_server_that_is_off_is_no_mistake() -> None:
    assert load({"telemetry": {"grafana": {"anonymous": True}}}, stack="prod").telemetry.grafana.anonymous


def beside(service: str, namespace: str, server: str = "") -> str:
    """A stack with this service, and with this server and Prometheus in the namespace `observability`."""
    servers = "".join(created(name) for name in dict.fromkeys(["prometheus", server])) if server else ""
    keys = (
        f"    namespace: {namespace}\n    hosts: [a.example.com]\n    versions: {{v1: {{image: shop:1, port: 8080}}}}\n"
    )
    return config(f"telemetry:\n  namespace: observability\n{servers}services:\n  {service}: {HERE}\n{keys}")


@pytest.mark.parametrize(
    ("server", "service"),
    [
        ("prometheus", "prometheus"),
        ("grafana", "grafana"),
        ("kiali", "kiali"),
        ("jaeger", "jaeger"),
        ("jaeger", "tracing"),
        ("jaeger", "zipkin"),
        ("jaeger", "jaeger-collector"),
    ],
)
def test_a_service_with_the_name_of_a_server_in_its_namespace_is_a_mistake(
    server: str, service: str, tmp_path: Path
) -> None:
    words = (
        f"the Service '{service}' in namespace 'observability' is already created by {KEY}.{server}",
        "allowed: one Service per name and namespace",
        "fix:     give the service another `namespace` or name",
    )
    place = f"istio-canary:services.{service}"
    assert_is_reported(Case(service, beside(service, "observability", server), place, words), tmp_path)

    for valid in (beside(service, "shop", server), beside(service, "observability")):
        (tmp_path / "Pulumi.dev.yaml").write_text(valid)
        assert service in load_stack(tmp_path / "Pulumi.dev.yaml").settings.services


WARNINGS = [
    Case("alerts of a Prometheus that exists", telemetry("alerts: {for: 5m}", "  prometheus: {url: 'http://p:9090'}\n"),
         f"{KEY}.alerts",
         ("no effect: alerts are rules of a Prometheus that the stack creates, not of http://p:9090",
          f"allowed: alerts with {PROMETHEUS}.enabled: true",
          "fix:     remove alerts, and add rules to the Prometheus that exists")),
    Case("Alertmanagers of a Prometheus that exists",
         telemetry("prometheus: {url: 'http://p:9090', alertmanagers: ['http://a']}"), f"{PROMETHEUS}.alertmanagers",
         ("no effect: it belongs to a Prometheus that the stack creates, and url names one that exists",
          "allowed: alertmanagers with enabled: true and without url", "fix:     remove alertmanagers")),
    Case("a filter of no access logs", telemetry("accessLogs: {filter: 'response.code >= 400'}"),
         f"{KEY}.accessLogs.filter",
         (f"no effect: {KEY}.accessLogs.enabled is false", "fix:     add enabled: true, or remove filter")),
    Case("tracing in a mesh that exists", telemetry("tracing: {sampling: 5}", created("jaeger")), f"{KEY}.tracing",
         ("no effect unless the owner of the mesh configures it: istio-canary:mesh.install is false",
          "meshConfig.extensionProviders: [{name: jaeger, opentelemetry: "
          "{service: jaeger-collector.istio-system.svc.cluster.local, port: 4317}}]")),
    Case("tracing to a Jaeger that exists, in a mesh that exists",
         telemetry("tracing: {sampling: 5}", "  jaeger: {url: 'http://j', collector: 'c.obs:4317'}\n"),
         f"{KEY}.tracing", ("{service: c.obs, port: 4317}",)),
    Case("access logs in a mesh that exists", telemetry("accessLogs: {enabled: true}"), f"{KEY}.accessLogs",
         ("[{name: access-log, envoyFileAccessLog: {path: /dev/stdout}}]",)),
    Case("access logs as JSON in a mesh that exists", telemetry("accessLogs: {enabled: true, format: JSON}"),
         f"{KEY}.accessLogs", ("{path: /dev/stdout, logFormat: {labels: {…}}}",)),
    Case("Envoy's metrics in a mesh that exists", telemetry("metrics: envoy", created("prometheus")), f"{KEY}.metrics",
         (r"meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps: ['cluster\.outbound.*', "
          r"'http\.outbound.*\.no_cluster']",)),
    Case("a Grafana that exists, and a Prometheus that only the stack's servers reach",
         telemetry("grafana: {url: 'http://grafana.monitoring:3000'}", created("prometheus")), f"{KEY}.grafana.url",
         ("a Grafana in another namespace of the cluster cannot reach the stack's Prometheus",
          f"allowed: its namespace in {KEY}.allowedNamespaces",
          f"fix:     write {KEY}.allowedNamespaces: [monitoring], for example")),
]  # fmt: skip


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.name)
def test_what_others_have_to_configure_is_a_warning(case: Case, tmp_path: Path) -> None:
    installed = case.text.replace("config:\n", "config:\n  istio-canary:mesh: {install: false}\n")
    line = marked_line(installed)
    (warning,) = warnings_of(tmp_path, installed)

    assert (warning.file, warning.line, warning.path) == ("Pulumi.dev.yaml", line, case.path)
    for words in case.words:
        assert words in str(warning), f"{words!r} is missing in:\n{warning}"
    assert warning.allowed
    assert warning.fix


def test_what_the_stack_configures_itself_is_no_warning(tmp_path: Path) -> None:
    keys = (
        f"{ALL_SERVERS}, metrics: envoy, tracing: {{sampling: 5}}, accessLogs: {{enabled: true}}, alerts: {{for: 5m}}"
    )

    assert warnings_of(tmp_path, config(f"telemetry: {{{keys}}}")) == ()
    assert warnings_of(tmp_path, config("mesh: {install: false}\ntelemetry: {prometheus: {enabled: true}}")) == ()


def test_by_default_there_is_no_server_and_nothing_is_traced_or_logged() -> None:
    loaded = load({}).telemetry
    servers = (loaded.prometheus, loaded.jaeger, loaded.grafana, loaded.kiali)

    assert loaded.metrics is Source.ISTIO
    assert loaded.prometheus_url is None
    assert not any(server.in_use for server in servers)
    assert not any([loaded.traces_requests, loaded.evaluates_alerts, loaded.access_logs.enabled])
    assert [server.image for server in servers] == [
        "docker.io/prom/prometheus:v3.14.0",
        "docker.io/jaegertracing/jaeger:2.17.0",
        "docker.io/grafana/grafana:12.3.0",
        "quay.io/kiali/kiali:v2.31",
    ]


def test_the_servers_are_in_the_meshs_namespace_unless_another_is_given() -> None:
    on_ = {"prometheus": {"enabled": True}}
    by_default = load({"mesh": {"namespace": "mesh"}, "telemetry": on_}).telemetry
    elsewhere = load({"mesh": {"namespace": "mesh"}, "telemetry": {**on_, "namespace": "obs"}}).telemetry

    assert (by_default.namespace, by_default.prometheus_url) == ("mesh", "http://prometheus.mesh:9090")
    assert (elsewhere.namespace, elsewhere.prometheus_url) == ("obs", "http://prometheus.obs:9090")


def test_a_server_that_exists_is_used_at_its_url() -> None:
    loaded = load({"telemetry": {"prometheus": {"url": "http://p.example.com/prometheus/"}}}).telemetry

    assert loaded.prometheus_url == "http://p.example.com/prometheus"
    assert loaded.prometheus.in_use
    assert not loaded.evaluates_alerts, "its rules are not the stack's"


@pytest.mark.parametrize(
    ("keys", "traces"),
    [
        ({"jaeger": {"enabled": True}}, True),
        ({"jaeger": {"enabled": True}, "tracing": {"sampling": 0}}, False),
        ({"jaeger": {"url": "http://j"}}, False),
        ({"jaeger": {"url": "http://j", "collector": "c.obs:4317"}}, True),
    ],
)
def test_requests_are_traced_if_it_is_known_where_spans_go(keys: dict[str, Any], traces: bool) -> None:
    assert load({"telemetry": keys}).telemetry.traces_requests is traces


def test_jaegers_retention_is_known_in_seconds() -> None:
    assert load({"telemetry": {"jaeger": {"retention": "3d12h"}}}).telemetry.jaeger.retention_seconds == 302_400


SWITCH = st.sampled_from([{}, {"enabled": False}, {"enabled": True}, {"url": "http://x"}])


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("prometheus", "jaeger", "grafana", "kiali"), SWITCH)))
def test_any_choice_of_servers_is_valid_if_those_that_read_metrics_have_a_prometheus(servers: dict[str, Any]) -> None:
    created = {name for name, server in servers.items() if server.get("enabled")}
    used = {name for name, server in servers.items() if name in created or "url" in server}
    lacking = (used & {"grafana"}) | (created & {"kiali"}) if "prometheus" not in used else set()

    assert {problem.path.split(".")[1] for problem in problems({"telemetry": servers})} == lacking


def problems(values: dict[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with the values of a stack."""
    try:
        load(values)
    except SettingsError as error:
        return error.problems
    return ()


UNITS_IN_ORDER = ("y", "w", "d", "h", "m", "s", "ms")
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(UNITS_IN_ORDER) | st.sampled_from(("m", "s", "ms")), st.integers(0, 1000)))
def test_a_duration_is_valid_if_it_is_within_the_bounds(counts: dict[str, int]) -> None:
    text = "".join(f"{counts[unit]}{unit}" for unit in UNITS_IN_ORDER if unit in counts)
    length = sum(count * MILLISECONDS[unit] for unit, count in counts.items())

    assert prometheus_seconds(text) == pytest.approx(length / 1000)
    assert (problems({"telemetry": {"scrapeInterval": text}}) == ()) == (1000 <= length <= 300_000)


@settings(deadline=None)
@given(st.integers(0, 100_000))
def test_a_sampling_percentage_is_valid_in_steps_of_a_hundredth(thousandths: int) -> None:
    tracing = {"jaeger": {"enabled": True}, "tracing": {"sampling": thousandths / 1000}}

    assert (problems({"telemetry": tracing}) == ()) == (thousandths % 10 == 0)
