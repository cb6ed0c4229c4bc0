"""Checks of names: no two objects of the stack may have the same kind, namespace and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.names import DEFAULT_REVISION, istiod_release
from stacks.checks.view import Service, View, block
from stacks.settings.problems import Finding, Location, key_path
from traffic.model import MESH, OutsideVersion, Source, mesh_virtual_service, own_gateway

LONGEST_GATEWAY = 63
"""Istio requires a DNS label for the name of a Gateway."""

SERVERS: Mapping[str, tuple[str, ...]] = {
    "prometheus": ("prometheus",),
    "jaeger": ("jaeger", "tracing", "zipkin", "jaeger-collector"),
    "grafana": ("grafana",),
    "kiali": ("kiali",),
}
"""Names of the telemetry's workloads and Services, by which `istioctl dashboard` and Kiali find them."""


def check(view: View) -> Iterator[Finding]:
    """Yield names that two objects would have, or that Istio would reject."""
    names = _Names(view)
    for service in view.services.values():
        yield from names.of_service(service)
        yield from _check_own_gateway(service)
    yield from _check_shared_gateways(view)


class _Names:
    """The names in use, each with the key that uses it."""

    def __init__(self, view: View) -> None:
        self._taken: dict[tuple[str, str, str], str] = {}
        for owner, namespace, name in (*_of_mesh(view), *_of_telemetry(view)):
            if isinstance(namespace, str) and isinstance(name, str):
                for kind in ("Deployment", "Service"):
                    self._taken[kind, namespace, name] = key_path(owner)

    def of_service(self, service: Service) -> Iterator[Finding]:
        """Claim the names of a service's objects, and yield those that are already in use."""
        namespace, location = service.routing.namespace, service.location
        fix = "give the service another `namespace` or name"
        yield from self._claim("Service", namespace, service.name, location, fix)
        yield from self._claim("VirtualService", namespace, service.name, location, fix)
        if service.routing.has_mesh_virtual_service:
            yield from self._claim("VirtualService", namespace, mesh_virtual_service(service.name), location, fix)
        yield from self._claim("DestinationRule", namespace, service.name, location, fix)
        for version, own in service.routing.versions.items():
            if isinstance(own, OutsideVersion) and own.source is not Source.PODS:
                place, other = (*location, "versions", version), "give the version another name"
                yield from self._claim("DestinationRule", namespace, f"{service.name}-{version}", place, other)
        for version, given in service.deployed.items():
            name = block(given).get("name") or f"{service.name}-{version}"
            place = (*location, "versions", version)
            yield from self._claim("Deployment", namespace, name, place, "give this version another `name`")

    def _claim(self, kind: str, namespace: str, name: Any, location: Location, fix: str) -> Iterator[Finding]:
        if not isinstance(name, str):
            return
        owner = self._taken.setdefault((kind, namespace, name), key_path(location))
        if owner != key_path(location):
            yield Finding(
                location,
                f"the {kind} {name!r} in namespace {namespace!r} is already created by {owner}",
                f"one {kind} per name and namespace",
                fix,
            )


def _of_mesh(view: View) -> Iterator[tuple[Location, Any, Any]]:
    if view.installs_mesh:
        yield ("mesh",), view.of_gateway("namespace"), view.of_gateway("name")
        for revision in block(view.mesh.get("revisions")) or [DEFAULT_REVISION]:
            yield ("mesh",), view.of_mesh("namespace"), istiod_release(str(revision))


def _of_telemetry(view: View) -> Iterator[tuple[Location, Any, Any]]:
    namespace = view.telemetry.get("namespace", view.of_mesh("namespace"))
    for server, names in SERVERS.items():
        if block(view.telemetry.get(server)).get("enabled") is True:
            yield from ((("telemetry", server), namespace, name) for name in names)


def _check_own_gateway(service: Service) -> Iterator[Finding]:
    name = own_gateway(service.name)
    if service.has_own_gateway and len(service.name) <= LONGEST_GATEWAY < len(name):
        yield Finding(
            service.location,
            f"the name of its Gateway, {name!r}, has {len(name)} characters",
            f"<service>-gateway with at most {LONGEST_GATEWAY} characters in total",
            "shorten the name of the service, or bind it to one of `gateways`",
        )


def _check_shared_gateways(view: View) -> Iterator[Finding]:
    own = {own_gateway(name): name for name in view.services}
    for name in view.gateways:
        if name != MESH and name not in own:
            continue
        yield Finding(
            ("gateways", name),
            f"{name!r} is reserved for "
            + (
                "all callers inside the mesh" if name == MESH else f"the Gateway of {key_path(('services', own[name]))}"
            ),
            "a name that is not reserved",
            "write public, for example",
        )
