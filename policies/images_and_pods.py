"""Rules on what runs in the pods: images, resources, probes, replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.mesh import (
    CRON_JOB,
    autoscaler,
    chart_name,
    containers,
    in_mesh,
    pod_labels,
    replicas,
    selects,
    with_requests,
    workloads,
)
from policies.resource import UNKNOWN, Resource, mapping
from policies.rule import PROD, TEXTS, Context, Enforcement, Parameter, Problem, Rule, Severity

PROBES = ("readinessProbe", "livenessProbe", "startupProbe")


def _images(context: Context) -> Iterator[tuple[Resource, str, str]]:
    """Workload, container and image."""
    for workload in workloads(context.resources):
        for container in containers(workload):
            image = container.get("image")
            if isinstance(image, str) and image != UNKNOWN:
                yield workload, str(container.get("name")), image


def image_pinned(context: Context) -> Iterator[Problem]:
    """An image has a tag other than latest, or a digest; a chart of a repository has a version."""
    for workload, container, image in _images(context):
        if "@" in image:
            continue
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield Problem(
                workload,
                f"the image {image} of {container} {'has the tag latest' if tag else 'has no tag'}: every pod may run "
                "something else",
                "name the release, such as shop:1.4.2",
            )
    for release in context.resources.of_kind("Release"):
        if release.mapping("repositoryOpts").get("repo") and not release.props.get("version"):
            yield Problem(release, f"the chart {chart_name(release)} has no version", "name the chart's version")


def image_digest(context: Context) -> Iterator[Problem]:
    """An image is named by its digest, which no one can point to something else."""
    for workload, container, image in _images(context):
        if "@sha256:" not in image:
            yield Problem(workload, f"the image {image} of {container} has no digest", f"write {image}@sha256:…")


def requests_and_limits(context: Context) -> Iterator[Problem]:
    """Containers reserve what they need and cannot take more than their share."""
    for workload in workloads(context.resources):
        for container in containers(workload):
            missing = [
                f"resources.{part}.{resource}"
                for part in ("requests", "limits")
                for resource in context.parameters[part]
                if not mapping(container, "resources", part).get(resource)
                # Kubernetes takes a missing request from the limit.
                and not (part == "requests" and mapping(container, "resources", "limits").get(resource))
            ]
            if missing:
                yield Problem(
                    workload,
                    f"the container {container.get('name')} has no {', '.join(missing)}",
                    "write resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 128Mi}}, for example",
                )


def probes(context: Context) -> Iterator[Problem]:
    """The kubelet asks whether a container can take requests."""
    for workload in workloads(context.resources):
        if workload.kind == CRON_JOB:
            continue  # its pods take no requests, and end
        for container in containers(workload, with_init=False):
            for probe in context.parameters["probes"]:
                if not container.get(probe):
                    yield Problem(
                        workload,
                        f"the container {container.get('name')} has no {probe}",
                        f"write {probe}: {{httpGet: {{path: /health, port: 8080}}}}, for example",
                    )


def replicas_and_budget(context: Context) -> Iterator[Problem]:
    """A version that gets requests survives the loss of a pod and the draining of a node."""
    least = context.parameters["leastReplicas"]
    for workload in with_requests(context.resources):
        count = replicas(context.resources, workload)
        if count is not None and count < least:
            key = "minReplicas" if autoscaler(context.resources, workload) else "replicas"
            yield Problem(
                workload,
                f"it gets requests and has {key}: {count}; at least {least} are needed",
                f"write {key}: {least}",
            )
        if workload.kind != "DaemonSet" and not _has_budget(context, workload):
            yield Problem(
                workload,
                "it gets requests, and no PodDisruptionBudget has its pods: draining nodes may evict all of them",
                "write podDisruptionBudget: {maxUnavailable: 1}",
            )


def _has_budget(context: Context, workload: Resource) -> bool:
    return any(
        budget.namespace == workload.namespace
        and selects(budget.mapping("spec", "selector", "matchLabels"), pod_labels(workload))
        for budget in context.resources.of_kind("PodDisruptionBudget")
    )


def sidecar_injection(context: Context) -> Iterator[Problem]:
    """Without a sidecar the routes, mTLS and access policies do not apply to a version's pods."""
    for workload in with_requests(context.resources):
        if not in_mesh(context.resources, workload):
            yield Problem(
                workload,
                f"Istio does not inject its sidecar into the pods of {workload.path}",
                f"label the namespace {workload.namespace} with istio-injection: enabled, and remove "
                "sidecar.istio.io/inject from the pods",
            )


def _names(default: list[str], description: str, schema: Mapping[str, Any] = TEXTS) -> Parameter:
    return Parameter(schema=schema, default=default, description=description)


RULES = (
    Rule(
        name="image-pinned",
        check=image_pinned,
        severity=Severity.HIGH,
        description="Images have a tag other than latest, or a digest; charts have a version.",
    ),
    Rule(
        name="image-digest",
        check=image_digest,
        severity=Severity.MEDIUM,
        description="Images are named by their digest.",
        enforcement=Enforcement.ADVISORY,
        stacks=PROD,
    ),
    Rule(
        name="requests-and-limits",
        check=requests_and_limits,
        severity=Severity.MEDIUM,
        description="Every container has requests and limits.",
        stacks=PROD,
        parameters={
            "requests": _names(["cpu", "memory"], "Resources that need a request."),
            "limits": _names(["memory"], "Resources that need a limit."),
        },
    ),
    Rule(
        name="probes",
        check=probes,
        severity=Severity.MEDIUM,
        description="Every container has the probes.",
        parameters={
            "probes": _names(
                ["readinessProbe"], "The probes.", {"type": "array", "items": {"type": "string", "enum": list(PROBES)}}
            )
        },
    ),
    Rule(
        name="replicas-and-budget",
        check=replicas_and_budget,
        severity=Severity.HIGH,
        description="A version that gets requests has several replicas and a PodDisruptionBudget.",
        stacks=PROD,
        parameters={
            "leastReplicas": Parameter(
                schema={"type": "integer", "minimum": 1}, default=2, description="Replicas that a version needs."
            )
        },
    ),
    Rule(
        name="sidecar-injection",
        check=sidecar_injection,
        severity=Severity.HIGH,
        description="The pods of a version that gets requests have Istio's sidecar.",
    ),
)
