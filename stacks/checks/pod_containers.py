"""Checks of the containers in a `podTemplate`: the version's own one, which it may extend, and further ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from stacks.checks.pod_overlays import Overlay
from stacks.checks.view import block, default_of, entries
from stacks.settings.fields import USER_OF_ISTIO
from stacks.settings.model import VersionSettings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.fields import PORTS_OF_ISTIO

SAME_KEYS = ("command", "args", "resources", "readinessProbe", "livenessProbe", "startupProbe", "imagePullPolicy",
             "securityContext", "envFrom")  # fmt: skip
"""Fields of a container that are keys of a version, too."""
NEEDED = ("image", "ports", "lifecycle", "readinessProbe", "env", "envFrom", "volumeMounts")
"""Fields of the version's own container that null may not remove."""
PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
PORT_NAME = "http"
PROXY = "istio-proxy"
OF_ISTIO = ("istio-init", "istio-validation")
"""Containers that Istio injects. A container istio-proxy changes the injected one (Istio: "Customizing Injection")."""


def check(overlay: Overlay) -> Iterator[Finding]:
    """Yield what is wrong with the containers of a pod template."""
    for place, container in overlay.containers():
        if container.get("name") == overlay.main:
            yield from _own(overlay, container, place)
        else:
            yield from _further(overlay, container, place, "containers")
        yield from _common(overlay, container, place)
    for place, container in overlay.containers("initContainers"):
        if container.get("name") == overlay.main:
            yield Finding(
                (*place, "name"),
                f"{overlay.main} is the name of the version's own container",
                "names that no other container of the pod has",
                "choose another name",
                shown(overlay.main),
            )
        else:
            yield from _further(overlay, container, place, "initContainers")
        yield from _common(overlay, container, place)
    yield from _names(overlay)


def _own(overlay: Overlay, container: dict[str, Any], place: Location) -> Iterator[Finding]:
    given, version = overlay.given, overlay.version_place
    for key in NEEDED:
        if key in container and container[key] is None:
            yield Finding(
                (*place, key),
                f"null would remove {key} of the version's own container",
                "a value that is laid over it",
                "remove it",
                "null",
            )
    if container.get("image") is not None:
        yield Finding(
            (*place, "image"),
            f"this is `image` of the version: {overlay.main} is its own container",
            key_path((*version, "image")),
            "remove it, and write the image there",
            shown(container["image"]),
        )
    for key in SAME_KEYS:
        if container.get(key) is not None and key in given:
            yield _twice((*place, key), (*version, key), container[key])
    for index, variable in enumerate(entries(container.get("env"))):
        name = block(variable).get("name")
        if name in block(given.get("env")):
            yield _twice((*place, "env", index), (*version, "env", str(name)), variable)
    for index, mount in enumerate(entries(container.get("volumeMounts"))):
        folder = block(mount).get("mountPath")
        if folder in block(given.get("configFiles")):
            yield _twice((*place, "volumeMounts", index), (*version, "configFiles", str(folder)), mount)
    lifecycle = block(container.get("lifecycle"))
    seconds = given.get("preStopSeconds", default_of(VersionSettings, "preStopSeconds"))
    if "preStop" in lifecycle and seconds != 0:
        yield Finding(
            (*place, "lifecycle", "preStop"),
            f"the pod keeps serving in its preStop hook for {shown(seconds)} s, until every proxy knows that it ends; "
            "another hook would lose requests",
            key_path((*version, "preStopSeconds")),
            "remove it; what the program does at its end, it does on SIGTERM",
            shown(lifecycle["preStop"]),
        )
    for index, port in enumerate(entries(container.get("ports"))):
        yield from _own_port(overlay, block(port), (*place, "ports", index))


def _own_port(overlay: Overlay, port: dict[str, Any], place: Location) -> Iterator[Finding]:
    number = port.get("containerPort")
    if overlay.port is not None and number == overlay.port:
        yield Finding(
            place,
            f"port {number} is `port` of the version, which the Service and Istio find by its name, {PORT_NAME}",
            "further ports",
            f"remove it; another port is written as {key_path((*overlay.version_place, 'port'))}",
            shown(port),
        )


def _further(overlay: Overlay, container: dict[str, Any], place: Location, kind: str) -> Iterator[Finding]:
    name = container.get("name")
    if not isinstance(name, str) or name == PROXY:
        return
    if name in OF_ISTIO:
        yield Finding(
            (*place, "name"), f"{name} is a container of Istio", "names of your own containers", "choose another name",
            shown(name),
        )  # fmt: skip
    elif overlay.whole_container(name, kind).get("image") is None:
        near = nearest(name, [overlay.main]) if kind == "containers" else None
        yield Finding(
            (*place, "image") if near is None else (*place, "name"),
            f"the container {name} has no image"
            + (f", and the version's own container is called {overlay.main}" if kind == "containers" else ""),
            f"{overlay.main} for the version's own container, or a further container with an image"
            if kind == "containers"
            else "an image",
            f"write name: {near}" if near else "add image: registry.example.com/agent:1.0.0, for example",
            shown(name) if near else "",
        )


