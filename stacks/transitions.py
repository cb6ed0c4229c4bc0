"""What of a run comes after the routes, since they must move first: see `rollout.transition`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from components.names import PORT_NAME
from components.service_ports import app_protocol
from kube.client import query
from rollout.observed_routes import ObservedRoutes
from rollout.plan import Plan
from rollout.transition import add_port, add_subsets, former_ports, renamed
from stacks.outside import target_port
from stacks.proxies import Proxies
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, key_path
from traffic.graph import targets_of
from traffic.model import NOWHERE, Target
from traffic.model.backend import backend
from traffic.render import Spec, destination_rule

if TYPE_CHECKING:
    from lightkube import Client


class Transitions:
    """The services of a stack whose versions are renamed, or whose Service gets another port, in this run."""

    def __init__(self, settings: Settings, observed: ObservedRoutes, proxies: Proxies) -> None:
        self._settings, self._observed, self._proxies = settings, observed, proxies
        self._renamed = renamed(settings.services, observed)
        self._ports = former_ports(settings.services, observed)

    def has_late_subsets(self, name: str) -> bool:
        """Whether the DestinationRule loses subsets only after the routes are written."""
        return name in self._renamed

    def has_late_port(self, name: str) -> bool:
        """Whether the Service loses a port only after the routes are written."""
        return name in self._ports

    def port_name(self, name: str) -> str:
        """Return the name of the Service's port: that which it has in the cluster, since endpoints are found by it.

        A port that changed its name would have no endpoints in istiod for a moment (measured: 503).
        """
        ports = self._observed.service_ports.get(name, {})
        known = ports.get(self._settings.services[name].port)
        usual = self._settings.services[name].protocol.port_name
        return known or (usual if usual not in ports.values() else f"{usual}-{self._settings.services[name].port}")

    def before_routes(
        self, name: str, called: Iterable[str], known: Callable[[], None] | None
    ) -> Callable[[], None] | None:
        """Return what comes before the routes of the service `name`: new subsets and ports of the services that it
        calls, beside the old ones, and then `known`. None if there is nothing.
        """
        changed = [one for one in (name, *called) if one in self._renamed or one in self._ports]
        if not changed:
            return known

        def prepare() -> None:
            query(self._settings.cluster, lambda client: self._prepare(client, changed))
            if known is not None:
                known()

        return prepare

    def before_port(self, name: str) -> Callable[[], None] | None:
        """Return what comes before the Service loses a port; None if it does not."""
        if name not in self._ports:
            return None
        versions = {one for one in self._observed.subsets | self._observed.used if one.service == name}
        versions |= {Target(name, version) for version in self._settings.services[name].versions}
        ports = self._ports[name]
        return lambda: self._proxies.until_ports_unused(versions, ports)

    def after_routes(self, name: str) -> Callable[[], None] | None:
        """Return what comes after the routes of the service `name`, before anything is deleted: no Envoy uses hosts
        outside that the routes led to. None if they all stay.
        """
        services, egress = self._settings.services, self._settings.egress
        called = {backend(one, services, egress).cluster for one in targets_of(name, services[name])}
        gone = self._observed.outside.get(name, frozenset()) - called
        return partial(self._proxies.until_left, gone) if gone else None

    def out_of_effect(self, name: str, plans: Iterable[Plan]) -> dict[str, Spec]:
        """Return the VirtualServices that the service has in the cluster, by name, with specs that apply nowhere.

        One that the service has no more is deleted at the end of a run, after all that waits until no Envoy uses its
        routes. So a run that waits for that puts it out of effect first, and the next one deletes it. Nothing is
        returned if this run waits for no Envoy; `plans` are those of all services.
        """
        waits = any(plan.draining or plan.removed for plan in plans)
        if not waits and not self._ports and self.after_routes(name) is None:
            return {}
        found = self._observed.virtual_services.get(name, {})
        return {one: {**spec, "gateways": [NOWHERE]} for one, spec in found.items()}

    def _prepare(self, client: Client, names: Iterable[str]) -> None:
        for name in names:
            self._extend(client, name)

    def _extend(self, client: Client, name: str) -> None:
        service = self._settings.services[name]
        if name in self._renamed:
            subsets = destination_rule(name, service).get("subsets") or ()
            add_subsets(client, service.namespace, name, subsets)
        if name in self._ports:
            port = {
                "name": self.port_name(name),
                "port": service.port,
                "targetPort": target_port(service) or PORT_NAME,
                "protocol": "TCP",
            }
            spoken = app_protocol(service.protocol, str(port["name"]), service.adopt)
            if service.speaks_tls or spoken:
                port["appProtocol"] = "https" if service.speaks_tls else str(spoken)
            add_port(client, service.namespace, name, port)


def port_warnings(settings: Settings, observed: ObservedRoutes, file: str) -> tuple[Problem, ...]:
    """Return a warning for each Service that loses a port: callers that name it are not routed any more."""
    return tuple(
        Problem(
            key_path(("services", name, "port")),
            f"the Service loses port {', '.join(map(str, sorted(ports)))} at the end of the run; requests at the "
            "gateway go on, but callers inside the cluster that name that port get no connection then",
            str(settings.services[name].port),
            "a port that no caller inside the cluster names",
            f"change the callers first: they reach {name} at both ports only while the run lasts",
            file,
        )
        for name, ports in former_ports(settings.services, observed).items()
    )
