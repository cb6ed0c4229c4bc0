"""Rules on the consoles of the telemetry: they show everything, and are for the operators alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.mesh import MESH_GATEWAY, gateways_of, http_routes, service_of
from policies.resource import Resource, items, mapping
from policies.rule import TEXTS, Context, Parameter, Problem, Rule, Severity

CONSOLES = ("kiali", "grafana", "prometheus", "jaeger")
NAME_LABEL = "app.kubernetes.io/name"
PUBLIC_TYPES = ("LoadBalancer", "NodePort")


def consoles_not_public(context: Context) -> Iterator[Problem]:
    """The Service of a console has no port outside the cluster."""
    for service in _consoles(context):
        if service.spec.get("type") in PUBLIC_TYPES:
            yield Problem(
                service,
                f"the console's Service has the type {service.spec['type']}, so it can be reached from outside",
                "write type: ClusterIP; `canary open` reaches it through the API server",
            )


def consoles_not_routed(context: Context) -> Iterator[Problem]:
    """No route of a gateway and no Ingress leads to a console."""
    consoles = {(service.namespace, service.object_name) for service in _consoles(context)}
    for route in http_routes(context.resources):
        if set(gateways_of(route.virtual_service)) == {MESH_GATEWAY}:
            continue
        for destination in route.destinations:
            if destination.service in consoles:
                yield Problem(
                    route.virtual_service,
                    f"{route.place} leads from a gateway to the console {destination.words}",
                    "remove the route; `canary open` reaches the console through the API server",
                )
    for ingress in context.resources.of_kind("Ingress"):
        for host in _backends(ingress):
            if service_of(host, ingress.namespace) in consoles:
                yield Problem(ingress, f"it leads to the console {host}", "remove the Ingress")


def _consoles(context: Context) -> list[Resource]:
    names = context.parameters["consoles"]
    return [service for service in context.resources.of_kind("Service") if _is_console(service, names)]


def _is_console(service: Resource, names: list[str]) -> bool:
    return service.labels.get(NAME_LABEL, service.labels.get("app")) in names


def _backends(ingress: Resource) -> Iterator[str]:
    paths = [path for rule in items(ingress.spec.get("rules")) for path in items(mapping(rule, "http").get("paths"))]
    for backend in (*(mapping(path, "backend") for path in paths), ingress.mapping("spec", "defaultBackend")):
        name = mapping(backend, "service").get("name")
        if isinstance(name, str):
            yield name


def cluster_internal(service: Resource) -> Mapping[str, Any] | None:
    """Return the console's Service with the type ClusterIP. It is safe: nobody gets access by it.

    Only the default consoles are known here.
    """
    if service.kind != "Service" or service.spec.get("type") not in PUBLIC_TYPES:
        return None
    if not _is_console(service, list(CONSOLES)):
        return None
    ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in items(service.spec["ports"])]
    return {**service.props, "spec": {**service.spec, "type": "ClusterIP", "ports": ports}}


WHICH = {
    "consoles": Parameter(
        schema=TEXTS,
        default=list(CONSOLES),
        description=f"The consoles, by the label {NAME_LABEL} (or app) of their Services.",
    )
}

RULES = (
    Rule(
        name="consoles-not-public",
        check=consoles_not_public,
        severity=Severity.CRITICAL,
        description="The Services of Kiali, Grafana, Prometheus and Jaeger are inside the cluster only.",
        remediation=cluster_internal,
        remediation_words="the Service becomes ClusterIP",
        parameters=WHICH,
    ),
    Rule(
        name="consoles-not-routed",
        check=consoles_not_routed,
        severity=Severity.CRITICAL,
        description="No gateway and no Ingress leads to Kiali, Grafana, Prometheus or Jaeger.",
        parameters=WHICH,
    ),
)