def _common(overlay: Overlay, container: dict[str, Any], place: Location) -> Iterator[Finding]:
    is_own = container.get("name") == overlay.main
    yield from user_of_istio(block(container.get("securityContext")), (*place, "securityContext"))
    for key in PROBES:
        probe = container.get(key)
        needs_handler = isinstance(probe, dict) and not (is_own and key == "readinessProbe")
        if needs_handler and not any(block(probe).get(handler) for handler in HANDLERS):
            yield Finding(
                (*place, key),
                "the probe has no handler",
                f"one of {', '.join(HANDLERS)}",
                "add httpGet: {path: /health, port: 8080}, for example",
                shown(probe),
            )
    yield from _ports(overlay, container, place)
    yield from _mounts(overlay, container, place)


def _ports(overlay: Overlay, container: dict[str, Any], place: Location) -> Iterator[Finding]:
    """All containers of a pod share one network: two of them cannot listen on one port."""
    name = container.get("name")
    others: dict[Any, str] = {}
    for other in entries(block(overlay.whole.get("spec")).get("containers")):
        if block(other).get("name") != name:
            for one in entries(block(other).get("ports")):
                others[block(one).get("containerPort")] = str(block(other).get("name"))
    if overlay.port is not None and name != overlay.main:
        others[overlay.port] = overlay.main
    for index, port in enumerate(entries(container.get("ports"))):
        number, where = block(port).get("containerPort"), (*place, "ports", index)
        if number in PORTS_OF_ISTIO:
            yield Finding(
                (*where, "containerPort"),
                f"port {number} is used by Istio's proxy in the same pod",
                f"any port except {', '.join(map(str, PORTS_OF_ISTIO))}",
                "use another port, such as 9090",
                shown(number),
            )
        elif number in others:
            yield Finding(
                (*where, "containerPort"),
                f"{others[number]} listens on port {number} in the same pod: only one of the two can",
                "a port that no other container of the pod has",
                "let this container listen on another port, and write that one",
                shown(number),
            )
        elif block(port).get("name") == PORT_NAME:
            yield Finding(
                (*where, "name"),
                f"the port {PORT_NAME} is that of the version, by which the Service finds it",
                f"names other than {PORT_NAME}",
                f"write name: {PORT_NAME}-{number}, for example",
                shown(PORT_NAME),
            )


def _mounts(overlay: Overlay, container: dict[str, Any], place: Location) -> Iterator[Finding]:
    volumes = [block(one).get("name") for one in entries(block(overlay.whole.get("spec")).get("volumes"))]
    known = [*overlay.own_volumes, *(name for name in volumes if isinstance(name, str))]
    for index, mount in enumerate(entries(container.get("volumeMounts"))):
        name = block(mount).get("name")
        if isinstance(name, str) and name not in known:
            near = nearest(name, known)
            yield Finding(
                (*place, "volumeMounts", index, "name"),
                f"the pods have no volume {name!r}{f'; the nearest is {near!r}' if near else ''}",
                f"the volumes {', '.join(known)}" if known else "a volume of the pod, and there is none",
                f"write {near}" if near else f"add {{name: {name}, emptyDir: {{}}}} to spec.volumes, for example",
                shown(name),
            )


def _names(overlay: Overlay) -> Iterator[Finding]:
    """All containers of a pod have different names, which a list within one template may repeat."""
    given = [*overlay.containers(), *overlay.containers("initContainers")]
    count = Counter(container.get("name") for _, container in given)
    seen = set()
    for place, container in given:
        name = container.get("name")
        if isinstance(name, str) and count[name] > 1 and name in seen:
            yield Finding(
                (*place, "name"), f"there is another container {name}", "a name of its own for each container",
                "choose another name, or write both as one", shown(name),
            )  # fmt: skip
        seen.add(name)


def _twice(place: Location, other: Location, value: Any) -> Finding:
    return Finding(
        place, f"this is also given as {key_path(other)}", "one of the two", "remove one of the two", shown(value)
    )


def user_of_istio(context: dict[str, Any], place: Location) -> Iterator[Finding]:
    """Yield a user or group that is that of Istio's proxy (Istio: "Application Requirements")."""
    for key in ("runAsUser", "runAsGroup"):
        if context.get(key) == USER_OF_ISTIO:
            yield Finding(
                (*place, key),
                f"{USER_OF_ISTIO} is the user and group of Istio's proxy, whose traffic bypasses the mesh",
                f"any number except {USER_OF_ISTIO}",
                f"use another number, such as {USER_OF_ISTIO + 1}",
                shown(USER_OF_ISTIO),
            )
