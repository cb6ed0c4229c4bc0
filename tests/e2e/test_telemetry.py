"""Prometheus and Jaeger in the sandbox, and what the dashboard, the alerts and the commands make of real traffic.

The tests build on each other: load runs from the first to the last, and each continues where the previous one ended.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from canary.engine.recovery import SECRET_SIGNATURE
from kube.port_forward import PortForward
from metrics.dashboard import canary_dashboard
from metrics.prometheus import Prometheus, Sample
from metrics.queries import Source
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings import loading
from stacks.settings.cluster import ClusterSettings
from tests.chromium import require_chromium, screenshot
from tests.e2e import traces
from tests.e2e.envoys import gateway_pod
from tests.e2e.load import load
from tests.e2e.tools import Cluster, Project, bodies, wait_until
from tests.metrics_expressions import expressions, filled
from tests.unit.mocks import run_program

STACK, HOST, CHAIN_HOST = "telemetry", "telemetry.example.com", "chain.example.com"
NAMESPACE, CHAIN = "telemetry-shop", "telemetry-chain"
RATE = 60
SCRAPE_INTERVAL = 2.0
CHAIN_OF = ("front", "middle", "back")
RECEIVER = """
apiVersion: v1
kind: Pod
metadata: {name: alertmanager, namespace: default, labels: {app: alertmanager}}
spec: {containers: [{name: alertmanager, image: "istio-canary/echo:1.0.0", imagePullPolicy: IfNotPresent}]}
---
apiVersion: v1
kind: Service
metadata: {name: alertmanager, namespace: default}
spec: {selector: {app: alertmanager}, ports: [{port: 9093, targetPort: 8080}]}
"""
"""A stand-in for a user's Alertmanager: it answers every request with 200."""
Settings = dict[str, Any]


def echo(*args: str) -> Settings:
    return {
        "image": "istio-canary/echo:1.0.0",
        "args": ["-listen=:8080", *args],
        "port": 8080,
        "readinessProbe": {"httpGet": {"path": "/_health", "port": 8080}, "periodSeconds": 1},
        "preStopSeconds": 0,
        "terminationGracePeriodSeconds": 1,
    }


def services(canary: int = 10) -> Settings:
    """A service in two versions, and three services that call each other in turn."""
    chain = {
        name: {
            "namespace": CHAIN,
            "hosts": [CHAIN_HOST if name == "front" else f"{name}.example.com"],
            "gateways": [f"{name}-gateway", "mesh"] if name == "front" else ["mesh"],
            "versions": {
                "version-1": echo(f"-service={name}", *([f"-next=http://{after}.{CHAIN}/chain"] if after else []))
            },
        }
        for name, after in zip(CHAIN_OF, (*CHAIN_OF[1:], ""), strict=True)
    }
    shop = {
        "namespace": NAMESPACE,
        "hosts": [HOST],
        "versions": {version: echo(f"-version={version}") for version in ("version-1", "version-2")},
        "route": [{"to": {"version-1": 100 - canary, "version-2": canary}}],
        "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 100}},
    }
    return {"shop": shop, **chain}


def config(project: Project, **telemetry: Any) -> Settings:
    """The dev stack's config with these services; `telemetry` is laid over its telemetry."""
    given = project.dev_config()
    given["istio-canary:samples"] = []
    given["istio-canary:services"] = services()
    prometheus = given["istio-canary:telemetry"]["prometheus"]
    given["istio-canary:telemetry"] |= {
        "prometheus": {**prometheus, "alertmanagers": ["http://alertmanager.default:9093"]},
        "accessLogs": {"enabled": True, "format": "JSON", "filter": "response.code >= 400"},
        "scrapeInterval": f"{SCRAPE_INTERVAL:g}s",
        "alerts": {"for": "2s", "minimumRequests": 20},
        **telemetry,
    }
    return given


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The deployed stack, with load on the shop until the last test."""
    project = Project.create(tmp_path_factory.mktemp("telemetry"), cluster)
    project.write_stack(STACK, config(project))
    cluster.kubectl("apply", "--filename=-", stdin=RECEIVER)
    project.up(STACK)
    with load(cluster.layout.gateway_url, project.folder, rate=RATE, headers={"Host": HOST}):
        yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    cluster.kubectl("delete", "--filename=-", "--grace-period=1", stdin=RECEIVER)
    for kind in ("clusterrole/prometheus", "clusterrolebinding/prometheus", "namespace/istio-system"):
        assert not cluster.exists(kind), f"{kind} was left behind"


@contextmanager
def forwarded(cluster: Cluster, service: str, port: int, namespace: str = "istio-system") -> Iterator[str]:
    """The local URL of a Service's port."""
    access = ClusterSettings(kubeconfig=str(cluster.layout.kubeconfig), context=cluster.layout.context)
    with PortForward(access, namespace, service, port) as forward:
        yield forward.url


