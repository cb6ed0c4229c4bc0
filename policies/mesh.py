"""What several rules ask about a stack: its workloads, where its routes send requests, what applies to which pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from policies.resource import UNKNOWN, Resource, Resources, items, mapping, texts

CRON_JOB = "CronJob"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", CRON_JOB)
CLUSTER_DOMAIN = ".cluster.local"
DEPLOYED_ELSEWHERE = "istio-canary/deployed-elsewhere"
"""Annotation of a DestinationRule: the subsets whose pods the stack does not deploy."""
MESH_GATEWAY = "mesh"
"""Istio's name for the sidecars (Istio: VirtualService, gateways)."""


HTTP = "http"
KINDS = (HTTP, "tls", "tcp")
"""The lists of routes of a VirtualService."""

_once = lru_cache(maxsize=4)  # several rules ask the same of the same resources
"""Keeps what a function returned for the stacks that it was last asked about; nobody may change it."""


@dataclass(frozen=True)
class HttpRoute:
    """One route of a VirtualService: of HTTP, or of the connections of TCP or TLS, which have destinations alone."""

    virtual_service: Resource
    index: int
    spec: Mapping[str, Any]
    kind: str = HTTP

    @property
    def place(self) -> str:
        """How messages name it."""
        name = self.spec.get("name")
        return f"route {name}" if isinstance(name, str) else f"{self.kind}[{self.index}]"

    @cached_property
    def destinations(self) -> tuple[Destination, ...]:
        """The destinations that get its requests, with their weights."""
        given = items(self.spec.get("route"))
        alone = 100 if len(given) == 1 else 0
        return tuple(Destination(self, mapping(one, "destination"), one.get("weight", alone)) for one in given)

    @cached_property
    def mirrors(self) -> tuple[Destination, ...]:
        """The destinations that get copies of its requests."""
        given = [*items(self.spec.get("mirrors")), *({"destination": self.spec[key]} for key in ("mirror",)
                 if isinstance(self.spec.get(key), Mapping))]  # fmt: skip
        return tuple(Destination(self, mapping(one, "destination"), 0) for one in given)


@dataclass(frozen=True)
class Destination:
    """A destination of a route: a host, a subset of it if one is named, and the weight as given."""

    route: HttpRoute
    spec: Mapping[str, Any]
    weight: Any

    @property
    def subset(self) -> str | None:
        """The subset's name."""
        subset = self.spec.get("subset")
        return subset if isinstance(subset, str) and subset else None

    @property
    def service(self) -> tuple[str, str] | None:
        """Namespace and name of the Service that the host is the DNS name of, None if it is another host."""
        return service_of(self.spec.get("host"), self.route.virtual_service.namespace)

    @property
    def words(self) -> str:
        """How messages name it."""
        return f"{self.spec.get('host')}{f' subset {self.subset}' if self.subset else ''}"

    @property
    def gets_requests(self) -> bool:
        """Whether its weight is above 0."""
        return is_number(self.weight) and self.weight > 0


def is_number(value: Any) -> bool:
    """Whether the value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def service_of(host: Any, namespace: str) -> tuple[str, str] | None:
    """Return namespace and name of the Service with this DNS name, None if it is not the name of a Service.

    A short name is in `namespace` (Istio: VirtualService, Destination).
    """
    if not isinstance(host, str) or host == UNKNOWN or "*" in host:
        return None
    parts = host.removesuffix(CLUSTER_DOMAIN).split(".")
    if len(parts) == 1:
        return namespace, parts[0]
    return (parts[1], parts[0]) if parts[2:] == ["svc"] else None


@_once
def http_routes(resources: Resources) -> Sequence[HttpRoute]:
    """Return all HTTP routes in the order in which Istio tries them in each VirtualService."""
    return [route for route in all_routes(resources) if route.kind == HTTP]


@_once
def all_routes(resources: Resources) -> Sequence[HttpRoute]:
    """Return the routes of requests and of connections, those of each list in Istio's order."""
    return [
        HttpRoute(virtual_service, index, spec, kind)
        for virtual_service in resources.of_kind("VirtualService")
        for kind in KINDS
        for index, spec in enumerate(items(virtual_service.spec.get(kind)))
    ]


@_once
def services(resources: Resources) -> Mapping[tuple[str, str], Resource]:
    """Return the Services by namespace and name."""
    return {(one.namespace, one.object_name): one for one in resources.of_kind("Service")}


