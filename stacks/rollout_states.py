"""What the cluster knows of the rollouts of a stack's services: their records, and the routes as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kube.client import MORE_INFORMATION
from kube.conflicts import NOT_FOUND
from kube.objects import ANY_NAMESPACE, FEW_NAMESPACES
from rollout.live_weights import live_weights
from rollout.observed_routes import virtual_services_of
from rollout.record import ANNOTATION, FIELD_MANAGER, RecordError
from rollout.routes import RouteInCluster, route_in_cluster
from rollout.store import LABEL, NameTakenError, RolloutStore, Stored
from stacks.gateway_pods import gateway_namespaces
from stacks.settings.model import Settings
from traffic.model import Target, mesh_virtual_service

if TYPE_CHECKING:
    from lightkube import Client

FORBIDDEN = 403


@dataclass(frozen=True, kw_only=True)
class RolloutState:
    """The state of one service's rollout in the cluster.

    `stored` is its record, None if there is none; `unreadable` says why it cannot be read, with the fix. `now` is where
    the requests of each rule go, in percent by rule key and version (`rollout.live_weights`), empty before the first
    `up`. `routes` are the service's VirtualServices by name, read before the record, and `http_owner` the field manager
    that owns their http routes: of several, the rollout's.
    """

    stored: Stored | None = None
    unreadable: str | None = None
    now: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    http_owner: str | None = None
    routes: Mapping[str, RouteInCluster] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    """The image that a version's Deployment has, by version, if that is known."""

    @property
    def is_by_rollout(self) -> bool:
        """Whether a rollout has ever written the routes."""
        return self.http_owner == FIELD_MANAGER or any(route.annotation for route in self.routes.values())


def read_rollout_states(
    client: Client, settings: Settings, virtual_services: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, RolloutState]:
    """Return the state of each service that has a rollout in its settings, a record, or routes by a rollout.

    `virtual_services` are those in the stack's namespaces, if they have been read already: before the records, so that
    no record is older than its routes. A record that may not be read is `unreadable`, not an error. Otherwise raises
    what `kube.client.query` explains.
    """
    if virtual_services is None:
        virtual_services = virtual_services_of(client, settings.services)
    found_routes = _by_service(settings, virtual_services)
    concerned = {
        name
        for name, service in settings.services.items()
        if service.rolled
        or any(ANNOTATION in (item["metadata"].get("annotations") or {}) for item in found_routes[name])
    }
    records = _Records(client, settings)
    found = {name: records.of(name, is_concerned=name in concerned) for name in settings.services}
    return {
        name: _state(settings, name, found_routes[name], *record)
        for name, record in found.items()
        if name in concerned or record != (None, None)
    }


def with_images(states: Mapping[str, RolloutState], images: Mapping[Target, str]) -> dict[str, RolloutState]:
    """Return the states with the images that versions have in the cluster."""
    return {
        name: replace(state, images={one.version: image for one, image in images.items() if one.service == name})
        for name, state in states.items()
    }


def _by_service(
    settings: Settings, virtual_services: Iterable[Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in settings.services}
    by_place = {
        (service.namespace, one): name
        for name, service in settings.services.items()
        for one in (mesh_virtual_service(name), name)
    }
    for item in virtual_services:
        service = by_place.get((item["metadata"]["namespace"], item["metadata"]["name"]))
        if service is not None:
            found[service].append(item)
    return found


def _state(
    settings: Settings,
    name: str,
    virtual_services: Iterable[Mapping[str, Any]],
    stored: Stored | None,
    unreadable: str | None,
) -> RolloutState:
    routes = {item["metadata"]["name"]: route_in_cluster(item) for item in virtual_services}
    owners = [route.owner for route in routes.values()]
    return RolloutState(
        stored=stored,
        unreadable=unreadable,
        now=live_weights(
            settings.services,
            name,
            {one: route.http for one, route in routes.items()},
            gateway_namespace=settings.mesh.gateway.namespace,
            gateway_namespaces=gateway_namespaces(settings),
            egress=settings.egress,
        ),
        http_owner=FIELD_MANAGER if FIELD_MANAGER in owners else next(iter(owners), None),
        routes=routes,
    )


class _Records:
    """The records in the stack's namespaces, by one list each; by name where ConfigMaps may not be listed."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        namespaces = {service.namespace for service in settings.services.values()}
        self._namespaces = dict.fromkeys(sorted(namespaces), ANY_NAMESPACE) if len(namespaces) > FEW_NAMESPACES else {}
        self._listed: dict[str, dict[tuple[str, str], Any] | None] = {}

    def of(self, name: str, *, is_concerned: bool) -> tuple[Stored | None, str | None]:
        """Return the record of a service, and why it cannot be read."""
        import httpx2

        namespace = self._settings.services[name].namespace
        store = RolloutStore(self._client, namespace, name)
        try:
            listed = self._list(self._namespaces.get(namespace, namespace))
            if listed is None:
                return (store.read() if is_concerned else None), None
            found = listed.get((namespace, store.name))
            return (None if found is None else store.record_in(found)), None
        except (RecordError, NameTakenError) as error:
            return None, str(error)
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != FORBIDDEN:
                raise
            return None, (
                f"the record of its rollout (ConfigMap {namespace}/{store.name}) may not be read: {_said(error)}\n"
                f"    fix:     grant the right to get configmaps by this name, see docs/rights.md"
            )

    def _list(self, namespace: str) -> dict[tuple[str, str], Any] | None:
        """The records in a namespace by namespace and name; None if they may not be listed."""
        import httpx2
        from lightkube.resources.core_v1 import ConfigMap

        if namespace not in self._listed:
            try:
                found: Iterable[Any] = self._client.list(ConfigMap, namespace=namespace, labels={LABEL: None})
                self._listed[namespace] = {(item.metadata.namespace, item.metadata.name): item for item in found}
            except httpx2.HTTPStatusError as error:
                if error.response.status_code not in (FORBIDDEN, NOT_FOUND):
                    raise
                self._listed[namespace] = None if error.response.status_code == FORBIDDEN else {}
        return self._listed[namespace]


def _said(error: Exception) -> str:
    return str(error).partition(MORE_INFORMATION)[0].strip()
