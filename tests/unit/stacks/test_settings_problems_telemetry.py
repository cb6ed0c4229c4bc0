"""Every mistake in the telemetry's settings is reported with its line, what was given, what is allowed and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from tests.unit.problems import (
    ALL_SERVERS,
    HERE,
    PROMETHEUS,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    created,
    problems_of,
    telemetry,
    told,
)
from tests.unit.problems import TELEMETRY as KEY

JAEGER = f"{KEY}.jaeger"
ISTIOD = "istio-canary:mesh.values.istiod"
MESH_CONFIG = f"{ISTIOD}.meshConfig"
MATCHER = f"{MESH_CONFIG}.defaultConfig.proxyStatsMatcher"
NUMBERS = "whole numbers with the units y, w, d, h, m, s and ms, in this order, from"
LABELS = "allowed: letters, digits and '_', beginning with a letter or one '_', and no label of Istio's own"
URLS = (
    "allowed: http:// or https://, a host, and if needed a port from 1 to 65535 and a path; no user, password, query "
    "or fragment"
)
FULL_HOST = "write jaeger-collector.observability.svc.cluster.local:4317, for example"


def in_mesh(keys: str, values: str) -> str:
    """A telemetry with these keys, beside values of istiod's chart."""
    return config(f"mesh: {{values: {{istiod: {{{values}}}}}}}\ntelemetry: {{{keys}}} {HERE}\n")


def contradiction(place: str, value: str, effect: str) -> tuple[str, ...]:
    """The words of a message about a chart value that contradicts a setting."""
    return told(f"{value} {effect}", "true", f"one of {place} and {value}", f"remove {value}, or remove {place}")


SERVERS = [
    Case("created and existing", telemetry("prometheus: {enabled: true, url: 'http://p:9090'}"), f"{PROMETHEUS}.url",
         told("enabled: true creates Prometheus, but url names one that exists", '"http://p:9090"',
              "one of enabled: true and url", "remove url to create one, or enabled to use the one that exists")),
    Case("a note about one that is created", telemetry("jaeger: {enabled: true, note: no disk}"), f"{JAEGER}.note",
         told("the note says why there is no Jaeger, but enabled says that there is one", '"no disk"',
              "note with enabled: false and no url", "remove note")),
    Case("a note about one that exists", telemetry("prometheus: {url: 'http://p:9090', note: no disk}"),
         f"{PROMETHEUS}.note", ("but url says that there is one", "remove note")),
    Case("Grafana without Prometheus", telemetry("grafana: {enabled: true}"), f"{KEY}.grafana.enabled",
         told(f"Grafana would have no metrics: {PROMETHEUS} is off", "true",
              f"enabled, if {PROMETHEUS} has enabled: true or url",
              f"add prometheus: {{enabled: true}} to {KEY}, or remove enabled")),
    Case("an existing Grafana without Prometheus", telemetry("grafana: {url: 'http://g'}"), f"{KEY}.grafana.url",
         told(f"Grafana would have no metrics: {PROMETHEUS} is off", '"http://g"',
              f"url, if {PROMETHEUS} has enabled: true or url",
              f"add prometheus: {{enabled: true}} to {KEY}, or remove url")),
    Case("Kiali with a Prometheus that is off for a reason",
         telemetry("kiali: {enabled: true}", "  prometheus: {note: no disk}\n"), f"{KEY}.kiali.enabled",
         (f"fix:     write enabled: true instead of note in {PROMETHEUS}, or remove enabled",)),
    Case("alerts without Prometheus", telemetry("alerts: {enabled: true}"), f"{KEY}.alerts.enabled",
         told(f"the alerts would have no metrics: {PROMETHEUS} is off", "true",
              f"enabled, if {PROMETHEUS} has enabled: true",
              f"add prometheus: {{enabled: true}} to {KEY}, or remove enabled")),
    Case("Prometheus turned off", telemetry("grafana: {enabled: true}", "  prometheus: {enabled: false}\n"),
         f"{KEY}.grafana.enabled", (f"{PROMETHEUS} is off", f"fix:     write enabled: true in {PROMETHEUS}, or")),
    Case("a request above the limit",
         telemetry("prometheus: {enabled: true, resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}"),
         f"{PROMETHEUS}.resources.requests.memory",
         told("the request 2Gi is above the limit 1Gi", '"2Gi"', "a request that does not exceed the limit",
              "lower the request to 1Gi, or raise the limit")),
    Case("tracing without Jaeger", telemetry("tracing: {sampling: 10}"), f"{KEY}.tracing",
         told(f"spans would go nowhere: {JAEGER} is off", '{"sampling": 10}',
              f"tracing with {JAEGER} that has enabled: true, or url and collector",
              f"add jaeger: {{enabled: true}} to {KEY}, or remove tracing")),
    Case("tracing to a Jaeger whose collector is not known",
         telemetry("tracing: {sampling: 10}", "  jaeger: {url: 'http://j'}\n"), f"{KEY}.tracing",
         told(f"spans would go nowhere: {JAEGER} has a url, but no collector", '{"sampling": 10}',
              f"tracing with {JAEGER} that has enabled: true, or url and collector",
              f"add the host and port of its collector as {JAEGER}.collector, or remove tracing")),
    Case("the collector of no Jaeger", telemetry("jaeger: {collector: 'c.obs:4317'}"), f"{JAEGER}.collector",
         told("no effect: it belongs to a Jaeger that exists, whose url is not given", '"c.obs:4317"',
              "collector with url", "remove collector, or add the url of that Jaeger")),
    Case("Istio's tags of Envoy's metrics", telemetry("metricTags: {request_host: request.host}", "  metrics: envoy\n"),
         f"{KEY}.metricTags",
         told(f"no effect: {KEY}.metrics is envoy, and the tags are those of Istio's metrics",
              '{"request_host": "request.host"}', "metricTags with metrics: istio",
              "remove metricTags, or write metrics: istio")),
]  # fmt: skip

