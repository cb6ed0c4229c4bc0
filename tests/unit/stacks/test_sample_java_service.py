"""The samples hello-minikube and java-service have the Deployments, ports, probes and rules of their sources."""

from __future__ import annotations

import pytest

from stacks.settings.loading import load
from stacks.settings.model import Sample
from stacks.settings.problems import SettingsError
from tests.unit.stacks.sample_stacks import JAVA, MOBILE, ONE, TWO, chosen, deployed, objects
from traffic.model import version_label


def test_hello_minikube_is_one_deployment_behind_a_service_at_8080() -> None:
    run = deployed(Sample.HELLO_MINIKUBE)

    assert objects(run, "hello") == {
        "Service": {"hello-minikube"},
        "Deployment": {"hello-minikube"},
        "Gateway": {"hello-minikube-gateway"},
        "VirtualService": {"hello-minikube"},
        "DestinationRule": {"hello-minikube"},
    }
    deployment = run.named("hello-minikube-version-1")
    assert deployment.spec["replicas"] == 1
    assert deployment.spec["template"]["metadata"]["labels"]["app"] == "hello-minikube"
    (port,) = run.named("hello-minikube-service").spec["ports"]
    assert (port["name"], port["port"]) == ("http", 8080)


def test_the_java_service_has_the_deployments_of_the_article() -> None:
    run = deployed(Sample.JAVA_SERVICE)

    found = objects(run, "java")
    assert found["Deployment"] == {
        *("cloudnative-java-service-ramped", ONE, MOBILE, "cloudnative-go-service", "cloudnative-frontend")
    }
    assert found["Service"] == {JAVA, "cloudnative-go-service", "cloudnative-frontend"}
    ports = {name: run.named(f"{name}-service").spec["ports"][0] for name in found["Service"]}
    assert {name: port["port"] for name, port in ports.items()} == {
        JAVA: 9090,
        "cloudnative-go-service": 8079,
        "cloudnative-frontend": 80,
    }
    assert {(port["name"], port["targetPort"]) for port in ports.values()} == {("http", "http")}


def test_the_ramped_deployment_has_the_articles_pods() -> None:
    run = deployed(Sample.JAVA_SERVICE)
    spec = run.named(f"{JAVA}-{TWO}").spec

    assert (spec["replicas"], spec["minReadySeconds"]) == (2, 5)
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": 8080}
        assert (container[probe]["initialDelaySeconds"], container[probe]["periodSeconds"]) == (40, 15)
        assert container[probe].get("timeoutSeconds", 1) == 1
    assert container["volumeMounts"] == [{"name": "config-0", "mountPath": "/config", "readOnly": True}]
    (config,) = run.of_type(":ConfigMap")
    assert config.inputs["data"] == {"application.properties": "instance.name=Two\n"}


def test_the_only_pods_of_the_java_service_without_a_file_are_replaced_after_the_next_is_ready() -> None:
    run = deployed(Sample.JAVA_SERVICE)

    for version in (ONE, MOBILE):
        spec = run.named(f"{JAVA}-{version}").spec
        assert (spec["replicas"], spec["minReadySeconds"]) == (1, 5)
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert "volumes" not in spec["template"]["spec"]


@pytest.mark.parametrize(("name", "ready"), [("cloudnative-go-service", 10), ("cloudnative-frontend", 5)])
def test_the_go_service_and_the_frontend_have_the_articles_pods(name: str, ready: int) -> None:
    spec = deployed(Sample.JAVA_SERVICE).named(f"{name}-version-1").spec

    assert (spec["replicas"], spec["minReadySeconds"]) == (2, ready)
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 1}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"memory": "64Mi", "cpu": "0.5"},
        "limits": {"memory": "64Mi", "cpu": "1"},
    }


def test_the_java_services_gateway_and_routes_are_those_of_the_article() -> None:
    run = deployed(Sample.JAVA_SERVICE)

    gateway = run.named("java-service-istio-lb-shared-gateway")
    assert gateway.metadata["name"] == "java-service-istio-lb"
    (server,) = gateway.spec["servers"]
    assert (server["port"]["number"], server["port"]["protocol"], server["hosts"]) == (9191, "HTTP", ["*"])
    virtual_service = run.named(f"{JAVA}-routing-virtual-service").spec
    assert virtual_service["gateways"] == ["istio-ingress/java-service-istio-lb"]
    mobile, web = virtual_service["http"]
    assert (mobile["name"], web["name"]) == ("mobile-route", "web-route")
    assert mobile["match"] == [{"headers": {"channel": {"exact": "mobile"}}}]
    assert [route["destination"]["subset"] for route in mobile["route"]] == [MOBILE]
    assert {route["destination"]["subset"]: route["weight"] for route in web["route"]} == {ONE: 50, TWO: 50}
    labels = {
        subset["name"]: subset["labels"] for subset in run.named(f"{JAVA}-routing-destination-rule").spec["subsets"]
    }
    assert labels == {name: {"version": version_label(JAVA, name)} for name in (ONE, TWO, MOBILE)}


def test_the_mobile_version_is_the_next_release() -> None:
    versions = chosen(Sample.JAVA_SERVICE).services[JAVA].deployed

    assert {name: version.image.rpartition(":")[2] for name, version in versions.items()} == {
        ONE: "1.0.0",
        TWO: "1.0.0",
        MOBILE: "UPDATE2_0",
    }


def test_the_java_service_needs_its_port_at_the_gateway() -> None:
    with pytest.raises(SettingsError, match="does not open port 9191") as caught:
        load({"samples": ["java-service"]})

    assert "write istio-canary:mesh.gateway.ports: [80, 9191]" in str(caught.value)


def test_a_stack_shortens_the_java_services_probes_and_keeps_their_other_keys() -> None:
    soon = {"readinessProbe": {"initialDelaySeconds": 1}}
    services = {JAVA: {"versions": {TWO: soon}}}
    probe = chosen(Sample.JAVA_SERVICE, services=services).services[JAVA].deployed[TWO].readiness_probe

    assert (probe.initial_delay_seconds, probe.period_seconds) == (1, 15)
