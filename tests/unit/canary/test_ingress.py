"""The address at which a person reaches the gateway, by the kind of the cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from canary.command_error import CommandError
from canary.gateway import gateway_url
from stacks.settings.loading import load
from tests.unit.components.clusters.stacks_with_clusters import CLUSTERS

NODE = "172.18.0.2"


class Client:
    """A cluster with one node and the gateway's Service."""

    def __init__(self, kind: str, balancer: str = "") -> None:
        self.service = SimpleNamespace(
            metadata=SimpleNamespace(namespace="istio-ingress", name="istio-ingressgateway"),
            spec=SimpleNamespace(type=kind, ports=[SimpleNamespace(port=80, nodePort=30080)]),
            status=SimpleNamespace(
                loadBalancer=SimpleNamespace(ingress=[SimpleNamespace(ip="", hostname=balancer)] if balancer else None)
            ),
        )

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        return self.service

    def list(self, kind: Any) -> list[Any]:
        status = SimpleNamespace(
            conditions=[SimpleNamespace(type="Ready", status="True")],
            addresses=[SimpleNamespace(type="InternalIP", address=NODE)],
        )
        return [SimpleNamespace(status=status)]


def _url(kind: str, service: str, balancer: str = "", opened: int = 30080) -> str:
    gateway = {"serviceType": service, **({"nodePort": opened} if service == "NodePort" else {})}
    settings = load({"cluster": CLUSTERS[kind], "mesh": {"gateway": gateway}})
    client: Any = Client(service, balancer)
    return gateway_url(client, settings, 80)


@pytest.mark.parametrize("kind", ["existing", "sandbox", "minikube", "stackReference"])
def test_a_node_port_is_at_a_nodes_address(kind: str) -> None:
    assert _url(kind, "NodePort") == f"http://{NODE}:30080"


def test_a_kinds_node_port_is_at_this_machine_if_the_stack_has_opened_it() -> None:
    assert _url("kind", "NodePort") == "http://127.0.0.1:30080"
    assert _url("kind", "NodePort", opened=30081) == f"http://{NODE}:30080"


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_load_balancer_has_an_address_of_its_own(kind: str) -> None:
    assert _url(kind, "LoadBalancer", balancer="lb.example.com") == "http://lb.example.com:80"


@pytest.mark.parametrize("kind", ["gke", "eks", "aks"])
@pytest.mark.parametrize(
    ("service", "fix"), [("LoadBalancer", "wait a minute or two"), ("NodePort", "serviceType to LoadBalancer")]
)
def test_private_nodes_have_no_address_for_a_person(kind: str, service: str, fix: str) -> None:
    with pytest.raises(CommandError) as error:
        _url(kind, service)
    assert fix in error.value.fix
    assert "kubectl port-forward" in error.value.fix