VALUES = [
    Case("unknown server", telemetry("zipkin: {enabled: true}"), f"{KEY}.zipkin", ("there is no such key", "kiali")),
    Case("misspelt key",
         telemetry("alerts: {failurRate: 1}"), f"{KEY}.alerts.failurRate", ("rename it to `failureRate`",)),
    Case("the Python name of a key", telemetry("alerts: {for_: 1m}"), f"{KEY}.alerts.for_", ("rename it to `for`",)),
    Case("source of the metrics", telemetry("metrics: statsd"), f"{KEY}.metrics",
         told('"statsd" is not one of the choices', '"statsd"', "one of istio, envoy", "write istio or envoy")),
    Case("interval as a number", telemetry("scrapeInterval: 15"), f"{KEY}.scrapeInterval",
         told("this is a number, but must be text", "15", "text (How often", "write 15s for seconds")),
    Case("interval with a decimal point", telemetry("scrapeInterval: 15.0"), f"{KEY}.scrapeInterval",
         ("fix:     write 15s for seconds",)),
    Case("interval in parts of a second", telemetry("alerts: {for: 1.5}"), f"{KEY}.alerts.for",
         ("fix:     write 1500ms for seconds",)),
    Case("a negative retention", telemetry("prometheus: {retention: -5}"), f"{PROMETHEUS}.retention",
         ('fix:     write "15d", for example',)),
    Case("interval below a second", telemetry("scrapeInterval: 500ms"), f"{KEY}.scrapeInterval",
         told("500ms is less than 1s", '"500ms"', f"{NUMBERS} 1s to 5m", "write 1s, or more")),
    Case("interval above five minutes", telemetry("scrapeInterval: 5m1s"), f"{KEY}.scrapeInterval",
         told("5m1s is more than 5m", '"5m1s"', f"{NUMBERS} 1s to 5m", "write 5m, or less")),
    Case("retention with a fraction", telemetry("prometheus: {retention: 1.5d}"), f"{PROMETHEUS}.retention",
         told("'1.5d' is not a duration of Prometheus", '"1.5d"', f"{NUMBERS} 1h to 10y", "write 15d, for example")),
    Case("retention with units in another order",
         telemetry("prometheus: {retention: 12h1d}"), f"{PROMETHEUS}.retention",
         ("'12h1d' is not a duration of Prometheus",)),
    Case("retention of nothing", telemetry("jaeger: {retention: ''}"), f"{JAEGER}.retention",
         ("'' is not a duration of Prometheus",)),
    Case("alerts after days", telemetry("alerts: {for: 2d}"), f"{KEY}.alerts.for",
         told("2d is more than 1d", '"2d"', f"{NUMBERS} 0s to 1d", "write 1d, or less")),
    Case("URL without a scheme", telemetry("prometheus: {url: 'prometheus.monitoring:9090'}"), f"{PROMETHEUS}.url",
         (*told("is not the URL of a server", '"prometheus.monitoring:9090"', "http://",
                "write http://prometheus.monitoring:9090"), URLS)),
    Case("URL with a user", telemetry("prometheus: {url: 'https://me@p.example.com'}"), f"{PROMETHEUS}.url",
         (URLS, "fix:     write https://p.example.com")),
    Case("URL with a password", telemetry("prometheus: {url: 'https://me:p@ss@p.example.com/x?y'}"),
         f"{PROMETHEUS}.url",
         ("'https://…@p.example.com/x?y' is not the URL", 'given:   "https://…@p.example.com/x?y"',
          "fix:     write https://p.example.com/x")),
    Case("password without a scheme", telemetry("prometheus: {url: 'me:pass@p:9090'}"), f"{PROMETHEUS}.url",
         ("'…@p:9090' is not the URL", 'given:   "…@p:9090"', "fix:     write http://p:9090")),
    Case("URL with port 0", telemetry("prometheus: {url: 'http://p:0'}"), f"{PROMETHEUS}.url", (URLS,)),
    Case("URL with a port that is too high", telemetry("prometheus: {url: 'http://p:65536'}"), f"{PROMETHEUS}.url",
         (URLS,)),
    Case("URL with an empty part of a name", telemetry("prometheus: {url: 'http://p..monitoring'}"),
         f"{PROMETHEUS}.url", (URLS,)),
    Case("URL with half an address", telemetry("prometheus: {url: 'http://[:::::]:9090'}"), f"{PROMETHEUS}.url",
         (URLS,)),
    Case("Alertmanager without a list", telemetry("prometheus: {alertmanagers: 'http://a:9093'}"),
         f"{PROMETHEUS}.alertmanagers", ('write it as a list: ["http://a:9093"]',)),
    Case("an Alertmanager twice", telemetry("prometheus: {alertmanagers: ['http://a', 'http://a/']}"),
         f"{PROMETHEUS}.alertmanagers", ("'http://a' is given twice",)),
    Case("collector with a scheme", telemetry("jaeger: {url: 'http://j', collector: 'http://c.obs:4317'}"),
         f"{JAEGER}.collector", ("is not a host with a port", FULL_HOST)),
    Case("collector at port 0", telemetry("jaeger: {url: 'http://j', collector: 'c.obs:0'}"), f"{JAEGER}.collector",
         ("a port from 1 to 65535",)),
    Case("collector by its address", telemetry("jaeger: {url: 'http://j', collector: '10.0.0.1:4317'}"),
         f"{JAEGER}.collector", ("no scheme, and no address", FULL_HOST)),
    Case("a server as true", telemetry("prometheus: true"), PROMETHEUS,
         ("this is true, but must be a mapping", 'write {"enabled": true}, for example')),
    Case("tracing as true", telemetry("tracing: true"), f"{KEY}.tracing", ("this is true, but must be a mapping",)),
    Case("a server that is enabled by 1", telemetry("prometheus: {enabled: 1}"), f"{PROMETHEUS}.enabled",
         ("fix:     write true or false",)),
    Case("no storage as false", telemetry("prometheus: {storage: false}"), f"{PROMETHEUS}.storage",
         ("fix:     write null, for none",)),
    Case("StorageClass", telemetry("prometheus: {storage: {storageClassName: Fast SSD}}"),
         f"{PROMETHEUS}.storage.storageClassName",
         ("'Fast SSD' cannot be the name of a StorageClass", "kubectl get storageclasses")),
    Case("an Alertmanager without a value", telemetry("prometheus: {alertmanagers: [null]}"),
         f"{PROMETHEUS}.alertmanagers[0]", ("fix:     give it a value, or remove the entry",)),
    Case("image", telemetry("grafana: {image: My Grafana}"), f"{KEY}.grafana.image", ("is not an image reference",)),
    Case("size with a wrong unit", telemetry("prometheus: {storage: {size: 10GB}}"), f"{PROMETHEUS}.storage.size",
         told('"10GB" is not the size of a volume', '"10GB"', "a Kubernetes quantity of bytes from 1Mi to 1Ei",
              "write 10Gi for 10 gibibytes")),
    Case("size without a unit", telemetry("prometheus: {storage: {size: 10}}"), f"{PROMETHEUS}.storage.size",
         told("10 is not the size of a volume", "10", "a Kubernetes quantity of bytes from 1Mi to 1Ei",
              "write 10Gi for 10 gibibytes")),
    Case("size without an end",
         telemetry("jaeger: {storage: {size: '1e99999999999999999999'}}"), f"{JAEGER}.storage.size",
         ("is not the size of a volume",)),
    Case("authentication", telemetry("kiali: {authentication: openid}"), f"{KEY}.kiali.authentication",
         ("one of token, anonymous", "write token or anonymous")),
    Case("sampling above 100", telemetry("tracing: {sampling: 101}", created("jaeger")), f"{KEY}.tracing.sampling",
         told("101 is more than 100", "101", "a number from 0 to 100", "write a number from 0 to 100")),
    Case("sampling too fine", telemetry("tracing: {sampling: 0.005}", created("jaeger")), f"{KEY}.tracing.sampling",
         told("0.005 has more than two decimals", "0.005", "a number from 0 to 100 in steps of 0.01", "write 0.01")),
    Case("sampling far too fine", telemetry("tracing: {sampling: 1.0e-9}", created("jaeger")),
         f"{KEY}.tracing.sampling", ("has more than two decimals", "write 0.01")),
    Case("sampling of no number", telemetry("tracing: {sampling: .nan}", created("jaeger")), f"{KEY}.tracing.sampling",
         ("NaN is not a number",)),
    Case("a tag without a name", telemetry("tracing: {customTags: {'': {literal: x}}}", created("jaeger")),
         f'{KEY}.tracing.customTags[""]', ("the key is empty", "fix:     give it a name")),
    Case("a tag with two values", telemetry("tracing: {customTags: {a: {literal: x, header: y}}}", created("jaeger")),
         f"{KEY}.tracing.customTags.a",
         told("literal and header are both set", '{"literal": "x", "header": "y"}',
              "exactly one of literal, header and environment", "keep one of literal and header")),
    Case("a tag without a value",
         telemetry("tracing: {customTags: {a: {}}}", created("jaeger")), f"{KEY}.tracing.customTags.a",
         ("the tag has no value", "exactly one of literal, header and environment")),
    Case("a tag from a header in upper case", telemetry("tracing: {customTags: {a: {header: X-A}}}", created("jaeger")),
         f"{KEY}.tracing.customTags.a.header", ("write 'x-a'",)),
    Case("format of the access logs", telemetry("accessLogs: {format: json}"), f"{KEY}.accessLogs.format",
         told("the nearest is JSON", '"json"', "one of TEXT, JSON", "write JSON")),
    Case("a blank filter", telemetry("accessLogs: {enabled: true, filter: ' '}"), f"{KEY}.accessLogs.filter",
         told("the expression is blank", '" "', "an expression in CEL", "write response.code >= 400, for example")),
    Case("a blank tag", telemetry("metricTags: {host: ''}"), f"{KEY}.metricTags.host", ("the expression is blank",)),
    Case("a tag that is no label",
         telemetry("metricTags: {request-host: request.host}"), f"{KEY}.metricTags.request-host",
         ("'request-host' cannot be a label of Prometheus", LABELS, "write request_host")),
    Case("a tag that Prometheus reserves", telemetry("metricTags: {__host: request.host}"), f"{KEY}.metricTags.__host",
         ("it reserves __", "write host")),
    Case("a tag that Istio sets",
         telemetry("metricTags: {response_code: request.host}"), f"{KEY}.metricTags.response_code",
         told("Istio sets the label response_code itself", '"response_code"', LABELS.removeprefix("allowed: "),
              "write request_response_code, for example")),
    Case("a tag with the label of the queries",
         telemetry("metricTags: {version: request.host}"), f"{KEY}.metricTags.version",
         ("the queries by version set the label version itself", "write request_version, for example")),
    Case("no requests",
         telemetry("alerts: {minimumRequests: 0}"), f"{KEY}.alerts.minimumRequests", ("0 is less than 1",)),
    Case("failures in no percentage points", telemetry("alerts: {failureRate: 1000}"), f"{KEY}.alerts.failureRate",
         ("1000 is more than 100", "a number from 0 to 100")),
    Case("a password here", telemetry("grafana: {adminPassword: hunter2}"), f"{KEY}.grafana.adminPassword",
         ("the nearest is istio-canary:grafanaAdminPassword",
          "run pulumi config set --secret istio-canary:grafanaAdminPassword, which asks for it")),
    Case("a password of another name", telemetry("grafanaPassword: hunter2"), f"{KEY}.grafanaPassword",
         ("run pulumi config set --secret istio-canary:grafanaAdminPassword",)),
    Case("an encrypted password here",
         telemetry("grafana: {adminPassword: {secure: AAAB}}"), f"{KEY}.grafana.adminPassword",
         ("the value is encrypted", "pulumi config set --secret istio-canary:grafanaAdminPassword")),
]  # fmt: skip

