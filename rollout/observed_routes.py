"""Reads the current routes of the cluster: which versions have a subset, which get requests, and their replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kube.objects import kind_of, list_in
from traffic.model import MESH, RouteTable, Target, service_host, version_label
from traffic.render import routes_in

if TYPE_CHECKING:
    from lightkube import Client

ISTIO_API = "networking.istio.io/v1"


@dataclass(frozen=True, kw_only=True)
class ObservedRoutes:
    """The routing of a stack's services, from the VirtualServices, DestinationRules and Deployments in its namespaces.

    `subsets` are the versions with a subset. `shares` describes, for each version that gets requests, its first route:
    `10 % in VirtualService website-istio-ns/website, rule 2`. `routed` are the services with a VirtualService;
    `in_mesh` is set if one of these applies to callers inside the mesh. `replicas` is the desired number of pods of
    each version, `generations` the generation of each Deployment by namespace and name.
    """

    subsets: frozenset[Target] = frozenset()
    shares: Mapping[Target, str] = field(default_factory=dict)
    routed: frozenset[str] = frozenset()
    in_mesh: bool = False
    replicas: Mapping[Target, int] = field(default_factory=dict)
    generations: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def used(self) -> frozenset[Target]:
        """The versions that get requests, including mirrored ones."""
        return frozenset(self.shares)


def observe(client: Client, services: RouteTable) -> ObservedRoutes:
    """Return the current routing of `services`; empty if Istio is not installed yet."""
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
    """Return the routing of `services` in these objects, given as the API server returns them."""
    deployments = list(deployments)
    by_host = {service_host(name, service.namespace): name for name, service in services.items()}
    shares: dict[Target, str] = {}
    routed: set[str] = set()
    in_mesh = False
    for item in virtual_services:
        place = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        in_mesh = in_mesh or MESH in (item["spec"].get("gateways") or [MESH])
        for index, rule in enumerate(routes_in(item["spec"]), start=1):
            for destination, share in _destinations(rule):
                name = by_host.get(destination.get("host", ""))
                if name is not None:
                    routed.add(name)
                    text = f"{share} in VirtualService {place}, rule {index}"
                    shares.setdefault(Target(name, destination.get("subset", "")), text)
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
        generations={
            (item["metadata"]["namespace"], item["metadata"]["name"]): int(item["metadata"].get("generation", 0))
            for item in deployments
        },
    )


def _replicas(services: RouteTable, deployments: Iterable[Mapping[str, Any]]) -> dict[Target, int]:
    """The desired pods of each version: of all Deployments whose pods its subset selects."""
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
    """The destinations of a rule that get requests, each with its share as text."""
    for route, weight in _weighted(rule):
        if weight:
            yield route.get("destination") or {}, f"{weight} %"
    for mirror in [*(rule.get("mirrors") or ()), *([{"destination": rule["mirror"]}] if "mirror" in rule else ())]:
        yield mirror.get("destination") or {}, "mirrored requests"


def weights_of(rule: Mapping[str, Any], service: str) -> dict[str, int]:
    """Return percent by destination of one http route of a VirtualService of `service`."""
    return {destination_of(route, service): weight for route, weight in _weighted(rule)}


def destination_of(route: Mapping[str, Any], service: str) -> str:
    """Return a route's destination as the config of `service` names it: a version, or `<other service>/<version>`."""
    destination = route.get("destination") or {}
    subset, called = str(destination.get("subset", "")), str(destination.get("host", "")).partition(".")[0]
    return subset if called == service else f"{called}/{subset}"


def _weighted(rule: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each destination of a rule with its percent: a single one has no weight in Istio, and gets all."""
    routes = rule.get("route") or ()
    for route in routes:
        yield route, 100 if len(routes) == 1 else int(route.get("weight") or 0)