@pytest.fixture
def prometheus(shop: Project) -> Iterator[Prometheus]:
    with forwarded(shop.cluster, "prometheus", 9090) as url, Prometheus(url) as client:
        yield client


@pytest.fixture
def jaeger(shop: Project) -> Iterator[str]:
    with forwarded(shop.cluster, "tracing", 80) as url:
        yield f"{url}/jaeger"


def watched(shop: Project, is_enough: Callable[[dict[str, dict[str, Any]]], bool], seconds: float = 60) -> float:
    """Follow `canary status --watch --json` until the shop's versions are as asked for; return the seconds it took."""
    run = shop.popen("status", "--stack", STACK, "--watch", "--json", "--interval", "0.5", "--window", "5s")
    assert run.stdout is not None
    began, last = time.monotonic(), ""
    try:
        for line in run.stdout:
            last = line
            if not line.startswith("{"):  # a note
                continue
            (found,) = [service for service in json.loads(line)["services"] if service["name"] == "shop"]
            if is_enough({version["name"]: version for version in found["versions"]}):
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, f"not seen within {seconds} s; the last: {last}"
        raise AssertionError(f"the command ended with {run.wait()}: {last}")
    finally:
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 0, "Ctrl-C ends it"


def test_a_second_up_changes_nothing(shop: Project) -> None:
    assert set(shop.up(STACK)["changes"]) == {"same"}


def test_every_query_of_the_dashboard_returns_data_under_load(shop: Project, prometheus: Prometheus) -> None:
    """Except where the weights changed: they did not yet."""
    queries = {text: of_shop(text) for text in expressions(canary_dashboard(Source.ENVOY)) if "changes(" not in text}
    assert len(queries) > 8
    deadline = time.monotonic() + 60
    while missing := [text for text, query in queries.items() if not prometheus.instant(query)]:
        assert time.monotonic() < deadline, (
            f"{len(missing)} of {len(queries)} have no data, such as {missing[0][-300:]}"
        )


def of_shop(expression: str, over: str = "10s") -> str:
    """The expression for the shop."""
    return filled(expression, "shop", NAMESPACE, over)


def test_status_watch_shows_a_change_of_weights_as_it_is_observed(shop: Project) -> None:
    watched(shop, lambda version: 4 < (version["version-2"]["share_percent"] or 0) < 18)
    changed = config(shop)
    changed["istio-canary:services"] = services(canary=50)
    shop.write_stack(STACK, changed)
    shop.up(STACK)

    def is_half(version: dict[str, dict[str, Any]]) -> bool:
        one = version["version-2"]
        return one["weight_percent"] == 50 and 42 < (one["share_percent"] or 0) < 58 and one["success_percent"] == 100

    watched(shop, is_half)


def test_the_moment_of_the_change_is_known_to_the_dashboard(prometheus: Prometheus) -> None:
    (change,) = [text for text in expressions(canary_dashboard(Source.ENVOY)) if "changes(" in text]
    wait_until(lambda: bool(prometheus.instant(of_shop(change, over="2m"))), "the annotation", 60)