CONTRADICTIONS = [
    Case("no metrics of Istio", in_mesh(ALL_SERVERS, "telemetry: {enabled: false}"), f"{KEY}.metrics",
         told(f"{ISTIOD}.telemetry.enabled turns Istio's metrics off", '"istio"',
              f"metrics: envoy, or metrics: istio without {ISTIOD}.telemetry.enabled",
              f"write metrics: envoy, or remove {ISTIOD}.telemetry.enabled")),
    Case("no metrics for Prometheus", in_mesh("prometheus: {url: 'http://p'}, metrics: istio",
                                              "telemetry: {v2: {prometheus: {enabled: false}}}"),
         f"{KEY}.metrics", (f"remove {ISTIOD}.telemetry.v2.prometheus.enabled",)),
    Case("Envoys without Istio's filters",
         in_mesh(ALL_SERVERS, "telemetry: {enabled: false}, env: {PILOT_ENABLE_METADATA_EXCHANGE: 'false'}"),
         f"{KEY}.metrics",
         ("PILOT_ENABLE_METADATA_EXCHANGE keeps the versions out of Istio's metrics",
          f"or remove {ISTIOD}.telemetry.enabled and {ISTIOD}.env.PILOT_ENABLE_METADATA_EXCHANGE")),
    Case("pods without annotations", in_mesh(ALL_SERVERS, "meshConfig: {enablePrometheusMerge: false}"),
         f"{PROMETHEUS}.enabled",
         contradiction(f"{PROMETHEUS}.enabled", f"{MESH_CONFIG}.enablePrometheusMerge",
                       "hides the pods' metrics from it")),
    Case("two lists of metrics", in_mesh(ALL_SERVERS, "meshConfig: {defaultConfig: {proxyStatsMatcher: {}}}"),
         f"{PROMETHEUS}.enabled",
         contradiction(f"{PROMETHEUS}.enabled", MATCHER, "replaces the list of Envoy's metrics that it needs")),
    Case("two lists of providers", in_mesh(ALL_SERVERS, "meshConfig: {extensionProviders: []}"), f"{JAEGER}.enabled",
         contradiction(f"{JAEGER}.enabled", f"{MESH_CONFIG}.extensionProviders",
                       "replaces the provider that sends spans to it")),
    Case("two lists of providers, for logs",
         in_mesh("accessLogs: {enabled: true}", "meshConfig: {extensionProviders: []}"), f"{KEY}.accessLogs.enabled",
         contradiction(f"{KEY}.accessLogs.enabled", f"{MESH_CONFIG}.extensionProviders",
                       "replaces the provider of the access logs")),
    Case("no tracing", in_mesh(ALL_SERVERS, "meshConfig: {enableTracing: false}"), f"{JAEGER}.enabled",
         contradiction(f"{JAEGER}.enabled", f"{MESH_CONFIG}.enableTracing", "turns tracing off")),
    Case("access logs twice", in_mesh("accessLogs: {enabled: true}", "meshConfig: {accessLogFile: /dev/stdout}"),
         f"{KEY}.accessLogs.enabled",
         contradiction(f"{KEY}.accessLogs.enabled", f"{MESH_CONFIG}.accessLogFile", "sets the same")),
    Case("two formats of access logs",
         in_mesh("accessLogs: {enabled: true, format: TEXT}", "meshConfig: {accessLogEncoding: JSON}"),
         f"{KEY}.accessLogs.enabled", (f"{MESH_CONFIG}.accessLogEncoding sets the same",)),
    Case("access logs on and off", in_mesh("accessLogs: {enabled: false}", "meshConfig: {accessLogFile: /dev/stdout}"),
         f"{KEY}.accessLogs.enabled", (f"{MESH_CONFIG}.accessLogFile enables them", "given:   false")),
]  # fmt: skip


