"""Checks of a version's autoscaling: against `replicas`, what its containers request, and Kubernetes' schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.kubernetes import findings_of
from stacks.checks.view import View, block, entries
from stacks.settings.kubernetes_values import METRIC_SPEC, SCALING_BEHAVIOR
from stacks.settings.model import ServiceSettings, VersionSettings
from stacks.settings.problems import Finding, Location, key_path, shown

SOURCES = {"ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
           "Resource": "resource"}  # fmt: skip
"""The field of a MetricSpec that each of its types needs."""
PROXY = "istio-proxy"


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the versions' autoscaling."""
    for service in view.services.values():
        for name, version in service.versions.items():
            given, place = block(version), (*service.location, "versions", name)
            if given.get("autoscaling") is not None:
                yield from _check_replicas(given, place)
                yield from _check_values(block(given["autoscaling"]), (*place, "autoscaling"))


def _check_replicas(given: Mapping[str, Any], place: Location) -> Iterator[Finding]:
    if "replicas" in given:
        replicas = given["replicas"]
        yield Finding(
            (*place, "replicas"),
            "with autoscaling, the autoscaler decides about the number of pods",
            f"either replicas, or {key_path((*place, 'autoscaling'))}",
            "remove it; the first deployment starts with minReplicas",
            shown(replicas),
        )


def _check_values(autoscaling: Mapping[str, Any], place: Location) -> Iterator[Finding]:
    for index, metric in enumerate(entries(autoscaling.get("metrics"))):
        if isinstance(metric, dict):
            found = list(findings_of(metric, METRIC_SPEC, (*place, "metrics", index)))
            yield from found or _check_source(metric, autoscaling, (*place, "metrics", index))
    if isinstance(autoscaling.get("behavior"), dict):
        yield from findings_of(autoscaling["behavior"], SCALING_BEHAVIOR, (*place, "behavior"))


def _check_source(metric: Mapping[str, Any], autoscaling: Mapping[str, Any], place: Location) -> Iterator[Finding]:
    """The source of a metric is that of its type, and no metric is given twice."""
    kind, wanted = metric.get("type"), SOURCES.get(str(metric.get("type")))
    given = [source for source in SOURCES.values() if metric.get(source) is not None]
    if wanted is None:
        yield Finding(
            (*place, "type"),
            f"{shown(kind)} is not a type of metric",
            f"one of {', '.join(SOURCES)}",
            f"write {next(name for name, source in SOURCES.items() if source == given[0])}"
            if len(given) == 1
            else "write Resource, for example",
            shown(kind),
        )
    elif given != [wanted]:
        yield Finding(
            place,
            f"a metric of the type {kind} is described by {wanted}, and this one has {' and '.join(given) or 'none'}",
            f"only {wanted} with type: {kind}",
            f"write type: {next(name for name, source in SOURCES.items() if source == given[0])}"
            if len(given) == 1
            else f"keep only {wanted}",
            shown(metric),
        )
    elif wanted == "resource":
        name = metric["resource"].get("name")
        if name in ("cpu", "memory") and autoscaling.get(name) is not None:
            yield Finding(
                (*place, "resource", "name"),
                f"{name} is also given as {key_path((*place[:-2], name))}",
                "each metric once",
                "remove one of the two",
                shown(name),
            )


def warnings(name: str, service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """Yield percentages of requests that a container does not have, and a switch to a version at its least size."""
    for key, version in service.deployed.items():
        if version.autoscaling is not None:
            yield from _without_requests(name, version, (*location, "versions", key))
    yield from _switch(service, location)


def _without_requests(name: str, version: VersionSettings, place: Location) -> Iterator[Finding]:
    assert version.autoscaling is not None
    for resource in ("cpu", "memory"):
        if getattr(version.autoscaling, resource) is None:
            continue
        lacking = [container for container in _requests(name, version, resource) if container != PROXY]
        if not lacking:
            continue
        own = key_path((*place, "resources", "requests", resource))
        amount = "100m" if resource == "cpu" else "128Mi"
        yield Finding(
            (*place, "autoscaling", resource),
            f"the percentage is of what the containers request, and {' and '.join(lacking)} "
            f"{'requests' if len(lacking) == 1 else 'request'} no {resource}: the autoscaler would not scale",
            f"a request for {resource} of every container, from the file or from a LimitRange of the namespace",
            f"add {own}: {amount}, for example"
            if name in lacking
            else f"add resources: {{requests: {{{resource}: {amount}}}}} to {lacking[0]}, for example",
            shown(getattr(version.autoscaling, resource)),
        )


def _requests(name: str, version: VersionSettings, resource: str) -> Iterator[str]:
    """The containers that request nothing of a resource; Kubernetes takes a missing request from the limit."""
    spec = block((version.pod_template or {}).get("spec"))
    laid_over = {one.get("name"): block(one.get("resources")) for one in entries(spec.get("containers"))}
    own = version.resources.model_dump(by_alias=True)
    sidecars = [one for one in entries(spec.get("initContainers")) if one.get("restartPolicy") == "Always"]
    laid_over |= {one.get("name"): block(one.get("resources")) for one in sidecars}
    for container in {name: None, **laid_over}:
        resources = [laid_over.get(container, {}), own if container == name else {}]
        if not any(block(one.get(part)).get(resource) for one in resources for part in ("requests", "limits")):
            yield container


def _switch(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """The idle side of blueGreen gets no requests, so its autoscaler keeps it at its least size until the switch."""
    active = service.strategy.active
    idle = next((name for name in service.deployed if name != active), None)
    if active not in service.deployed or idle is None:
        return
    sizes, busy = service.deployed[idle].autoscaling, service.deployed[active].autoscaling
    if sizes is not None and busy is not None and sizes.min_replicas < busy.max_replicas:
        pods = f"{sizes.min_replicas} {'pod' if sizes.min_replicas == 1 else 'pods'}"
        yield Finding(
            (*location, "versions", idle, "autoscaling", "minReplicas"),
            f"a switch to {idle} gives its {pods} all requests at once, which may be those of up to "
            f"{busy.max_replicas} pods of {active}",
            "as many pods as the active version has when it switches",
            "raise minReplicas before the switch, or move the requests step by step with strategy: canary; none needed "
            "if so few pods can take them until the autoscaler follows",
            str(sizes.min_replicas),
        )
