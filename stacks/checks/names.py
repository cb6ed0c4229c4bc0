"""Checks of names: of what the stack makes, no two objects of a kind and a namespace may have the same one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stacks.checks.view import Service, View, block
from stacks.settings.problems import Finding, Location, key_path
from traffic.model import MESH, own_gateway

LONGEST_GATEWAY = 63
"""Istio asks for a DNS label, as of no other object."""


def check(view: View) -> Iterator[Finding]:
    """Yield names that two objects would have, or that Istio would refuse."""
    names = _Names(view)
    for service in view.services.values():
        yield from names.of_service(service)
        yield from _check_own_gateway(service)
    yield from _check_shared_gateways(view)


class _Names:
    """The names that are taken, each with who takes it."""

    def __init__(self, view: View) -> None:
        self._taken: dict[tuple[str, str, str], str] = {}
        for namespace, name in _of_mesh(view):
            for kind in ("Deployment", "Service"):
                self._taken[kind, namespace, name] = key_path(("mesh",))

    def of_service(self, service: Service) -> Iterator[Finding]:
        """Claim the names of a service's objects, and yield those that are taken."""
        namespace, location = service.routing.namespace, service.location
        fix = "give the service another `namespace` or name"
        yield from self._claim("Service", namespace, service.name, location, fix)
        yield from self._claim("VirtualService", namespace, service.name, location, fix)
        if service.routing.in_mesh and "*" in service.routing.hosts and len(service.routing.gateways) > 1:
            yield from self._claim("VirtualService", namespace, f"{service.name}-mesh", location, fix)
        for version, given in service.versions.items():
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
                f"the {kind} {name!r} in namespace {namespace!r} is made by {owner} already",
                f"one {kind} of a name in a namespace",
                fix,
            )


def _of_mesh(view: View) -> Iterator[tuple[str, str]]:
    if not view.installs_mesh:
        return
    for namespace, name in (
        (view.of_gateway("namespace"), view.of_gateway("name")),
        (view.of_mesh("namespace"), "istiod"),
    ):
        if isinstance(namespace, str) and isinstance(name, str):
            yield namespace, name


def _check_own_gateway(service: Service) -> Iterator[Finding]:
    name = own_gateway(service.name)
    if service.has_own_gateway and len(service.name) <= LONGEST_GATEWAY < len(name):
        yield Finding(
            service.location,
            f"its Gateway would be called {name!r}, which has {len(name)} characters",
            f"<service>-gateway with at most {LONGEST_GATEWAY} characters together",
            "shorten the name of the service, or bind it to one of `gateways`",
        )


def _check_shared_gateways(view: View) -> Iterator[Finding]:
    own = {own_gateway(name): name for name in view.services}
    for name in view.gateways:
        if name != MESH and name not in own:
            continue
        yield Finding(
            ("gateways", name),
            f"{name!r} means "
            + (
                "all callers inside the mesh"
                if name == MESH
                else f"the Gateway that {key_path(('services', own[name]))} has for itself"
            ),
            "a name that means nothing else",
            "write public, for example",
        )
