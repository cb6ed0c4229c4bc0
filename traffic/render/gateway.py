"""Gateways: what the gateway's pods listen on (https://istio.io/latest/docs/reference/config/networking/gateway/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traffic.model import MESH, Server, ServiceRouting, SharedGateway
from traffic.model import own_gateway as own_gateway_name
from traffic.render.spec import Spec, non_default_fields


def own_gateway(service: ServiceRouting, selector: Mapping[str, str]) -> Spec:
    """Return the spec of a service's own Gateway: its protocol, for its hosts, on its `gatewayPort`.

    `selector` are the labels of the gateway's pods.
    """
    return _gateway([service.own_server], selector)


def shared_gateway(gateway: SharedGateway, selector: Mapping[str, str]) -> Spec:
    """Return the spec of a Gateway that services share. Its certificates are Secrets in the namespace of the pods."""
    return _gateway(gateway.servers, selector)


def gateway_reference(service: str, gateway: str, gateway_namespace: str) -> str:
    """Return how a VirtualService of `service` refers to a gateway in its settings.

    The service's own Gateway is in the same namespace, shared ones are in `gateway_namespace`, and `mesh` is reserved
    by Istio.
    """
    return gateway if gateway in (MESH, own_gateway_name(service)) else f"{gateway_namespace}/{gateway}"


def _gateway(servers: Sequence[Server], selector: Mapping[str, str]) -> Spec:
    rendered: list[Spec] = []
    names: list[str] = []
    for server in servers:
        name = f"{server.protocol.value.lower()}-{server.port}"
        names.append(name)
        rendered.append(_server(server, name if names.count(name) == 1 else f"{name}-{names.count(name)}"))
    return {"selector": dict(sorted(selector.items())), "servers": rendered}


def _server(server: Server, name: str) -> Spec:
    """Istio requires unique port names in a Gateway, even if several servers share a port."""
    port = {"number": server.port, "name": name, "protocol": server.protocol.value}
    spec: Spec = {"port": port, "hosts": list(server.hosts)}
    tls = non_default_fields(server.tls) if server.tls else {}
    return {**spec, "tls": tls} if tls else spec
