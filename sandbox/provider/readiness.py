"""When an object is ready: pure functions from objects to a verdict, one for each kind that Pulumi waits for.

What counts as ready follows the official provider's await logic and the status fields of the Kubernetes API reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.provider.objects import dig, owned_by, text_at

Object = Mapping[str, Any]
REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Verdict:
    """Whether an object is ready; if not, what is waited for (``status``) and what is wrong (``problems``).

    ``failed`` says that waiting longer is of no use.
    """

    ready: bool
    status: str = ""
    problems: tuple[str, ...] = ()
    failed: bool = False


READY = Verdict(True)


def condition(obj: Object, kind: str) -> Object:
    """Return a condition of the object's status, or an empty one."""
    for item in dig(obj, "status", "conditions") or []:
        if item.get("type") == kind:
            return dict(item)
    return {}


def holds(obj: Object, kind: str) -> bool:
    """Say whether a condition is "True"."""
    return condition(obj, kind).get("status") == "True"


def number(obj: Object, *path: str, default: int = 0) -> int:
    """Return a number of the object."""
    value = dig(obj, *path)
    return int(value) if isinstance(value, (int, float)) else default


def observed(obj: Object) -> bool:
    """Say whether the controller has seen the object's newest generation."""
    return number(obj, "status", "observedGeneration") >= number(obj, "metadata", "generation")


def deployment(obj: Object, replica_sets: Sequence[Object], claims: Sequence[Object] = ()) -> Verdict:
    """A Deployment: available, rolled out, every pod of its newest ReplicaSet ready, its claims bound."""
    if not observed(obj):
        return Verdict(
            False, "Waiting for the Deployment controller", ("The Deployment controller has not seen it yet",)
        )
    revision = str(dig(obj, "metadata", "annotations", REVISION) or "")
    problems = [
        f"[{c['reason']}] {c['message']}"
        for c in (condition(obj, "Progressing"), condition(obj, "Available"))
        if c.get("status") == "False" and c.get("reason") and c.get("message")
    ]
    available = holds(obj, "Available")
    progressing = condition(obj, "Progressing")
    rolled_out = progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"
    newest = next((rs for rs in replica_sets if _revision_of(rs) == revision and owned_by(rs, obj)), None)
    wanted = number(newest or {}, "spec", "replicas", default=1)
    ready = number(newest or {}, "status", "readyReplicas")
    if not available:
        problems.append("Minimum number of live Pods was not attained")
    elif newest is None or ready < wanted or not (rolled_out or revision == "1"):
        problems.append("Minimum number of Pods to consider the application live was not attained")
    unbound = [text_at(c, "metadata", "name") for c in claims if text_at(c, "status", "phase") != "Bound"]
    if unbound:
        problems.append(f"Failed to bind PersistentVolumeClaim(s): {', '.join(unbound)}")
    if not problems and revision:
        return READY
    return Verdict(
        False, f"Waiting for app ReplicaSet to be available ({ready}/{wanted} Pods available)", tuple(problems)
    )


def _revision_of(replica_set: Object) -> str:
    return str(dig(replica_set, "metadata", "annotations", REVISION) or "")


