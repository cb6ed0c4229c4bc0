"""Reads the current routes of the cluster: which versions have a subset, which get requests, and their replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kube.objects import kind_of, list_in
from rollout.decision import PULUMI
from traffic.model import (
    EGRESS,
    MESH,
    NOWHERE,
    OutsideVersion,
    RouteTable,
    Source,
    Target,
    service_host,
    target,
    version_label,
)
from traffic.model.backend import Backend, EgressTable, backend
from traffic.proportions import percent_words, percentages
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
    each version, `images` the image of its container, `generations` the generation of each Deployment by namespace and
    name, and `version_labels` the label `version` of its pods.

    By service, `virtual_services` are the specs of those that Pulumi has made, `ports` the ports of its Service that
    routes use, `service_ports` the names of all by number, `outside` Envoy's clusters of other hosts that its routes
    lead to, and `foreign` the objects with a name of the stack's that Pulumi has not made.
    """

    subsets: frozenset[Target] = frozenset()
    shares: Mapping[Target, str] = field(default_factory=dict)
    routed: frozenset[str] = frozenset()
    in_mesh: bool = False
    replicas: Mapping[Target, int] = field(default_factory=dict)
    images: Mapping[Target, str] = field(default_factory=dict)
    generations: Mapping[tuple[str, str], int] = field(default_factory=dict)
    version_labels: Mapping[tuple[str, str], str] = field(default_factory=dict)
    ports: Mapping[str, frozenset[int]] = field(default_factory=dict)
    service_ports: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    outside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    foreign: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    virtual_services: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def used(self) -> frozenset[Target]:
        """The versions that get requests, including mirrored ones."""
        return frozenset(self.shares)


def virtual_services_of(client: Client, services: RouteTable) -> list[Mapping[str, Any]]:
    """Return the VirtualServices in the namespaces of `services`; none if Istio is not installed yet.

    Those that an earlier run has put out of effect are as good as deleted.
    """
    namespaces = {service.namespace for service in services.values()}
    found = [dict(item.to_dict()) for item in list_in(client, kind_of(ISTIO_API, "VirtualService"), namespaces)]
    return [item for item in found if not is_out_of_effect(item["spec"])]


def is_out_of_effect(spec: Mapping[str, Any]) -> bool:
    """Return whether a VirtualService applies to no request any more: the next run deletes it."""
    return spec.get("gateways") == [NOWHERE]


def observe(
    client: Client,
    services: RouteTable,
    egress: EgressTable | None = None,
    virtual_services: Sequence[Mapping[str, Any]] | None = None,
) -> ObservedRoutes:
    """Return the current routing of `services`; empty if Istio is not installed yet.

    `virtual_services` are those of `virtual_services_of`, if they have been read already.
    """
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Service

    namespaces = {service.namespace for service in services.values()}
    if virtual_services is None:
        virtual_services = virtual_services_of(client, services)
    destination_rules, deployments, found_services = (
        [dict(item.to_dict()) for item in list_in(client, kind, namespaces)]
        for kind in (kind_of(ISTIO_API, "DestinationRule"), Deployment, Service)
    )
    observed = observed_routes(services, virtual_services, destination_rules, deployments, egress)
    objects = {
        "VirtualService": virtual_services,
        "DestinationRule": destination_rules,
        "Service": found_services,
    }
    return replace(
        observed, service_ports=_service_ports(services, found_services), foreign=_foreign(services, objects)
    )


