"""What `canary open NAME` opens: a console of the telemetry, or a service of the stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canary.cluster_urls import at, service_of
from canary.command_error import CommandError
from canary.consoles import CONSOLES, Availability, Console
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from stacks.settings.telemetry import TelemetrySettings

LOCAL_PORT = 8080
"""The local port for services."""
PORT = "<port>"
"""Stands for the local port, which is known once it is forwarded."""


@dataclass(frozen=True)
class Target:
    """A port of a Service, and what to say of it; `at_port` fills the local port into `url` and `notes`.

    `for_browser` tells whether a browser on this machine can resolve the URL's host. `created_by` says how the Service
    gets into the cluster.
    """

    namespace: str
    service: str
    port: int
    local_port: int
    url: str
    created_by: str
    notes: tuple[str, ...] = ()
    for_browser: bool = True

    def at_port(self, local_port: int) -> Target:
        """Return the target with `local_port` instead of the default one."""
        url, *notes = (text.replace(PORT, str(local_port)) for text in (self.url, *self.notes))
        return replace(self, local_port=local_port, url=url, notes=tuple(notes))


def target_of(settings: Settings, name: str, stack: str, stack_file: str) -> Target | str:
    """Return the console or the service called `name`, or the URL of a console that exists elsewhere.

    Raises CommandError if there is neither, and for a console that is off.
    """
    if name in CONSOLES:
        return _console(CONSOLES[name], settings.telemetry, stack, stack_file)
    if name in settings.services:
        return _service(settings, name, stack)
    raise _unknown(name, tuple(settings.services))


def _console(console: Console, telemetry: TelemetrySettings, stack: str, stack_file: str) -> Target | str:
    availability = console.availability(telemetry)
    if availability is Availability.ELSEWHERE:
        return _elsewhere(console, str(console.settings(telemetry).url))
    if availability is Availability.OFF:
        raise console.off(telemetry, stack, stack_file)
    sign_in = console.how_to_sign_in(telemetry)
    return Target(
        telemetry.namespace,
        console.service,
        console.port,
        console.local_port,
        f"http://localhost:{PORT}{console.path}",
        f"run `canary up --stack {stack}`, which creates it",
        (sign_in,) if sign_in else (),
    )


def _elsewhere(console: Console, url: str) -> Target | str:
    """A console that exists: at its URL, or at its Service if only the cluster knows the URL's host."""
    found = service_of(url)
    if found is None:
        return url
    return Target(
        found.namespace,
        found.service,
        found.port,
        console.local_port,
        at(url, f"localhost:{PORT}"),
        f"correct istio-canary:telemetry.{console.name}.url, which names it",
    )


def _service(settings: Settings, name: str, stack: str) -> Target:
    """The gateway's pods, so that the service's route applies; its own pods, if no gateway has a route to it."""
    from traffic.simulate import entries

    service = settings.services[name]
    created_by = f"run `canary up --stack {stack}`, which creates it"
    known = list(entries(name, service, settings.gateways))
    if not known:
        scheme = "https" if service.speaks_tls else "http"
        note = f"no route applies: {name} is bound to no gateway, so requests go straight to this pod"
        url = f"{scheme}://localhost:{PORT}/"
        return Target(service.namespace, name, service.port, LOCAL_PORT, url, created_by, (note,))
    entry = min(known, key=lambda entry: (entry.server.redirects, entry.scheme != "http"))
    host = "localhost" if entry.domain == "*" else entry.domain.replace("*", "any", 1)
    url = f"{entry.scheme}://{host}:{PORT}/"
    is_local = host == "localhost" or host.endswith(".localhost")  # RFC 6761: always the loopback address
    gateway = settings.mesh.gateway
    return Target(
        gateway.namespace,
        gateway.name,
        entry.server.port,
        LOCAL_PORT,
        url,
        f"{created_by}; for an existing mesh, set its name in istio-canary:mesh.gateway",
        () if is_local else (f"{host} does not resolve to this machine: curl --resolve {host}:{PORT}:127.0.0.1 {url}",),
        is_local,
    )


def _unknown(name: str, services: tuple[str, ...]) -> CommandError:
    from stacks.settings.problems import nearest

    near = nearest(name, (*CONSOLES, *services))
    return CommandError(
        f"there is nothing called {name!r} to open",
        ExitCode.CONFIG,
        fix=f"did you mean {near}?" if near else "choose one of these",
        details=(f"consoles: {', '.join(CONSOLES)}", f"services: {', '.join(services) or '(none)'}"),
    )
