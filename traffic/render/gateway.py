"""Gateways: what the gateway's pods listen to (https://istio.io/latest/docs/reference/config/networking/gateway/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traffic.model import MESH, Server, ServiceRouting, SharedGateway
from traffic.model import own_gateway as own_gateway_name
from traffic.render.spec import Spec, said


def own_gateway(service: ServiceRouting, selector: Mapping[str, str]) -> Spec:
    """Return the spec of the Gateway that a service has for itself: HTTP for its hosts on its `gatewayPort`.

    `selector` are labels of the gateway's pods.
    """
    return _gateway([Server(port=service.gateway_port, hosts=service.hosts)], selector)


def shared_gateway(gateway: SharedGateway, selector: Mapping[str, str]) -> Spec:
    """Return the spec of a Gateway that services share. Its certificates are Secrets in the pods' namespace."""
    return _gateway(gateway.servers, selector)


def gateway_reference(service: str, gateway: str, gateway_namespace: str) -> str:
    """Return how a VirtualService of `service` names a gateway of its settings.

    Its own is beside it, in its namespace; shared ones are in `gateway_namespace`; `mesh` is Istio's own word.
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
    """Istio wants the ports' names unique in a Gateway, also where several servers share one port."""
    port = {"number": server.port, "name": name, "protocol": server.protocol.value}
    spec: Spec = {"port": port, "hosts": list(server.hosts)}
    tls = said(server.tls) if server.tls else {}
    return {**spec, "tls": tls} if tls else spec
