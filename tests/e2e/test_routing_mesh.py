"""The examples of docs/routing.md for gateways, egress and the mesh, which install their own mesh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificates import Authority, bring_secret
from tests.e2e.routing import ECHO, Lab, config_of, installs_mesh
from tests.e2e.routing_judge import check
from tests.e2e.tools import Cluster, Project, wait_until
from tests.routing_doc import FOLDER, Example, examples

pytestmark = pytest.mark.long

EXAMPLES = [example for example in examples() if example.lines and installs_mesh(example.file)]
OUTSIDE = "outside-the-mesh"


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The stack of the examples, with a mesh, certificates and a host outside the mesh."""
    folder = tmp_path_factory.mktemp("certificates")
    with Lab.opened(Project.create(tmp_path_factory.mktemp("routing-mesh"), cluster)) as lab:
        lab.apply(config_of(FOLDER / "mesh-mtls.yaml"))
        bring_certificates(lab, folder)
        apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OUTSIDE}}, billing())
        yield lab
        cluster.kubectl("delete", "namespace", OUTSIDE)


def bring_certificates(lab: Lab, folder: Path) -> None:
    """Secrets for the gateway, and a client certificate of the same authority."""
    authority = Authority("example.com")
    server = authority.certificate("*.example.com")
    bring_secret(lab.cluster, "example-com", server)
    bring_secret(lab.cluster, "partners", {**server, "ca.crt": authority.pem})
    lab.certificates = authority.client_context()
    lab.with_certificate = authority.client_context(authority.certificate("partner.example.com"), folder)


def billing() -> dict[str, Any]:
    """A pod without a sidecar, as an external host."""
    container = {"name": "echo", "image": ECHO["image"], "imagePullPolicy": "IfNotPresent"}
    metadata = {"name": "billing", "namespace": OUTSIDE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    """kubectl apply."""
    for one in objects:
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(one))


def address_of_billing(cluster: Cluster) -> str:
    """The pod's address, once it is running."""
    place = ("pod", "billing", f"--namespace={OUTSIDE}")
    wait_until(lambda: cluster.get(*place)["status"].get("phase") == "Running", "billing runs")
    return str(cluster.get(*place)["status"]["podIP"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file.stem)
def test_requests_are_answered_as_the_page_says(lab: Lab, example: Example) -> None:
    config = config_of(example.file)
    if "istio-canary:egress" in config:
        config["istio-canary:egress"]["billing"]["endpoints"] = [address_of_billing(lab.cluster)]
    lab.apply(config)
    for line in example.lines:
        check(lab, line)


def test_the_ports_of_the_gateway_are_those_of_the_settings(lab: Lab) -> None:
    lab.apply(config_of(FOLDER / "gateways.yaml"))
    ports = lab.cluster.get("service", "istio-ingressgateway", "--namespace=istio-ingress")["spec"]["ports"]
    assert [port["port"] for port in ports] == [15021, 80, 443, 8443, 9191]
