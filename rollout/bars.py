"""Takes bars that were lifted out of the VirtualServices.

The admission policy reads them there. An abort writes its bar with the routes, in one. A retry writes no routes:
whoever else wrote them next, such as an `up` of a file that has weights instead of the rollout, would be denied for a
bar that the record has no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kube.conflicts import ConflictError
from rollout.look import look
from rollout.record import ANNOTATION, FIELD_MANAGER, Record
from rollout.routes import BARRED_ANNOTATION, RouteInCluster, hand_over, read_routes_in_cluster, write_http
from rollout.store import RolloutStore, barred_versions

if TYPE_CHECKING:
    from lightkube import Client

TRIES = 3


def lifted_bars(record: Record, routes: Mapping[str, RouteInCluster]) -> dict[str, tuple[str, ...]]:
    """Return, by VirtualService of the record, the bars that it should have, where it has one more than the record."""
    return {
        name: tuple(version for version in _said(route) if version in barred_versions(record))
        for name, route in routes.items()
        if record.vs_uids.get(name) == route.uid and route.http and not _said(route) <= set(barred_versions(record))
    }


def lift_in_routes(client: Client, namespace: str, service: str) -> tuple[str, ...]:
    """Take bars that the record has no more out of the VirtualServices, and return the names of those.

    Neither the routes nor their owner change. Nothing is done while a rollout is under way: its next step does it.

    Raises ConflictError if somebody else is faster each time, and what `write_http` and `hand_over` raise.
    """
    store = RolloutStore(client, namespace, service)
    for left in reversed(range(TRIES)):
        seen = look(client, store)
        record = seen.stored.record if seen.stored else None
        if record is None or (record.phase.active and record.started_at is not None and record.void_since is None):
            return ()
        lifted = lifted_bars(record, seen.routes)
        try:
            for name, barred in lifted.items():
                _write(client, seen.routes[name], sorted(barred))
        except ConflictError:
            if left == 0:
                raise
            continue
        return tuple(lifted)
    raise AssertionError("unreachable")


def _said(route: RouteInCluster) -> set[str]:
    annotations = route.found["metadata"].get("annotations") or {}
    return {one for one in str(annotations.get(BARRED_ANNOTATION, "")).split(",") if one}


def _write(client: Client, route: RouteInCluster, barred: Iterable[str]) -> None:
    """The same routes with other bars; who owned them before owns them afterwards."""
    metadata = route.found["metadata"]
    namespace, annotation = metadata["namespace"], str((metadata.get("annotations") or {}).get(ANNOTATION, ""))
    write_http(client, namespace, route.name, route.http, annotation, route.resource_version, route.uid, barred)
    if route.owner == FIELD_MANAGER:
        return
    now = read_routes_in_cluster(client, namespace, [route.name]).get(route.name)
    if now is not None:
        hand_over(client, now.found)
