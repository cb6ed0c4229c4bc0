"""What the cluster's routes say now: which versions have a subset, which of them get requests, and how many pods each
has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kube.objects import kind_of, list_in
from traffic.model import MESH, RouteTable, Target, service_host, version_label

if TYPE_CHECKING:
    from lightkube import Client

ISTIO_API = "networking.istio.io/v1"


@dataclass(frozen=True, kw_only=True)
class ObservedRoutes:
    """The VirtualServices, DestinationRules and Deployments in the namespaces of a stack's services.

    `subsets` are the versions that Envoys know by name, `shares` tells for each that gets requests who sends them and
    how many: `10 % in VirtualService website-istio-ns/website, rule 2`. `routed` names the services that have a
    VirtualService, `in_mesh` says whether one of these holds for callers inside the mesh. `replicas` are the pods that
    the Deployments of each version ask for.
    """

    subsets: frozenset[Target] = frozenset()
    shares: Mapping[Target, str] = field(default_factory=dict)
    routed: frozenset[str] = frozenset()
    in_mesh: bool = False
    replicas: Mapping[Target, int] = field(default_factory=dict)

    @property
    def used(self) -> frozenset[Target]:
        """The versions that get requests, copies included."""
        return frozenset(self.shares)


def observe(client: Client, services: RouteTable) -> ObservedRoutes:
    """Return what the cluster's routes say of `services`; nothing where Istio's kinds are not there yet."""
    from lightkube.resources.apps_v1 import Deployment

    namespaces = {service.namespace for service in services.values()}
    found = (
        [dict(item.to_dict()) for item in list_in(client, kind, namespaces)]
        for kind in (kind_of(ISTIO_API, "VirtualService"), kind_of(ISTIO_API, "DestinationRule"), Deployment)
    )
    return observed_routes(services, *found)


def observed_routes(
    services: RouteTable,
    virtual_services: Iterable[Mapping[str, Any]],
    destination_rules: Iterable[Mapping[str, Any]],
    deployments: Iterable[Mapping[str, Any]] = (),
) -> ObservedRoutes:
    """Return what these objects, as the API server gives them, say of `services`."""
    by_host = {service_host(name, service.namespace): name for name, service in services.items()}
    shares: dict[Target, str] = {}
    routed: set[str] = set()
    in_mesh = False
    for item in virtual_services:
        place = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        in_mesh = in_mesh or MESH in (item["spec"].get("gateways") or [MESH])
        for index, rule in enumerate(item["spec"].get("http") or (), start=1):
            for destination, share in _destinations(rule):
                name = by_host.get(destination.get("host", ""))
                if name is not None:
                    routed.add(name)
                    said = f"{share} in VirtualService {place}, rule {index}"
                    shares.setdefault(Target(name, destination.get("subset", "")), said)
    return ObservedRoutes(
        subsets=frozenset(
            Target(by_host[item["spec"]["host"]], subset["name"])
            for item in destination_rules
            if item["spec"].get("host") in by_host
            for subset in item["spec"].get("subsets") or ()
        ),
        shares=shares,
        routed=frozenset(routed),
        in_mesh=in_mesh,
        replicas=_replicas(services, deployments),
    )


def _replicas(services: RouteTable, deployments: Iterable[Mapping[str, Any]]) -> dict[Target, int]:
    """The pods of each version, by the labels that its subset selects."""
    by_labels = {
        (service.namespace, name, version_label(name, version)): Target(name, version)
        for name, service in services.items()
        for version in service.versions
    }
    replicas: Counter[Target] = Counter()
    for item in deployments:
        labels = item["spec"]["template"]["metadata"].get("labels") or {}
        found = by_labels.get((item["metadata"]["namespace"], labels.get("app", ""), labels.get("version", "")))
        if found is not None:
            replicas[found] += item["spec"].get("replicas", 1)
    return dict(replicas)


def _destinations(rule: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Every destination of a rule that gets requests, with its share in words."""
    routes = rule.get("route") or ()
    for route in routes:
        weight = route.get("weight") or (0 if len(routes) > 1 else 100)
        if weight:
            yield route.get("destination") or {}, f"{weight} %"
    for mirror in [*(rule.get("mirrors") or ()), *([{"destination": rule["mirror"]}] if "mirror" in rule else ())]:
        yield mirror.get("destination") or {}, "copies"
