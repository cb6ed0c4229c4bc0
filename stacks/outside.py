"""Whether the versions that a stack does not make are in its cluster, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.names import PORT_NAME
from kube.endpoints import FoundPods, pods_with, service_named
from rollout.observed_routes import ObservedRoutes
from stacks.settings.engines import engines_of
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Location, Problem, key_path
from traffic.graph import all_targets
from traffic.model import OutsideVersion, Source, Target, version_label
from traffic.model.backend import DEFAULT_PORT

if TYPE_CHECKING:
    from lightkube import Client


def missing_versions(client: Client, settings: Settings, file: str) -> list[Problem]:
    """Return why versions cannot get requests that routes send to them; `file` is the stack's, for the messages.

    A host outside the mesh is not looked up: that is for the proxies, which may use another DNS server. Nor are pods
    of another engine of rollouts, which are those of a Deployment of the stack at first.
    """
    used = all_targets(settings.services)
    moved = engines_of(settings)
    return [
        problem
        for name, service in settings.services.items()
        for key, version in service.outside.items()
        if Target(name, key) in used and name not in moved
        for problem in _problems(client, service, name, key, version, file)
    ]


def foreign_objects(settings: Settings, observed: ObservedRoutes, file: str) -> list[Problem]:
    """Return objects in the cluster with names of the stack's that it may not overwrite; `file` is the stack's."""
    problems = [
        Problem(
            key_path(("services", name)),
            f"someone else has made objects of its names: {', '.join(found)}",
            "adopt: false",
            "a namespace without them, or adopt: true to overwrite their fields",
            f"set {key_path(('services', name, 'adopt'))}: true to take them over, or give the service another name or "
            "namespace",
            file,
        )
        for name, found in observed.foreign.items()
        if not settings.services[name].adopt
    ]
    for name, service in settings.services.items():
        for key, version in service.deployed.items():
            label = observed.version_labels.get((service.namespace, version.name), version_label(name, key))
            if label != version_label(name, key):
                problems.append(_other_deployment(name, key, version.name, label, file))
    return problems


def _other_deployment(service: str, key: str, deployment: str, label: str, file: str) -> Problem:
    place: Location = ("services", service, "versions", key)
    whose = f"version={label}" if label else "no label version"
    return Problem(
        key_path(place),
        f"the Deployment {deployment} exists, with pods of another version ({whose})",
        deployment,
        "a Deployment of its own: Kubernetes never changes which pods a Deployment selects",
        f"write {key_path((*place, 'name'))}: {deployment}-2, for example; or, to send requests to those pods, write "
        f"labels: {{version: {label or 'v1'}}} and no image",
        file,
    )


def _problems(
    client: Client, service: ServiceSettings, name: str, key: str, version: OutsideVersion, file: str
) -> Iterator[Problem]:
    place: Location = ("services", name, "versions", key)
    if version.source is Source.PODS:
        labels = {**service.selector_of(name), **version.pod_labels(key)}
        found = pods_with(client, service.namespace, labels)
        given = f"pods in namespace {service.namespace} with {', '.join(f'{k}={v}' for k, v in labels.items())}"
        yield from _of_pods(found, service, key, place, given, file)
    elif version.source is Source.SERVICE:
        yield from _of_service(client, service, key, version, place, file)


def _of_pods(
    found: FoundPods, service: ServiceSettings, key: str, place: Location, given: str, file: str
) -> Iterator[Problem]:
    if found.total == 0:
        yield Problem(
            key_path(place),
            f"no pod of {key} is in the cluster, and the stack does not deploy it",
            given,
            "labels of pods that run, which the service's Service selects",
            f"deploy them, correct {key_path((*place, 'labels'))}, or set {key_path((*place[:2], 'selector'))} to "
            "labels that they have; add image if this stack is to deploy it",
            file,
        )
    elif found.ready == 0:
        yield Problem(
            key_path(place),
            f"none of the {found.total} pods of {key} is ready: requests to it would get 503",
            given,
            "a version of which a pod is ready, or one without weight",
            f"look why they are not ready (`kubectl get pods --namespace={service.namespace}`)",
            file,
        )
    elif target_port(service) is None and not all(PORT_NAME in ports for ports in found.ports):
        yield Problem(
            key_path(place),
            f"the Service finds the port of a pod by the name {PORT_NAME!r}, and pods of {key} have no such port",
            given,
            f"a container port with the name {PORT_NAME!r}, or the same port number in all versions",
            f"name the container port {PORT_NAME!r} where they are deployed, write the same port in all versions, or "
            "name a Service of theirs instead: service: <name>",
            file,
        )


def target_port(service: ServiceSettings) -> int | None:
    """Return the number of the container port of all versions, None to find each pod's by its name.

    Only for pods that someone else deploys: their port may have any name.
    """
    pods = [one.port for one in service.outside.values() if one.source is Source.PODS]
    ports = {*pods, *(version.port for version in service.deployed.values())}
    return ports.pop() if pods and len(ports) == 1 else None


def _of_service(
    client: Client, service: ServiceSettings, key: str, version: OutsideVersion, place: Location, file: str
) -> Iterator[Problem]:
    name, namespace = version.service_of(service.namespace)
    port = version.port or DEFAULT_PORT
    found = service_named(client, namespace, name)
    if found is None:
        yield Problem(
            key_path((*place, "service")),
            f"there is no Service {name} in namespace {namespace}",
            version.service or "",
            "a Service of the cluster",
            "correct the name, or deploy it first",
            file,
        )
    elif port not in found.ports:
        yield Problem(
            key_path((*place, "port")),
            f"the Service {name} in namespace {namespace} has no port {port}",
            str(port),
            f"one of its ports: {', '.join(map(str, found.ports))}",
            f"write port: {found.ports[0]}" if len(found.ports) == 1 else "write one of its ports",
            file,
        )
    elif found.ready == 0:
        yield Problem(
            key_path((*place, "service")),
            f"no endpoint of the Service {name} in namespace {namespace} is ready: requests to {key} would get 503",
            version.service or "",
            "a Service with an endpoint that is ready",
            f"look why (`kubectl get endpointslices --namespace={namespace}`)",
            file,
        )
