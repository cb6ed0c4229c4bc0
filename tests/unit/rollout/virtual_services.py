"""A VirtualService at the API server, and what rollouts, Pulumi and persons write into it."""

from __future__ import annotations

from typing import Any

from rollout.routes import hand_over, write_http
from tests.unit.rollout.api_server import ApiServer

NAMESPACE, NAME, PLURAL = "website-istio-ns", "website", "virtualservices"
PULUMI = "pulumi-kubernetes-0a1b2c3d"
KUBECTL = "kubectl-edit"


def http(weight: int, **keys: Any) -> list[dict[str, Any]]:
    """One rule that sends `weight` percent to version-2."""
    destinations = [("version-1", 100 - weight), ("version-2", weight)]
    return [
        {
            "route": [
                {"destination": {"host": "website", "subset": version}, "weight": share}
                for version, share in destinations
            ],
            **keys,
        }
    ]


def virtual_service(weight: int, **keys: Any) -> dict[str, Any]:
    """What the program renders."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {"app": "website"}},
        "spec": {"hosts": ["website.example.com"], "gateways": ["mesh"], "http": http(weight, **keys)},
    }


def deployed() -> ApiServer:
    """An API server with the VirtualService as an `up` has left it: all requests go to version-1."""
    made = ApiServer()
    made.apply(PLURAL, virtual_service(0), PULUMI)
    return made


def live(server: ApiServer) -> dict[str, Any]:
    """The VirtualService as it is now."""
    return server.get(PLURAL, NAMESPACE, NAME)


def up(server: ApiServer, weight: int, **keys: Any) -> None:
    """The provider's update: it takes over what kubectl owns, then applies without force (`fixCSAFieldManagers`)."""
    managed: list[dict[str, Any]] = server.objects[PLURAL, NAMESPACE, NAME]["metadata"]["managedFields"]
    (mine,) = (one for one in managed if one["manager"] == PULUMI)
    for one in [one for one in managed if one["manager"].startswith("kubectl")]:
        managed.remove(one)
        mine["fieldsV1"].setdefault("f:spec", {}).update(one["fieldsV1"].get("f:spec", {}))
    server.apply(PLURAL, virtual_service(weight, **keys), PULUMI)


def step(server: ApiServer, weight: int, generation: int = 1, version: str | None = None) -> str:
    """Write a rollout's step; return the new resourceVersion."""
    return write_http(server.client, NAMESPACE, NAME, http(weight), f"website-1/{generation}", version)


def edit(server: ApiServer, weight: int) -> None:
    """What a person does with `kubectl edit`."""

    def change(item: Any) -> None:
        item["spec"]["http"] = http(weight)

    server.update(PLURAL, NAMESPACE, NAME, KUBECTL, change)


def give_back(server: ApiServer) -> bool:
    """Hand spec.http over to Pulumi; return whether that took a write."""
    return hand_over(server.client, live(server))