def observed_routes(
    services: RouteTable,
    virtual_services: Iterable[Mapping[str, Any]],
    destination_rules: Iterable[Mapping[str, Any]],
    deployments: Iterable[Mapping[str, Any]] = (),
    egress: EgressTable | None = None,
) -> ObservedRoutes:
    """Return the routing of `services` in these objects, given as the API server returns them."""
    deployments = list(deployments)
    by_host = {service_host(name, service.namespace): name for name, service in services.items()}
    outside = _outside(services, egress or {})
    names = {(service.namespace, one) for name, service in services.items() for one in (name, f"{name}-mesh")}
    shares: dict[Target, str] = {}
    routed: set[str] = set()
    ports: dict[str, set[int]] = {}
    others: dict[str, set[str]] = {}
    own: dict[str, dict[str, Mapping[str, Any]]] = {}
    in_mesh = False
    for item in virtual_services:
        namespace, own_name = item["metadata"]["namespace"], item["metadata"]["name"]
        place = f"{namespace}/{own_name}"
        owner = own_name if own_name in services else own_name.removesuffix("-mesh")
        if (namespace, own_name) in names:
            routed.add(owner)
            if _is_ours(item["metadata"]):
                own.setdefault(owner, {})[own_name] = item["spec"]
        in_mesh = in_mesh or MESH in (item["spec"].get("gateways") or [MESH])
        for index, rule in enumerate(routes_in(item["spec"]), start=1):
            for destination, share in _destinations(rule):
                host = full_host(destination.get("host", ""), namespace)
                name = by_host.get(host)
                text = f"{share} in VirtualService {place}, rule {index}"
                if name is not None:
                    routed.add(name)
                    ports.setdefault(name, set()).update(filter(None, [(destination.get("port") or {}).get("number")]))
                    shares.setdefault(Target(name, destination.get("subset", "")), text)
                elif (namespace, own_name) in names:
                    others.setdefault(owner, set()).add(_cluster(host, destination))
                for found in outside.get(host, ()):
                    shares.setdefault(found, text)
    return ObservedRoutes(
        subsets=frozenset(
            Target(by_host[host], subset["name"])
            for item in destination_rules
            if (host := full_host(item["spec"].get("host", ""), item["metadata"]["namespace"])) in by_host
            for subset in item["spec"].get("subsets") or ()
        ),
        shares=shares,
        routed=frozenset(routed),
        in_mesh=in_mesh,
        replicas=_replicas(services, deployments),
        images=_images(services, deployments),
        generations={
            (item["metadata"]["namespace"], item["metadata"]["name"]): int(item["metadata"].get("generation", 0))
            for item in deployments
        },
        version_labels={
            (item["metadata"]["namespace"], item["metadata"]["name"]): _pod_labels(item).get("version", "")
            for item in deployments
        },
        virtual_services=own,
        outside={name: frozenset(clusters) for name, clusters in others.items()},
        ports={name: frozenset(numbers) for name, numbers in ports.items()},
    )


def _service_ports(services: RouteTable, found: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, str]]:
    """The names of the ports of each service's Service, by number."""
    names = {(service.namespace, name): name for name, service in services.items()}
    return {
        names[place]: {int(port["port"]): port.get("name") or "" for port in item["spec"].get("ports") or ()}
        for item in found
        if (place := (item["metadata"]["namespace"], item["metadata"]["name"])) in names
    }


def _foreign(services: RouteTable, objects: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, tuple[str, ...]]:
    """By service, the objects that have the name of one of ours, and that Pulumi has not applied."""
    found: dict[str, list[str]] = {}
    for kind, items in objects.items():
        for item in items:
            metadata = item["metadata"]
            name = metadata["name"]
            if name in services and services[name].namespace == metadata["namespace"] and not _is_ours(metadata):
                found.setdefault(name, []).append(
                    f"{kind} {metadata['namespace']}/{name} (by {_managers(metadata)[0]})"
                )
    return {name: tuple(given) for name, given in found.items()}


def _managers(metadata: Mapping[str, Any]) -> list[str]:
    return [str(entry.get("manager")) for entry in metadata.get("managedFields") or ()]


def _is_ours(metadata: Mapping[str, Any]) -> bool:
    managers = _managers(metadata)
    return not managers or any(one.startswith(PULUMI) for one in managers)


def _pod_labels(deployment: Mapping[str, Any]) -> Mapping[str, str]:
    return deployment["spec"]["template"]["metadata"].get("labels") or {}


def _cluster(host: str, destination: Mapping[str, Any]) -> str:
    port = int((destination.get("port") or {}).get("number") or 80)
    return Backend(host, port, str(destination.get("subset") or "")).cluster


