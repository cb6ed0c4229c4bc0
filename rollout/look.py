"""One look at a service's rollout: its VirtualServices first, and the record after them.

A record that was read before the VirtualServices may be older than an abort whose routes have been read, and its step
would then be written over them. The stored routes come last: they never change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.decision import RoutesSeen
from rollout.routes import RouteInCluster, read_routes_in_cluster
from rollout.seen_weights import weights_seen
from rollout.store import RolloutStore, Stored
from rollout.stored_routes import StoredRoutesError
from traffic.model import mesh_virtual_service

if TYPE_CHECKING:
    from lightkube import Client

StoredRoutesByName = MutableMapping[str, Mapping[str, Any]]
"""Stored routes that were read before, by the name of their ConfigMap: it is immutable."""


class NoRolloutError(Exception):
    """The service has no rollout: there is no record. Says the fix."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen: `stored` is None if there is no record.

    `routes` are the VirtualServices by name, as they were before the record was read: those of the record, else those
    that a service may have. `steps` are the stored routes, None if there are none or somebody deleted them.
    """

    stored: Stored | None
    routes: Mapping[str, RouteInCluster]
    steps: Mapping[str, Any] | None = None

    @property
    def vs_uids(self) -> dict[str, str]:
        """The uids of the VirtualServices by name, as `Facts.vs_uids` and `begin` take them."""
        return {name: route.uid for name, route in self.routes.items()}

    @property
    def seen(self) -> tuple[RoutesSeen, ...]:
        """The VirtualServices as `machine.deciding` takes them; empty without a record."""
        if self.stored is None:
            return ()
        return weights_seen(self.stored.record, self.routes, self.steps)

    @property
    def annotation(self) -> str | None:
        """The annotation of the VirtualServices, for `begin`; None if no rollout has written them."""
        return next((route.annotation for route in self.routes.values() if route.annotation), None)

    def record_or_raise(self, service: str) -> Stored:
        """Return the record; raises NoRolloutError."""
        if self.stored is None:
            raise NoRolloutError(
                f"{service} has no rollout in the cluster; fix: write `rollout` in a rule of its route, "
                "and run `canary up`"
            )
        return self.stored


def look(
    client: Client, store: RolloutStore, known: StoredRoutesByName | None = None, names: Collection[str] = ()
) -> Look:
    """Return what is in the cluster now. `known` keeps the stored routes that were read, for the next look.

    `names` are the VirtualServices of the record that the last look found, by default those that a service may have.

    Raises RecordError if the record cannot be read, and httpx2.HTTPStatusError and httpx2.TransportError.
    """
    names = names or (store.service, mesh_virtual_service(store.service))
    routes = read_routes_in_cluster(client, store.namespace, names)
    stored = store.read()
    if stored is None:
        return Look(stored=None, routes=routes)
    others = stored.record.vs_uids.keys() - set(names)
    if others:
        # A record of other names: they are read, and then the record again.
        routes = read_routes_in_cluster(client, store.namespace, (*names, *others))
        stored = store.read()
        if stored is None:
            return Look(stored=None, routes=routes)
    return Look(stored=stored, routes=routes, steps=_steps(store, stored.record.plan.routes, known))


def _steps(store: RolloutStore, name: str, known: StoredRoutesByName | None) -> Mapping[str, Any] | None:
    if known is not None and name in known:
        return known[name]
    try:
        steps = store.read_routes(name)
    except StoredRoutesError:
        return None  # whoever writes routes says so
    if known is not None:
        known.clear()
        known[name] = steps
    return steps