def test_requests_that_reach_no_pod_are_failures_of_the_version_and_raise_an_alert(
    shop: Project, cluster: Cluster, prometheus: Prometheus
) -> None:
    """The pods are gone while the route still sends requests to them: UH, which no pod can count."""
    cluster.kubectl("scale", "deployment/shop-version-2", f"--namespace={NAMESPACE}", "--replicas=0")
    watched(
        shop,
        lambda version: (version["version-2"]["success_percent"] or 0) < 20 and version["version-2"]["pods_ready"] == 0,
    )

    def firing() -> list[Sample]:
        alert = 'ALERTS{alertname="CanaryWorseThanStable",alertstate="firing",version="version-2"}'
        return list(prometheus.instant(alert))

    wait_until(lambda: bool(firing()), "the alert", 60)
    (alert,) = firing()
    assert (alert.labels["service"], alert.labels["namespace"]) == ("shop", NAMESPACE)
    sent = 'prometheus_notifications_sent_total{alertmanager=~"http://alertmanager.default:9093/.*"} > 0'
    wait_until(lambda: bool(prometheus.instant(sent)), "a notification of the Alertmanager", 30)
    cluster.kubectl("scale", "deployment/shop-version-2", f"--namespace={NAMESPACE}", "--replicas=1")
    watched(shop, lambda version: version["version-2"]["success_percent"] == 100)


def test_the_access_log_has_what_the_filter_selects_and_names_the_version(shop: Project, cluster: Cluster) -> None:
    mark = uuid.uuid4().hex
    url = f"{cluster.layout.gateway_url}/{mark}"
    for status in (200, 503, 404):
        headers = {"host": HOST, "x-echo-status": str(status)}
        assert httpx.get(url, headers=headers, timeout=10, trust_env=False).status_code == status

    def logged() -> list[dict[str, Any]]:
        text = cluster.kubectl("logs", gateway_pod(cluster), "--namespace=istio-ingress", "--tail=2000").stdout
        return [json.loads(line) for line in text.splitlines() if mark in line]

    wait_until(lambda: len(logged()) >= 2, "the log of two requests", 30)
    assert {entry["response_code"] for entry in logged()} == {503, 404}
    for entry in logged():
        assert entry["upstream_cluster"].split("|")[2] in ("version-1", "version-2")


def trace_of_one_request(shop: Project) -> str:
    """Send one request through the chain; return the ID of its trace."""
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-{uuid.uuid4().hex[:16]}-01"}
    url = f"{shop.cluster.layout.gateway_url}/chain"
    answered: list[str] = []

    def answers() -> bool:
        answer = httpx.get(url, headers={"host": CHAIN_HOST, **headers}, timeout=10, trust_env=False)
        answered.append(answer.text)
        return answer.status_code == 200

    wait_until(answers, f"an answer of the chain: {answered[-1:]}", 30)
    assert [hop["service"] for hop in json.loads(answered[-1])] == list(CHAIN_OF)
    return trace


def test_one_request_is_one_trace_with_every_hop(shop: Project, jaeger: str) -> None:
    trace = trace_of_one_request(shop)
    gateway = "istio-ingressgateway.istio-ingress"
    expected = [gateway, *(f"{name}.{CHAIN}" for name in CHAIN_OF)]
    wait_until(lambda: traces.hops(jaeger, trace) == expected, f"the trace {traces.hops(jaeger, trace)}", 30)