@_once
def subsets(resources: Resources) -> Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]:
    """Return the subsets of each Service, in the order in which they are declared."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for rule in resources.of_kind("DestinationRule"):
        service = service_of(rule.spec.get("host"), rule.namespace)
        if service is not None:
            found.setdefault(service, []).extend(items(rule.spec.get("subsets")))
    return found


@_once
def workloads(resources: Resources) -> Sequence[Resource]:
    """Return what creates pods."""
    return resources.of_kind(*WORKLOADS)


def pod_labels(workload: Resource) -> Mapping[str, Any]:
    """Return the labels of its pods."""
    return workload.mapping(*_template(workload), "metadata", "labels")


def pod_spec(workload: Resource) -> Mapping[str, Any]:
    """Return the spec of its pods."""
    return workload.mapping(*_template(workload), "spec")


def _template(workload: Resource) -> tuple[str, ...]:
    """Where the template of its pods is."""
    return ("spec", "jobTemplate", "spec", "template") if workload.kind == CRON_JOB else ("spec", "template")


def containers(workload: Resource, *, with_init: bool = True) -> list[Mapping[str, Any]]:
    """Return the containers of its pods."""
    spec = pod_spec(workload)
    return [*items(spec.get("containers")), *(items(spec.get("initContainers")) if with_init else ())]


def replicas(resources: Resources, workload: Resource) -> int | None:
    """Return how many pods it has at least; None if that is not known, as where the number is left to somebody else."""
    scaler = autoscaler(resources, workload)
    given = scaler.spec.get("minReplicas", 1) if scaler else workload.spec.get("replicas")
    return given if isinstance(given, int) and workload.kind != "DaemonSet" else None


def autoscaler(resources: Resources, workload: Resource) -> Resource | None:
    """Return the HorizontalPodAutoscaler that decides about its number of pods, None if there is none."""
    wanted = {"kind": workload.kind, "name": workload.object_name}
    for one in resources.of_kind("HorizontalPodAutoscaler"):
        target = one.mapping("spec", "scaleTargetRef")
        if one.namespace == workload.namespace and {key: target.get(key) for key in wanted} == wanted:
            return one
    return None


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether labels have everything that a selector names; an empty one selects all."""
    return all(labels.get(key) == value for key, value in selector.items())


def is_deployed_elsewhere(resources: Resources, service: tuple[str, str], subset: str | None) -> bool:
    """Return whether a DestinationRule says that someone else deploys the pods of a Service's subset."""
    return any(
        subset in str(rule.mapping("metadata", "annotations").get(DEPLOYED_ELSEWHERE, "")).split(",")
        for rule in resources.of_kind("DestinationRule")
        if subset and service_of(rule.spec.get("host"), rule.namespace) == service
    )


def pods_of(resources: Resources, service: tuple[str, str], subset: str | None) -> list[Resource] | None:
    """Return the workloads whose pods are of a Service's subset, or of the Service if it is None.

    None if the Service is not one of the stack's, or its subset is not declared.
    """
    known = services(resources).get(service)
    if known is None:
        return None
    labels = dict(known.mapping("spec", "selector"))
    if subset is not None:
        declared = next((one for one in subsets(resources).get(service, ()) if one.get("name") == subset), None)
        if declared is None:
            return None
        labels |= mapping(declared, "labels")
    return [one for one in workloads(resources) if one.namespace == service[0] and selects(labels, pod_labels(one))]


@_once
def with_requests(resources: Resources) -> Sequence[Resource]:
    """Return the workloads to which routes send requests, each once."""
    found: dict[str, Resource] = {}
    for route in all_routes(resources):
        for destination in route.destinations:
            if destination.gets_requests and destination.service is not None:
                for workload in pods_of(resources, destination.service, destination.subset) or ():
                    found.setdefault(workload.urn, workload)
    return list(found.values())


def in_mesh(resources: Resources, workload: Resource) -> bool:
    """Whether Istio injects a sidecar: by the pod's label, else by the namespace's."""
    label = pod_labels(workload).get("sidecar.istio.io/inject")
    if label in ("true", "false"):
        return bool(label == "true")
    namespaces = {one.object_name: one.labels for one in resources.of_kind("Namespace")}
    labels = namespaces.get(workload.namespace, {})
    return labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels


def istiod(resources: Resources) -> Resource | None:
    """Return the Helm release of istiod, None if the stack does not install the mesh."""
    return next((one for one in resources.of_kind("Release") if chart_name(one) == "istiod"), None)


def root_namespace(resources: Resources) -> str | None:
    """Return the namespace of the stack's own mesh, whose policies apply to all of the mesh; None if it has none."""
    release = istiod(resources)
    namespace = release.props.get("namespace") if release else None
    return namespace if isinstance(namespace, str) else None


def chart_name(release: Resource) -> str:
    """Return the name of a Helm release's chart, which may be given as a path or a URL."""
    return str(release.props.get("chart", "")).rstrip("/").rpartition("/")[2]


def applying(resources: Resources, kind: str, workload: Resource) -> list[Resource]:
    """Return the policies of a kind that apply to a workload's pods (Istio: "Workload Selector")."""
    root = root_namespace(resources)
    return [
        policy
        for policy in resources.of_kind(kind)
        if policy.namespace in (workload.namespace, root)
        and selects(policy.mapping("spec", "selector", "matchLabels"), pod_labels(workload))
    ]


def gateways_of(virtual_service: Resource) -> list[str]:
    """Return the gateways that a VirtualService is bound to; only the sidecars if it names none."""
    return texts(virtual_service.spec.get("gateways")) or [MESH_GATEWAY]