def full_host(host: str, namespace: str) -> str:
    """Return the host of a destination with its namespace, if it has none: Istio takes that of its object."""
    return host if "." in host else service_host(host, namespace)


def _outside(services: RouteTable, egress: EgressTable) -> dict[str, list[Target]]:
    """The versions that are another Service or a host outside, by their host, and the entries of `egress`."""
    targets = [Target(EGRESS, name) for name in egress]
    targets += [
        Target(name, key)
        for name, service in services.items()
        for key, version in service.versions.items()
        if isinstance(version, OutsideVersion) and version.source is not Source.PODS
    ]
    found: dict[str, list[Target]] = {}
    for one in targets:
        found.setdefault(backend(one, services, egress).host, []).append(one)
    return found


def _replicas(services: RouteTable, deployments: Iterable[Mapping[str, Any]]) -> dict[Target, int]:
    """The desired pods of each version: of all Deployments whose pods its subset selects."""
    replicas: Counter[Target] = Counter()
    for found, item in _versions(services, deployments):
        replicas[found] += item["spec"].get("replicas", 1)
    return dict(replicas)


def _images(services: RouteTable, deployments: Iterable[Mapping[str, Any]]) -> dict[Target, str]:
    """The image of each version's own container, which is called as the service."""
    return {
        found: str(container.get("image"))
        for found, item in _versions(services, deployments)
        for container in (item["spec"]["template"].get("spec") or {}).get("containers") or ()
        if container.get("name") == found.service
    }


def _versions(
    services: RouteTable, deployments: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Target, Mapping[str, Any]]]:
    """The versions with their Deployments."""
    by_labels = {
        (service.namespace, name, version_label(name, version)): Target(name, version)
        for name, service in services.items()
        for version in service.versions
    }
    for item in deployments:
        labels = _pod_labels(item)
        found = by_labels.get((item["metadata"]["namespace"], labels.get("app", ""), labels.get("version", "")))
        if found is not None:
            yield found, item


def _destinations(rule: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The destinations of a rule that get requests, each with its share as text."""
    for route, weight in _weighted(rule):
        if weight:
            yield route.get("destination") or {}, percent_words(weight)
    for mirror in [*(rule.get("mirrors") or ()), *([{"destination": rule["mirror"]}] if "mirror" in rule else ())]:
        yield mirror.get("destination") or {}, "mirrored requests"


Known = Mapping[tuple[str, int, str], str]
"""Destinations by host, port and subset, as the config of a service names them."""


def known_destinations(services: RouteTable, service: str, egress: EgressTable) -> Known:
    """Return the destinations outside of the route of `service`, which only its config can name."""
    names = dict.fromkeys(name for rule in services[service].route for name in rule.weights)
    found = {name: backend(target(service, name), services, egress) for name in names}
    return {(one.host, one.port, one.subset): name for name, one in found.items()}


def weights_of(rule: Mapping[str, Any], service: str, known: Known | None = None) -> dict[str, float]:
    """Return percent by destination of one http route of a VirtualService of `service`."""
    return {destination_of(route, service, known): weight for route, weight in _weighted(rule)}


def destination_of(route: Mapping[str, Any], service: str, known: Known | None = None) -> str:
    """Return a route's destination as the config of `service` names it: a version, or `<other service>/<version>`.

    A host that is neither in `known` nor a subset of a Service is named as it is.
    """
    destination = route.get("destination") or {}
    host, subset = str(destination.get("host", "")), str(destination.get("subset", ""))
    found = (known or {}).get((host, int((destination.get("port") or {}).get("number", 0)), subset))
    if found is not None:
        return found
    if not subset or (".svc." not in host and "." in host):
        return host.partition(".svc.")[0]
    called = host.partition(".")[0]
    return subset if called == service else f"{called}/{subset}"


def _weighted(rule: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Each destination of a rule with its percent: Istio's weights are relative; a single destination gets all."""
    routes = list(rule.get("route") or ())
    if len(routes) == 1:
        yield routes[0], 100
        return
    percent = percentages({index: int(route.get("weight") or 0) for index, route in enumerate(routes)})
    for index, route in enumerate(routes):
        yield route, percent[index]
