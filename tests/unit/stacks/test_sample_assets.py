"""The sample assets: three services behind the paths of one host, by a Gateway or by an Ingress."""

from __future__ import annotations

import pytest

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from stacks.settings.model import Sample
from stacks.simulator import simulator_of
from tests.unit.mocks import Deploy
from tests.unit.stacks.sample_stacks import ASSETS, chosen, deployed, objects, registered
from traffic.simulate import Answered, Forwarded, Refused, Request

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
    (version,) = settings.services[service].deployed.values()
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
