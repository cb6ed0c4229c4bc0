"""Checks of the mesh, and of what is outside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stacks.checks.view import View, block
from stacks.samples import SETTINGS, chosen
from stacks.settings.mesh_reference import REFERENCE
from stacks.settings.problems import Finding, Location, key_path, nearest, shown

OF_THE_OWNER: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("mtls",): (
        "on mutual TLS",
        "remove it; `kubectl get peerauthentication --all-namespaces` shows what is configured",
    ),
    ("denyByDefault",): ("who may call", "remove it, or set it per namespace in `namespaces`"),
    ("outboundTrafficPolicy",): (
        "on calls to the outside",
        "remove it; `kubectl get configmap istio --namespace istio-system` shows what is configured",
    ),
    ("version",): ("on its release", "remove it; `istioctl version` shows the release of the mesh"),
    ("charts",): ("on the charts", "remove it"),
    ("hub",): ("on the images", "remove it"),
    ("values",): ("on the values of the charts", "remove it"),
    ("pushDebounce",): ("how long istiod collects changes", "remove it"),
    ("gateway", "serviceType"): ("on the gateway's Service", "remove it"),
    ("gateway", "nodePort"): ("on the gateway's Service", "remove it"),
}
"""Settings that only apply to a mesh that this stack installs: what they decide, and the fix."""


SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
"""Namespaces that every cluster has for itself."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the mesh, its namespaces and the hosts outside it."""
    yield from _check_owner(view)
    yield from _check_services(view)
    yield from _check_namespaces(view)
    yield from _check_egress(view)


def _check_owner(view: View) -> Iterator[Finding]:
    if view.mesh.get("install") is not False or REFERENCE in view.mesh:
        return
    for (*blocks, key), (decides, fix) in OF_THE_OWNER.items():
        given = block(view.mesh.get(blocks[0])) if blocks else view.mesh
        if key in given:
            yield Finding(
                ("mesh", *blocks, key),
                f"no effect when mesh.install is false: the installer of the mesh decides {decides}",
                f"{key} with mesh.install: true",
                fix,
                shown(given[key]),
            )


def _check_services(view: View) -> Iterator[Finding]:
    """A service's namespace gets the label for sidecar injection, which applies to all pods in it."""
    reserved = dict.fromkeys(SYSTEM, "Kubernetes'")
    if view.installs_mesh:
        reserved |= {
            one: "Istio's" for one in (view.of_mesh("namespace"), view.of_gateway("namespace")) if isinstance(one, str)
        }
    for service in view.services.values():
        namespace = service.routing.namespace
        if namespace not in reserved:
            continue
        yield Finding(
            (*service.location, "namespace"),
            f"the stack would turn on sidecar injection in {namespace}, which is {reserved[namespace]} own",
            f"a namespace of the stack's services, not one of {', '.join(reserved)}",
            f"write namespace: {service.name}{'-apps' if service.name in reserved else ''}, for example",
            shown(namespace),
        )


def _check_namespaces(view: View) -> Iterator[Finding]:
    used = {service.routing.namespace for service in view.services.values()}
    for name in view.namespaces:
        if name in used:
            continue
        if not view.is_given(("namespaces", name)):
            yield _emptied(view, name)
            continue
        near = nearest(name, used)
        is_root = name == view.of_mesh("namespace")
        yield Finding(
            ("namespaces", name),
            "no service of the stack is in this namespace" + (f"; the nearest is {near!r}" if near else ""),
            f"namespaces of services: {', '.join(sorted(used)) or 'there are none'}",
            f"set what applies to the whole mesh in {key_path(('mesh',))}"
            if is_root
            else f"write {near}"
            if near
            else "remove it, or give a service this `namespace`",
        )


def _emptied(view: View, namespace: str) -> Finding:
    """A sample's namespace, whose services the stack's file removes or moves."""
    services = [
        name
        for sample in chosen(view.values.get("samples"))
        for name, service in SETTINGS[sample]["services"].items()
        if service["namespace"] == namespace
    ]
    places: list[Location] = [
        place
        for name in services
        for place in (("services", name, "namespace"), ("services", name))
        if view.is_given(place)
    ]
    return Finding(
        places[0] if places else ("namespaces", namespace),
        f"no service is left in the namespace {namespace}, for which the sample has {key_path(('namespaces',))}",
        "settings for namespaces that have a service",
        f"add {namespace}: null to {key_path(('namespaces',))}, or leave a service in it",
    )


def _check_egress(view: View) -> Iterator[Finding]:
    first: dict[str, tuple[str, int]] = {}
    for name, external in view.egress.items():
        for index, host in enumerate(external.hosts if external else ()):
            owner, place = first.setdefault(host, (name, index))
            if owner != name:
                yield Finding(
                    ("egress", name, "hosts", index),
                    f"{host} is already given in {key_path(('egress', owner, 'hosts', place))}",
                    "each host once in `egress`",
                    "remove it, and give all its ports in the other entry",
                    shown(host),
                )