@pytest.mark.long
def test_the_report_shows_the_range_without_an_error_in_the_browser(shop: Project, tmp_path: Path) -> None:
    if reason := require_chromium():
        pytest.skip(reason)
    page = tmp_path / "report.html"
    done = shop.canary("report", "--stack", STACK, "--last", "5m", "--output", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    assert screenshot(page, tmp_path / "report.png", (1200, 1600)) == []
    text = page.read_text(encoding="utf-8")
    assert "version-2" in text
    assert "http://" not in text.split("<script", 1)[0], "nothing is loaded from elsewhere"


def without_secrets(value: Any) -> Any:
    """The value with Pulumi's secrets as plain values."""
    if isinstance(value, dict):
        if SECRET_SIGNATURE in value:
            return value["value"]
        return {key: without_secrets(entry) for key, entry in value.items()}
    return [without_secrets(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "telemetry",
    [
        {"grafana": {"enabled": True}, "kiali": {"enabled": True}},
        {"grafana": {"enabled": True, "anonymous": True}, "kiali": {"enabled": True, "authentication": "anonymous"}},
        {"grafana": {"url": "https://grafana.example.com"}, "jaeger": {"url": "https://jaeger.example.com"}},
    ],
    ids=["with a login", "without a login", "existing"],
)
def test_the_api_server_accepts_the_objects_of_grafana_and_kiali(shop: Project, telemetry: Settings) -> None:
    """Their images are not to be had here."""
    settings = loading.load({"telemetry": {"prometheus": {"enabled": True}, **telemetry}}, stack="dev")
    facts = ClusterFacts(uid="7b1f")
    run = run_program(lambda: Environment(settings, facts, "istio-canary/test").outputs, preview=False)
    of = (":Grafana::", ":GrafanaProvisioning::", ":Kiali::")
    objects = [without_secrets(one.inputs) for one in run.custom() if any(part in f"{one.parent}" for part in of)]
    assert objects
    objects_as_yaml = yaml.safe_dump_all(objects)
    shop.cluster.kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=objects_as_yaml)


@pytest.mark.long
def test_open_forwards_to_another_pod_when_the_first_one_goes(shop: Project, cluster: Cluster) -> None:
    run = shop.popen("open", "prometheus", "--stack", STACK, "--no-browser")
    assert run.stdout is not None
    try:
        url = next(word for line in run.stdout for word in line.split() if word.startswith("http://"))

        def is_ready() -> bool:
            try:
                return httpx.get(f"{url}/-/ready", timeout=5, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(is_ready, "Prometheus' answer", 20)
        cluster.kubectl("delete", "pod", "--selector=app=prometheus", "--namespace=istio-system", "--grace-period=1")
        wait_until(is_ready, "the new pod's answer", 60)
    finally:
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(20) == 0


@pytest.mark.long
def test_a_prometheus_that_is_down_is_said_and_not_shown_as_zero(shop: Project, cluster: Cluster) -> None:
    cluster.kubectl("scale", "deployment/prometheus", "--namespace=istio-system", "--replicas=0")
    cluster.kubectl("wait", "--for=delete", "pod", "--selector=app=prometheus", "--namespace=istio-system")

    def is_said(version: dict[str, dict[str, Any]]) -> bool:
        one = version["version-1"]
        assert one["share_percent"] is None
        assert one["success_percent"] is None
        return bool(one["problem"])

    watched(shop, is_said)
    report = shop.canary("report", "--stack", STACK)
    assert report.returncode == 5
    assert "Traceback" not in report.stderr
    cluster.kubectl("scale", "deployment/prometheus", "--namespace=istio-system", "--replicas=1")
    cluster.kubectl("rollout", "status", "deployment/prometheus", "--namespace=istio-system", "--timeout=60s")


def tracing_proxies(cluster: Cluster) -> list[str]:
    """The pods of the chain and the gateway whose Envoys send spans."""
    found = []
    for namespace in (CHAIN, "istio-ingress"):
        for pod in cluster.get("pods", f"--namespace={namespace}")["items"]:
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"]:
                continue
            inside = ["exec", name, f"--namespace={namespace}", "--container=istio-proxy", "--"]
            listeners = "config_dump?resource=dynamic_listeners"
            answer = cluster.kubectl(*inside, "pilot-agent", "request", "GET", listeners)
            if "envoy.tracers.opentelemetry" in answer.stdout:
                found.append(name)
    return found


@pytest.mark.long
def test_with_sampling_0_there_are_no_traces(shop: Project, cluster: Cluster, jaeger: str) -> None:
    """In new pods: an Envoy keeps tracing the requests of a connection that is older than the change."""
    assert len(tracing_proxies(cluster)) == 1 + len(CHAIN_OF)
    shop.write_stack(STACK, config(shop, tracing={"sampling": 0}))
    shop.up(STACK)
    for name in CHAIN_OF:
        cluster.kubectl("rollout", "restart", f"deployment/{name}-version-1", f"--namespace={CHAIN}")
        cluster.kubectl("rollout", "status", f"deployment/{name}-version-1", f"--namespace={CHAIN}", "--timeout=60s")
    wait_until(lambda: not tracing_proxies(cluster), "the proxies' configuration", 30)
    began = time.time()
    answers = bodies(f"{cluster.layout.gateway_url}/chain", 20, host=CHAIN_HOST)
    assert all(answer.startswith("[") for answer in answers), answers
    ended = time.time()

    shop.write_stack(STACK, config(shop))
    shop.up(STACK)
    wait_until(lambda: len(tracing_proxies(cluster)) == 1 + len(CHAIN_OF), "the proxies' configuration", 30)
    later = trace_of_one_request(shop)
    wait_until(lambda: bool(traces.hops(jaeger, later)), "a trace that began later", 30)
    assert traces.traces(jaeger, f"front.{CHAIN}", start=began, end=ended) == {}
