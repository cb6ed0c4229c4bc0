"""Checks of the mesh, and of what is outside it."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import View
from stacks.settings.problems import Finding, key_path, nearest, shown

OF_THE_OWNER = {
    "mtls": (
        "on mutual TLS",
        "take mtls out; `kubectl get peerauthentication --all-namespaces` shows what the owner decided",
    ),
    "denyByDefault": ("who may call", "take it out, or say it for the stack's own namespaces below `namespaces`"),
    "outboundTrafficPolicy": (
        "on calls to the outside",
        "take it out; `kubectl get configmap istio --namespace istio-system` shows what the owner decided",
    ),
}
"""What only who installs the mesh can say, and what to do instead."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the mesh, the namespaces in it and the hosts outside it."""
    yield from _check_owner(view)
    yield from _check_namespaces(view)
    yield from _check_egress(view)


def _check_owner(view: View) -> Iterator[Finding]:
    for key, (decides, fix) in OF_THE_OWNER.items():
        if view.mesh.get("install") is False and key in view.mesh:
            yield Finding(
                ("mesh", key),
                f"with install: false the mesh is somebody else's, and its owner decides {decides}: this says nothing",
                f"{key} where this stack installs the mesh",
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
            f"what holds for the whole mesh stands in {key_path(('mesh',))}"
            if is_root
            else f"write {near}"
            if near
            else "take it out, or give a service this `namespace`",
        )


def _check_egress(view: View) -> Iterator[Finding]:
    first: dict[str, tuple[str, int]] = {}
    for name, external in view.egress.items():
        for index, host in enumerate(external.hosts if external else ()):
            owner, place = first.setdefault(host, (name, index))
            if owner != name:
                yield Finding(
                    ("egress", name, "hosts", index),
                    f"{host} is known already, by {key_path(('egress', owner, 'hosts', place))}",
                    "each host once below `egress`",
                    "take it out, and name all its ports at the other place",
                    shown(host),
                )