def stateful_set(obj: Object) -> Verdict:
    """A StatefulSet: every replica ready, and the newest revision rolled out unless that is left to somebody else."""
    if not observed(obj):
        return Verdict(
            False, "Waiting for the StatefulSet controller", ("The StatefulSet controller has not seen it yet",)
        )
    wanted = number(obj, "spec", "replicas", default=1)
    ready = number(obj, "status", "readyReplicas")
    problems = []
    if ready < wanted:
        problems.append(f"{ready} out of {wanted} replicas succeeded readiness checks")
    partition = number(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
    rolls = text_at(obj, "spec", "updateStrategy", "type") != "OnDelete"
    updated = number(obj, "status", "updatedReplicas")
    if rolls and updated < wanted - partition:
        problems.append(f"{updated} out of {wanted - partition} replicas are of the newest revision")
    if (
        rolls
        and not partition
        and wanted
        and dig(obj, "status", "currentRevision") != dig(obj, "status", "updateRevision")
    ):
        problems.append("StatefulSet controller failed to advance to its newest revision")
    if not problems:
        return READY
    return Verdict(False, f"Waiting for the StatefulSet's Pods ({ready}/{wanted} ready)", tuple(problems))


def daemon_set(obj: Object) -> Verdict:
    """A DaemonSet: a ready pod of the newest revision on every node that should have one."""
    if not observed(obj):
        return Verdict(False, "Waiting for the DaemonSet controller", ("The DaemonSet controller has not seen it yet",))
    wanted = number(obj, "status", "desiredNumberScheduled")
    rolls = text_at(obj, "spec", "updateStrategy", "type") != "OnDelete"
    updated = number(obj, "status", "updatedNumberScheduled") if rolls else wanted
    ready = min(number(obj, "status", "numberReady"), number(obj, "status", "numberAvailable"))
    if updated >= wanted and ready >= wanted:
        return READY
    problem = f"{ready} out of {wanted} Pods are ready, {updated} of the newest revision"
    return Verdict(False, f"Waiting for the DaemonSet's Pods ({ready}/{wanted} ready)", (problem,))


def pod(obj: Object) -> Verdict:
    """A Pod: scheduled, initialised and ready, or run to its end."""
    if text_at(obj, "status", "phase") == "Succeeded" or holds(obj, "Ready"):
        return READY
    for kind, doing in (("PodScheduled", "scheduled"), ("Initialized", "initialized"), ("Ready", "ready")):
        if not holds(obj, kind):
            return Verdict(False, f"Waiting for Pod {text_at(obj, 'metadata', 'name')!r} to be {doing}")
    return READY


def job(obj: Object) -> Verdict:
    """A Job: completed. A failed one stays failed."""
    if holds(obj, "Complete") or holds(obj, "SuccessCriteriaMet"):
        return READY
    if holds(obj, "Failed"):
        c = condition(obj, "Failed")
        return Verdict(
            False, "Job failed", (f"[{c.get('reason', 'Failed')}] {c.get('message', '')}".strip(),), failed=True
        )
    done, wanted = number(obj, "status", "succeeded"), number(obj, "spec", "completions", default=1)
    return Verdict(
        False,
        f"Waiting for Job {text_at(obj, 'metadata', 'name')!r} to complete ({done}/{wanted})",
        ("Job is not complete",),
    )


def service(obj: Object, slices: Sequence[Object]) -> Verdict:
    """A Service: somebody ready behind its selector, and an address when it is a load balancer."""
    kind = text_at(obj, "spec", "type") or "ClusterIP"
    waits = (
        bool(dig(obj, "spec", "selector")) and kind != "ExternalName" and text_at(obj, "spec", "clusterIP") != "None"
    )
    if waits and not any(_serves(endpoint) for s in slices for endpoint in s.get("endpoints") or []):
        problem = (
            "Service does not target any Pods. Selected Pods may not be ready, "
            "or field '.spec.selector' may not match labels on any Pods"
        )
        return Verdict(False, "Finding Pods to direct traffic to", (problem,))
    if kind == "LoadBalancer" and not dig(obj, "status", "loadBalancer", "ingress"):
        problem = "Service was not allocated an IP address; does your cloud provider support this?"
        return Verdict(False, "Attempting to allocate IP address to Service", (problem,))
    return READY


def _serves(endpoint: Object) -> bool:
    ready = dig(endpoint, "conditions", "ready")
    return bool(endpoint.get("addresses")) and ready is not False


def ingress(obj: Object, missing_services: Sequence[str]) -> Verdict:
    """An Ingress: each path has a Service, and a controller has given it an address."""
    if missing_services:
        names = ", ".join(sorted(missing_services))
        return Verdict(
            False, "Finding a matching service for each Ingress path", (f"No matching service found for: {names}",)
        )
    if not dig(obj, "status", "loadBalancer", "ingress"):
        problem = (
            "Ingress .status.loadBalancer field was not updated with a hostname/IP address; is a controller running?"
        )
        return Verdict(False, "Waiting for update of .status.loadBalancer with hostname/IP", (problem,))
    return READY


def ingress_services(obj: Object) -> set[str]:
    """Return the names of the Services that an Ingress sends requests to."""
    backends = [dig(obj, "spec", "defaultBackend")]
    for rule in dig(obj, "spec", "rules") or []:
        backends += [path.get("backend") for path in dig(rule, "http", "paths") or []]
    return {name for name in (text_at(b or {}, "service", "name") for b in backends) if name}


def persistent_volume_claim(obj: Object, binds_late: bool) -> Verdict:
    """A claim: bound, unless its class binds only when a pod uses it."""
    phase = text_at(obj, "status", "phase")
    if phase == "Bound" or (binds_late and phase == "Pending"):
        return READY
    return Verdict(
        False, "Waiting for the claim to be bound", (f"PersistentVolumeClaim is {phase or 'not seen'}, not Bound",)
    )


def persistent_volume(obj: Object) -> Verdict:
    """A volume: available or already bound."""
    phase = text_at(obj, "status", "phase")
    if phase in ("Available", "Bound"):
        return READY
    return Verdict(False, "Waiting for the volume", (f"PersistentVolume is {phase or 'not seen'}, not Available",))


def replication_controller(obj: Object) -> Verdict:
    """A ReplicationController: as many ready pods as wanted."""
    wanted, ready = number(obj, "spec", "replicas", default=1), number(obj, "status", "readyReplicas")
    if observed(obj) and ready >= wanted:
        return READY
    return Verdict(
        False, f"Waiting for Pods ({ready}/{wanted} ready)", (f"{ready} out of {wanted} replicas are ready",)
    )


def resource_quota(obj: Object) -> Verdict:
    """A ResourceQuota: counted by its controller as it is written."""
    if dig(obj, "spec", "hard") == dig(obj, "status", "hard"):
        return READY
    return Verdict(False, "Waiting for the quota to be counted", ("The quota's status is not up to date",))