@pytest.mark.parametrize("case", SERVERS + VALUES + CONTRADICTIONS, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("key", ["grafana: {adminPassword: hunter2}", "prometheus: {url: 'http://me:hunter2@p'}"])
def test_no_message_shows_a_password(key: str, tmp_path: Path) -> None:
    assert "hunter2" not in str(problems_of(tmp_path, config(f"telemetry: {{{key}}}")))


@pytest.mark.parametrize("case", SERVERS + VALUES + CONTRADICTIONS, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)
    assert len({problem.path for problem in problems_of(tmp_path, case.text).problems}) == 1


@pytest.mark.parametrize(
    "text",
    [
        config(f"telemetry: {{{ALL_SERVERS}}}"),
        config("telemetry: {prometheus: {url: 'http://p/'}, grafana: {url: 'https://g.example.com/grafana'}}"),
        config("telemetry: {kiali: {url: 'http://k'}}"),
        config("telemetry: {prometheus: {url: 'https://[2001:db8::1]:9090/prometheus/'}}"),
        config("telemetry: {prometheus: {enabled: true, storage: {storageClassName: ssd.fast}}}"),
        config("telemetry: {prometheus: {note: 'no disk'}, grafana: {enabled: false, note: 'no Prometheus'}}"),
        config("telemetry: {prometheus: {enabled: true, storage: null, url: null}}"),
        config("telemetry: {jaeger: {url: 'http://j', collector: 'c.obs.svc.cluster.local:4317'}, tracing: {}}"),
        config("telemetry: {alerts: {enabled: false, for: 0s}, tracing: {}}"),
        config(f"telemetry: {{{ALL_SERVERS}, tracing: {{sampling: 0.07}}, alerts: {{enabled: true}}}}"),
        in_mesh("metrics: istio", "telemetry: {enabled: false}, meshConfig: {enablePrometheusMerge: false}"),
        in_mesh(f"{ALL_SERVERS}, metrics: envoy", "telemetry: {enabled: false}"),
        in_mesh("prometheus: {url: 'http://p'}", "meshConfig: {enablePrometheusMerge: false}"),
        in_mesh("jaeger: {url: 'http://j'}", "meshConfig: {extensionProviders: []}"),
        in_mesh("metrics: envoy", "meshConfig: {accessLogFile: /dev/stdout}"),
        in_mesh("accessLogs: {enabled: false}", "meshConfig: {accessLogFile: ''}"),
        config(f"mesh: {{install: false}}\ntelemetry: {{{ALL_SERVERS}}}"),
    ],
)  # fmt: skip
def test_what_contradicts_nothing_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.staging.yaml"
    file.write_text(text)

    load_stack(file)
