"""The samples: what each has, the objects that it creates, and that all run side by side in one mesh."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stacks.checks.warnings import warnings
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.samples import SETTINGS
from stacks.settings.loading import load, load_stack
from stacks.settings.model import Sample, Settings
from stacks.settings.problems import SettingsError
from stacks.simulator import simulator_of
from tests.unit.mocks import Deploy, Run, run_program
from traffic.model import version_label
from traffic.simulate import Answered, Forwarded, Refused, Request

PROJECT = Path(__file__).parents[3]
TOGETHER = [sample for sample in Sample if sample is not Sample.ASSETS_INGRESS]
"""All samples that can be chosen together."""
PORTS = {"gateway": {"ports": [80, 9191]}}
JAVA = "java-service-lb"
TWO, MOBILE, ONE = (f"cloudnative-java-service{suffix}" for suffix in ("", "-mobile", "-one"))
ASSETS = "assetmanagement.greencompute.ibmcase.com"
WEB_API = "cluster.local/ns/starter/sa/web-api"


def chosen(*samples: Sample, **keys: Any) -> Settings:
    """The settings of a stack with these samples."""
    return load({"mesh": PORTS, "samples": [sample.value for sample in samples], **keys})


def registered(settings: Settings) -> Run:
    """What is registered for the settings."""
    facts = ClusterFacts(uid="7b1f")
    return run_program(lambda: Environment(settings, facts, "istio-canary/test").outputs, preview=False)


@cache
def deployed(sample: Sample) -> Run:
    """What is registered for a sample."""
    return registered(chosen(sample))


def objects(run: Run, namespace: str) -> dict[str, set[str]]:
    """The names of the objects in a namespace by kind, without ServiceAccounts, which are named as Services."""
    found: dict[str, set[str]] = {}
    for resource in run.custom():
        kind = resource.inputs.get("kind")
        if kind not in (None, "ServiceAccount") and resource.metadata.get("namespace") == namespace:
            found.setdefault(kind, set()).add(resource.metadata["name"])
    return found


@pytest.mark.parametrize("sample", Sample)
def test_a_sample_loads_without_problems_and_without_warnings(sample: Sample) -> None:
    settings = chosen(sample)

    assert settings.services
    assert list(warnings(settings)) == []


@pytest.mark.parametrize("sample", Sample)
def test_every_pod_of_a_sample_has_the_labels_app_and_version(sample: Sample) -> None:
    run = deployed(sample)

    for deployment in run.of_type(":Deployment"):
        labels = deployment.spec["template"]["metadata"]["labels"]
        assert set(labels) == {"app", "version"}
        assert labels["version"].startswith(f"{labels['app']}-")
        assert deployment.spec["selector"]["matchLabels"] == labels, "versions must not select each other's pods"


def test_all_samples_run_side_by_side_each_in_namespaces_of_its_own() -> None:
    settings = chosen(*TOGETHER)

    of_sample = {sample: {one.namespace for one in chosen(sample).services.values()} for sample in TOGETHER}
    assert sum(map(len, of_sample.values())) == len(set().union(*of_sample.values())), of_sample
    assert {service.namespace for service in settings.services.values()} == {
        *("website-istio-ns", "hello", "java", "greencompute", "starter")
    }
    assert list(warnings(settings)) == []


@pytest.mark.parametrize(
    ("host", "port", "path", "target"),
    [
        ("any.example.com", 80, "/", "website/version-1"),
        ("hello.localhost", 80, "/", "hello-minikube/version-1"),
        ("any.example.com", 9191, "/goservice", f"{JAVA}/{ONE}"),
        ("go-service.localhost", 9191, "/goservice", "cloudnative-go-service/version-1"),
        ("frontend.localhost", 9191, "/", "cloudnative-frontend/version-1"),
        (ASSETS, 80, "/assetmgrms/assets", "asset-mgr-ms-svc/version-1"),
        ("starter.localhost", 80, "/web-api/v1/getmultiple", "web-api/v1"),
    ],
)
def test_no_sample_takes_a_request_of_another(host: str, port: int, path: str, target: str) -> None:
    decision = simulator_of(chosen(*TOGETHER)).decide(Request(authority=host, port=port, path=path))

    assert isinstance(decision.outcome, Forwarded)
    assert "/".join(decision.outcome.shares[0].target) == target


@pytest.mark.parametrize("sample", Sample)
def test_the_images_of_a_sample_are_those_of_the_project_and_pinned(sample: Sample) -> None:
    images = {version.image for service in chosen(sample).services.values() for version in service.versions.values()}

    assert all(image.startswith(("istio-canary/", "hashicorp/http-echo:")) and ":" in image for image in images)


# hello-minikube


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


# java-service


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
    versions = chosen(Sample.JAVA_SERVICE).services[JAVA].versions

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
    probe = chosen(Sample.JAVA_SERVICE, services=services).services[JAVA].versions[TWO].readiness_probe

    assert (probe.initial_delay_seconds, probe.period_seconds) == (1, 15)


# assets

BY_PATH = [
    ("/assetconsumer", "asset-consumer-svc", "/"),
    ("/assetconsumer/events", "asset-consumer-svc", "/events"),
    ("/assetdashboard/assets", "asset-dashboard-bff-svc", "/assets"),
    ("/assetmgrms/assets/DAL01?full=1", "asset-mgr-ms-svc", "/assets/DAL01?full=1"),
]


@pytest.mark.parametrize(("path", "service", "seen"), BY_PATH)
def test_each_path_of_the_assets_reaches_its_service_without_its_prefix(path: str, service: str, seen: str) -> None:
    decision = simulator_of(chosen(Sample.ASSETS)).decide(Request(authority=ASSETS, port=80, path=path))

    assert isinstance(decision.outcome, Forwarded)
    assert (decision.outcome.shares[0].target.service, decision.outcome.path) == (service, seen)


@pytest.mark.parametrize(("path", "service", "_"), BY_PATH)
def test_by_an_ingress_each_path_reaches_the_same_service_as_it_is(path: str, service: str, _: str) -> None:
    settings = chosen(Sample.ASSETS_INGRESS)
    decision = simulator_of(settings).decide(Request(authority=ASSETS, port=80, path=path))

    assert isinstance(decision.outcome, Forwarded)
    assert (decision.outcome.shares[0].target.service, decision.outcome.path) == (service, path)
    (version,) = settings.services[service].versions.values()
    assert path.startswith(version.args[0].removeprefix("-prefix=")), "the service answers under its prefix"


@pytest.mark.parametrize("sample", [Sample.ASSETS, Sample.ASSETS_INGRESS])
@pytest.mark.parametrize("path", ["/", "/assets", "/assetconsumers", "/assetmgrms2/assets"])
def test_another_path_of_the_assets_gets_404(sample: Sample, path: str) -> None:
    outcome = simulator_of(chosen(sample)).decide(Request(authority=ASSETS, port=80, path=path)).outcome

    assert isinstance(outcome, Answered)
    assert outcome.status == 404


def test_another_host_than_that_of_the_assets_gets_404() -> None:
    outcome = simulator_of(chosen(Sample.ASSETS)).decide(Request(authority="other.example.com", port=80)).outcome

    assert isinstance(outcome, Refused)
    assert outcome.status == 404


def test_the_assets_are_exposed_by_a_gateway_and_one_virtual_service() -> None:
    run = deployed(Sample.ASSETS)

    assert objects(run, "greencompute") == {
        "Service": {"asset-consumer-svc", "asset-dashboard-bff-svc", "asset-mgr-ms-svc"},
        "Deployment": {"asset-consumer", "asset-bff", "asset-manager"},
        "Gateway": {"asset-dashboard-bff-svc-gateway"},
        "VirtualService": {"asset-consumer-svc", "asset-dashboard-bff-svc", "asset-mgr-ms-svc"},
        "DestinationRule": {"asset-consumer-svc", "asset-dashboard-bff-svc", "asset-mgr-ms-svc"},
    }
    assert run.named("greencompute-namespace").metadata["labels"] == {"istio-injection": "enabled"}
    ports = {port["port"] for service in run.of_type("v1:Service") for port in service.spec["ports"]}
    assert ports == {8080}
    assert not run.of_type(":IngressClass")


def test_the_assets_are_exposed_by_an_ingress_of_istios_class(deploy: Deploy) -> None:
    settings = chosen(Sample.ASSETS_INGRESS)
    run = deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "istio-canary/test").outputs)

    found = objects(run, "greencompute")
    assert "Gateway" not in found
    assert found["Ingress"] == {"asset-dashboard-bff-svc"}
    assert found["VirtualService"] == {"asset-consumer-svc", "asset-mgr-ms-svc"}, "for callers inside the mesh"
    ingress = run.named("asset-dashboard-bff-svc-routing-ingress")
    assert ingress.type == "kubernetes:networking.k8s.io/v1:Ingress"
    assert ingress.spec["ingressClassName"] == "istio"
    (rule,) = ingress.spec["rules"]
    assert rule["host"] == ASSETS
    assert {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {
        "/assetconsumer": "asset-consumer-svc",
        "/assetdashboard": "asset-dashboard-bff-svc",
        "/assetmgrms": "asset-mgr-ms-svc",
    }
    (ingress_class,) = run.of_type(":IngressClass")
    assert ingress_class.metadata["name"] == "istio"
    assert ingress_class.spec == {"controller": "istio.io/ingress-controller"}
    mesh_config = run.named("mesh-istiod").inputs["values"]["meshConfig"]
    assert mesh_config["ingressSelector"] == "ingressgateway", "the gateway's pods serve the Ingress"


def test_in_a_mesh_that_exists_no_ingress_class_is_created() -> None:
    settings = load({"mesh": {"install": False}, "samples": ["assets-ingress"]})

    assert not registered(settings).of_type(":IngressClass"), "it is the mesh's"


# cloud-native-starter


def test_the_starter_has_a_deployment_for_each_version_that_selects_it_alone() -> None:
    run = deployed(Sample.CLOUD_NATIVE_STARTER)

    assert objects(run, "starter")["Deployment"] == {"web-api-v1", "web-api-v2", "articles-v1", "authors-v1"}
    for deployment in run.of_type(":Deployment"):
        assert deployment.spec["replicas"] == 1
        assert deployment.spec["selector"]["matchLabels"]["version"] == deployment.metadata["name"]
    ports = {one.metadata["name"]: one.spec["ports"][0]["port"] for one in run.of_type("v1:Service")}
    assert ports == {"web-api": 9080, "articles": 8080, "authors": 3000}
    args = {one.name: one.spec["template"]["spec"]["containers"][0].get("args") for one in run.of_type(":Deployment")}
    assert (args["web-api-v1"], args["web-api-v2"]) == (["-amount=5"], ["-amount=10"])


@pytest.mark.parametrize(
    ("path", "shares"),
    [
        ("/web-api/v1/getmultiple", {"v1": 50, "v2": 50}),
        ("/web-api/v1/getmultiple?amount=1", {"v1": 50, "v2": 50}),
        ("/openapi", {"v1": 50, "v2": 50}),
        ("/", None),
        ("/articles/v1/getmultiple", None),
    ],
)
def test_the_gateway_lets_in_the_starters_two_paths(path: str, shares: dict[str, int] | None) -> None:
    request = Request(authority="starter.localhost", port=80, path=path)
    outcome = simulator_of(chosen(Sample.CLOUD_NATIVE_STARTER)).decide(request).outcome

    if shares is None:
        assert isinstance(outcome, Answered)
        assert outcome.status == 404
    else:
        assert isinstance(outcome, Forwarded)
        assert {share.target.version: 100 * share.probability for share in outcome.shares} == shares


def test_only_the_api_may_call_articles_and_authors_and_everything_else_is_denied() -> None:
    run = deployed(Sample.CLOUD_NATIVE_STARTER)

    policies = {one.metadata["name"]: one.spec for one in run.of_type(":AuthorizationPolicy")}
    assert policies["deny-by-default"] == {"action": "ALLOW"}
    allowed = {"source": {"principals": [WEB_API]}}
    assert policies["articles-allow"]["rules"] == [
        {"from": [allowed], "to": [{"operation": {"methods": ["GET", "POST"]}}]}
    ]
    assert policies["authors-allow"]["rules"] == [{"from": [allowed], "to": [{"operation": {"methods": ["GET"]}}]}]
    assert policies["web-api-allow"]["rules"] == [{"to": [{"operation": {"methods": ["GET"]}}]}]
    assert run.named("starter/security-peer-authentication").spec == {"mtls": {"mode": "STRICT"}}
    accounts = {one.metadata["name"] for one in run.of_type(":ServiceAccount")}
    assert accounts == {"web-api", "articles", "authors"}
    (entry,) = run.of_type(":ServiceEntry")
    assert entry.spec["hosts"] == ["blog.example.com"]


STAGES: dict[str, tuple[Any, dict[str, str], dict[str, int]]] = {
    "v1 only": ({"v1": 100, "v2": 0}, {}, {"v1": 100}),
    "weights": ({"v1": 80, "v2": 20}, {}, {"v1": 80, "v2": 20}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_the_starter_is_a_value_of_the_stack(stage: str) -> None:
    to, headers, shares = STAGES[stage]
    route = [{"match": [{"uri": {"prefix": "/web-api/v1/getmultiple"}}], "to": to}, {"directResponse": {"status": 404}}]
    settings = chosen(Sample.CLOUD_NATIVE_STARTER, services={"web-api": {"route": route}})
    request = Request(authority="starter.localhost", port=80, path="/web-api/v1/getmultiple", headers=headers)
    outcome = simulator_of(settings).decide(request).outcome

    assert isinstance(outcome, Forwarded)
    assert {share.target.version: 100 * share.probability for share in outcome.shares} == shares


# Laying a stack over samples


@pytest.mark.parametrize(
    ("block", "name", "needs"),
    [
        ("services", "cloudnative-frontend", Sample.JAVA_SERVICE),
        ("egress", "blog", Sample.CLOUD_NATIVE_STARTER),
        ("namespaces", "starter", Sample.CLOUD_NATIVE_STARTER),
    ],
)
def test_an_entry_of_a_sample_that_is_null_is_removed(block: str, name: str, needs: Sample) -> None:
    assert name in SETTINGS[needs][block]

    assert name not in getattr(chosen(needs, **{block: {name: None}}), block)


def test_the_other_blocks_of_a_sample_are_merged_too() -> None:
    egress = {"blog": {"resolution": "STATIC", "endpoints": ["192.0.2.1"]}}
    blog = chosen(Sample.CLOUD_NATIVE_STARTER, egress=egress).egress["blog"]

    assert (blog.hosts, blog.endpoints) == (("blog.example.com",), ("192.0.2.1",))


def test_a_problem_in_a_samples_gateway_names_the_sample() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"samples": ["java-service"]})

    assert {problem.sample for problem in caught.value.problems} == {"java-service"}


@pytest.mark.parametrize("file", sorted(PROJECT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_the_objects_of_every_committed_stack_are_accepted_by_istios_crds(file: Path) -> None:
    run = registered(load_stack(file).settings)

    assert run.of_type(":VirtualService"), "the mock engine checks each"
