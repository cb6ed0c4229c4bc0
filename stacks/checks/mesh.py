"""Checks of the mesh, and of what is outside it."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import View
from stacks.settings.problems import Finding, key_path, nearest, shown

OF_THE_OWNER = {
    "mtls": (
        "on mutual TLS",
        "remove it; `kubectl get peerauthentication --all-namespaces` shows what is configured",
    ),
    "denyByDefault": ("who may call", "remove it, or set it per namespace in `namespaces`"),
    "outboundTrafficPolicy": (
        "on calls to the outside",
        "remove it; `kubectl get configmap istio --namespace istio-system` shows what is configured",
    ),
}
"""Settings that only apply to a mesh that this stack installs: what they decide, and the fix."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the mesh, its namespaces and the hosts outside it."""
    yield from _check_owner(view)
    yield from _check_namespaces(view)
    yield from _check_egress(view)


def _check_owner(view: View) -> Iterator[Finding]:
    for key, (decides, fix) in OF_THE_OWNER.items():
        if view.mesh.get("install") is False and key in view.mesh:
            yield Finding(
                ("mesh", key),
                f"no effect when mesh.install is false: the installer of the mesh decides {decides}",
                f"{key} with mesh.install: true",
                fix,
                shown(view.mesh[key]),
            )


def _check_namespaces(view: View) -> Iterator[Finding]:
    used = {service.routing.namespace for service in view.services.values()}
    for name in view.namespaces:
        if name in used:
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
