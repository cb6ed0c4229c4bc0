"""Changes for which old and new must exist side by side while the routes move: a renamed version, a Service's new port.

The DestinationRule keeps the old subset, or the Service its old port, until no Envoy uses it. Both are added to the
object in the cluster just before the routes are written, and taken away by the run itself after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rollout.decision import PULUMI
from rollout.observed_routes import ISTIO_API, ObservedRoutes
from traffic.graph import all_targets
from traffic.model import OutsideVersion, RouteTable, Source, Target

if TYPE_CHECKING:
    from lightkube import Client

OWN = "istio-canary"
"""Field manager of what has no owner of Pulumi's yet."""


def renamed(routes: RouteTable, observed: ObservedRoutes) -> dict[str, frozenset[Target]]:
    """Return, by service, the removed versions that get requests and that new versions take the place of.

    A service that only loses versions is not in it: that is refused, since it may be a mistake.
    """
    used = all_targets(routes)
    found: dict[str, frozenset[Target]] = {}
    for name, service in routes.items():
        versions = {Target(name, version) for version in service.versions}
        gone = {one for one in observed.used & observed.subsets if one.service == name} - versions
        added = (versions & used) - observed.subsets
        if gone and len(added) >= len(gone):
            found[name] = frozenset(gone)
    return found


def former_ports(routes: RouteTable, observed: ObservedRoutes) -> dict[str, frozenset[int]]:
    """Return, by service, the ports of its Service that routes in the cluster use, and that it is to lose."""
    found = {
        name: observed.ports.get(name, frozenset()) - {service.port, *(port.port for port in service.further_ports)}
        for name, service in routes.items()
    }
    return {name: ports for name, ports in found.items() if ports}


def on_new_ports(routes: RouteTable, observed: ObservedRoutes, called: frozenset[Target]) -> frozenset[Target]:
    """Return those of the called versions that are called at another port of their Service than before."""
    moved = former_ports(routes, observed)
    return frozenset(
        target for target in called if target.service in moved and not _is_elsewhere(routes[target.service], target)
    )


def _is_elsewhere(service: Any, target: Target) -> bool:
    version = service.versions.get(target.version)
    return isinstance(version, OutsideVersion) and version.source is not Source.PODS


def add_subsets(client: Client, namespace: str, name: str, subsets: Sequence[Mapping[str, Any]]) -> None:
    """Add subsets to a DestinationRule in the cluster, and keep those that it has, also of the same names."""
    _extend(client, ISTIO_API, "DestinationRule", namespace, name, "subsets", subsets, "name")


def add_port(client: Client, namespace: str, name: str, port: Mapping[str, Any]) -> None:
    """Add a port to a Service in the cluster, unless it has its number; it keeps those that it has."""
    _extend(client, "v1", "Service", namespace, name, "ports", [port], "port")


def _extend(
    client: Client,
    api_version: str,
    kind: str,
    namespace: str,
    name: str,
    field: str,
    entries: Sequence[Mapping[str, Any]],
    key: str,
) -> None:
    """Apply as the field manager that owns the object, so that it can take the entries away without a conflict."""
    from lightkube.types import PatchType

    from kube.objects import find_object, kind_of

    live = find_object(client, api_version, kind, namespace, name)
    if live is None:
        return
    given = list(live["spec"].get(field) or ())
    missing = [dict(entry) for entry in entries if entry[key] not in [one[key] for one in given]]
    if not missing:
        return
    patch = applied(live, api_version, kind)
    patch["spec"] = {**live["spec"], field: [*given, *missing]}
    resource = kind_of(api_version, kind)
    body: Any = resource.from_dict(patch)
    client.patch(
        resource,
        name,
        body,
        namespace=namespace,
        patch_type=PatchType.APPLY,
        field_manager=owner_of(live) or OWN,
        force=True,
    )


def applied(live: Mapping[str, Any], api_version: str, kind: str) -> dict[str, Any]:
    """Return an object as a person would apply it, without what the API server adds."""
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if
                live["metadata"].get(key)}  # fmt: skip
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(live["spec"])}


def owner_of(live: Mapping[str, Any]) -> str | None:
    """Return the field manager of Pulumi's that owns an object; None if Pulumi has not applied it."""
    managers = (entry.get("manager", "") for entry in live["metadata"].get("managedFields") or ())
    return next((manager for manager in managers if manager.startswith(PULUMI)), None)
