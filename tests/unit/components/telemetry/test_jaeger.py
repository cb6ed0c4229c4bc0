"""Jaeger: held against Istio's addon, its storage, and who may send and read spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import yaml

from components.telemetry.jaeger import Jaeger, JaegerArgs
from components.telemetry.workload import StorageArgs
from tests.unit.components.telemetry import addons
from tests.unit.mocks import Deploy, Run, in_cluster, run_program

SERVICE = "kubernetes:core/v1:Service"
CONFIG = "ConfigMap/jaeger file config.yaml"
EVERYWHERE = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "*"}}}
UNREACHABLE = "no Service of the addon leads to it"

DIFFERENT = {
    f"{CONFIG} extensions.expvar.*": UNREACHABLE,
    f"{CONFIG} extensions.zpages.*": UNREACHABLE,
    f"{CONFIG} extensions.remote_sampling.*": f"{UNREACHABLE}; Envoy samples by the Telemetry resource",
    f"{CONFIG} receivers.jaeger.protocols.thrift_binary.*": UNREACHABLE,
    f"{CONFIG} receivers.jaeger.protocols.thrift_compact.*": UNREACHABLE,
    f'{CONFIG} service.extensions[]="expvar"': UNREACHABLE,
    f'{CONFIG} service.extensions[]="zpages"': UNREACHABLE,
    f'{CONFIG} service.extensions[]="remote_sampling"': UNREACHABLE,
    f"{CONFIG} extensions.healthcheckv2.grpc=*": "the default, and nothing asks by gRPC",
    "Deployment/jaeger strategy RollingUpdate": "two pods must not open one database",
}


def _jaeger(**changes: Any) -> Callable[[], pulumi.Output[Any]]:
    given: dict[str, Any] = {
        "namespace": "istio-system",
        "image": "docker.io/jaegertracing/jaeger:2.17.0",
        "resources": {"requests": {"cpu": "10m"}},
        **changes,
    }

    def program() -> pulumi.Output[Any]:
        jaeger = Jaeger("jaeger", JaegerArgs(**given), in_cluster())
        return pulumi.Output.all(
            query_url=jaeger.query_url, collector_host=jaeger.collector_host, zipkin_host=jaeger.zipkin_host
        )

    return program


def _config(run: Run) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(run.named("jaeger-config").inputs["data"]["config.yaml"])
    return config


def test_all_of_istios_addon_is_there_or_among_the_differences() -> None:
    addons.hold(addons.built(run_program(_jaeger(), preview=False)), addons.addon("jaeger"), DIFFERENT)


def test_the_services_lead_to_the_pod_by_the_hosts_that_are_returned(deploy: Deploy) -> None:
    run = deploy(_jaeger())

    assert run.result == {
        "query_url": "http://tracing.istio-system/jaeger",
        "collector_host": "jaeger-collector.istio-system.svc.cluster.local",
        "zipkin_host": "zipkin.istio-system.svc.cluster.local",
    }
    assert run.named("jaeger", "istio-canary:index:Jaeger").outputs == run.result
    labels = run.named("jaeger-server").spec["template"]["metadata"]["labels"]
    for service in run.of_type(SERVICE):
        assert service.spec["selector"].items() <= labels.items()


def test_every_port_of_a_service_is_one_of_the_container(deploy: Deploy) -> None:
    run = deploy(_jaeger())
    (container,) = run.named("jaeger-server").spec["template"]["spec"]["containers"]
    open_ports = {port["containerPort"] for port in container["ports"]}

    for service in run.of_type(SERVICE):
        assert {port["targetPort"] for port in service.spec["ports"]} <= open_ports


def test_spans_are_kept_for_the_retention_in_the_mounted_folder(deploy: Deploy) -> None:
    run = deploy(_jaeger(retention="24h", storage=StorageArgs(size="5Gi")))
    badger = _config(run)["extensions"]["jaeger_storage"]["backends"]["badger_storage"]["badger"]
    (container,) = run.named("jaeger-server").spec["template"]["spec"]["containers"]
    (data,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "data")

    assert badger["ttl"] == {"spans": "24h"}
    assert all(folder.startswith(f"{data}/") for folder in badger["directories"].values())
    assert run.named("jaeger-storage").spec["resources"] == {"requests": {"storage": "5Gi"}}


def test_the_pages_have_the_base_path_of_the_url(deploy: Deploy) -> None:
    run = deploy(_jaeger(base_path="/traces"))

    assert run.result["query_url"].endswith("/traces")
    assert _config(run)["extensions"]["jaeger_query"]["base_path"] == "/traces"


def test_a_changed_configuration_replaces_the_pod(deploy: Deploy) -> None:
    before, after = (deploy(_jaeger(retention=retention)).named("jaeger-server") for retention in ("72h", "24h"))

    assert before.spec["template"]["metadata"]["annotations"] != after.spec["template"]["metadata"]["annotations"]


def test_jaeger_does_not_trace_the_queries_of_its_own_api(deploy: Deploy) -> None:
    (container,) = deploy(_jaeger()).named("jaeger-server").spec["template"]["spec"]["containers"]

    assert container["env"] == [{"name": "OTEL_TRACES_SAMPLER", "value": "always_off"}]


def test_every_pod_may_send_spans_and_only_grafana_and_kiali_may_read_them(deploy: Deploy) -> None:
    rules = deploy(_jaeger()).named("jaeger-policy").spec["ingress"]
    sources: dict[int, set[str]] = {}
    for rule in rules:
        servers = {
            source["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for source in rule.get("from", [EVERYWHERE])
        }
        sources |= {port["port"]: servers for port in rule["ports"]}

    everywhere, readers = {"*"}, {"grafana", "kiali"}
    assert sources == {
        4317: everywhere,
        4318: everywhere,
        9411: everywhere,
        14250: everywhere,
        14268: everywhere,
        16685: readers,
        16686: readers,
        8888: {"prometheus"},
    }
