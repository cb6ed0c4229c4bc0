"""What a stack has to know of its cluster before it builds anything there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from components.names import BASE_RELEASE, INJECTION, OWNER_ANNOTATION
from stacks import kubeconfig
from stacks.applied import FEW, AppliedRoutes, read_applied_routes
from stacks.handover import refuse_loss
from stacks.kubeconfig import ClusterUnreachable
from stacks.problems import Problem, SettingsError
from stacks.settings import Settings

if TYPE_CHECKING:
    from lightkube import Client, SingleConfig

__all__ = ["ClusterFacts", "ClusterUnreachable", "asking", "look_at_cluster", "namespaces_of"]

DEADLINE = 5.0
"""Seconds that looking at the cluster may take in all, name resolution and credential plugins included."""

ISTIO_CRD = "peerauthentications.security.istio.io"
"""The smallest of those that every Istio brings."""
HELM_RELEASE = "meta.helm.sh/release-name"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What was found: the cluster's identity, which of the stack's namespaces belong to somebody else, its routes.

    `uid` is that of the namespace kube-system, which lives as long as the cluster does.
    """

    uid: str
    foreign_namespaces: frozenset[str] = frozenset()
    applied: AppliedRoutes = field(default_factory=AppliedRoutes)


def namespaces_of(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the namespaces that a stack needs, each with the labels it must have."""
    mesh = settings.mesh
    namespaces: dict[str, dict[str, str]] = {}
    if mesh.install:
        namespaces |= {mesh.namespace: {}, mesh.gateway.namespace: {}}
    return namespaces | {service.namespace: dict(INJECTION) for service in settings.services.values()}


def look_at_cluster(settings: Settings, owner: str) -> ClusterFacts:
    """Return what the cluster says of itself, of the stack's namespaces and routes; `owner` is `<project>/<stack>`.

    Takes some milliseconds, or at most DEADLINE seconds where the cluster does not answer. Raises ClusterUnreachable,
    and SettingsError where a mesh is to be installed beside one that is there already, or a version is to be taken
    away that still gets requests.
    """
    facts = asking(settings, lambda client: _look(client, settings, owner), within=DEADLINE)
    refuse_loss(settings, facts.applied, _stack_file(owner))
    return facts


def asking(settings: Settings, ask: Callable[[Client], T], within: float) -> T:
    """Return what `ask` returns for a client of the stack's cluster, after `within` seconds at most.

    Raises ClusterUnreachable in words for a person, whatever keeps the cluster from answering.
    """
    config = kubeconfig.choose(settings.cluster)
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            with kubeconfig.client(config) as client:
                outcome["answer"] = ask(client)
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the caller's thread
            outcome["error"] = error

    # A thread, since neither name resolution nor a credential plugin heeds the client's timeouts.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(within)
    if "error" in outcome:
        raise _in_words(config, outcome["error"])
    if "answer" not in outcome:
        raise _unreachable(config, f"it did not answer within {within:g} s")
    answer: T = outcome["answer"]
    return answer


def _look(client: Client, settings: Settings, owner: str) -> ClusterFacts:
    from lightkube.generic_resource import create_global_resource
    from lightkube.resources.core_v1 import Namespace

    crd = create_global_resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
    system: Any = client.get(Namespace, "kube-system")
    found = _namespaces(client, Namespace, list(namespaces_of(settings)))
    if settings.mesh.install:
        _refuse_second_mesh(_found(client, crd, ISTIO_CRD), owner)
    foreign = {name for name, namespace in found.items() if namespace and not _owned(namespace, owner)}
    return ClusterFacts(
        uid=system.metadata.uid,
        foreign_namespaces=frozenset(foreign),
        applied=read_applied_routes(client, settings.services),
    )


def _namespaces(client: Client, kind: Any, names: list[str]) -> dict[str, Any]:
    """The namespaces of these names, None for those that are not there; many are listed, since each is a request."""
    if len(names) <= FEW:
        return {name: _found(client, kind, name) for name in names}
    there = {namespace.metadata.name: namespace for namespace in client.list(kind)}
    return {name: there.get(name) for name in names}


def _owned(namespace: Any, owner: str) -> bool:
    return _annotations(namespace).get(OWNER_ANNOTATION) == owner


def _found(client: Client, kind: Any, name: str) -> Any:
    import httpx2

    try:
        return client.get(kind, name)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code == 404:
            return None
        raise


def _annotations(resource: Any) -> dict[str, str]:
    return resource.metadata.annotations or {}


def _refuse_second_mesh(crd: Any, owner: str) -> None:
    """Helm would refuse it too, but only after the first namespaces were made."""
    if crd is None or _annotations(crd).get(HELM_RELEASE) == BASE_RELEASE:
        return
    release = _annotations(crd).get(HELM_RELEASE)
    problem = Problem(
        path="istio-canary:mesh.install",
        what="the cluster has Istio's CRDs already" + (f", of the Helm release {release}" if release else ""),
        given="true",
        allowed="true for a cluster without Istio, false to use the mesh that is there",
        remedy="set istio-canary:mesh.install to false; or, if that mesh is gone for good, delete what it left: "
        "kubectl get crd -o name | grep istio.io | xargs kubectl delete",
    )
    raise SettingsError([problem], _stack_file(owner))


def _stack_file(owner: str) -> str:
    return f"Pulumi.{owner.rpartition('/')[2]}.yaml"


def _in_words(config: SingleConfig, error: Exception) -> Exception:
    import httpx2
    import msgspec
    from lightkube.core.exceptions import ConfigError

    if isinstance(error, httpx2.HTTPStatusError):
        return _refused(config, error)
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return _unreachable(config, "it did not answer in time")
    if isinstance(error, httpx2.TransportError):
        return _no_connection(config, str(error))
    if isinstance(error, msgspec.MsgspecError):
        return _unreachable(config, f"what answers there is no Kubernetes API server ({error})")
    if isinstance(error, (ConfigError, OSError)):
        return ClusterUnreachable(
            kubeconfig.describe(config),
            f"no credentials: {error}",
            "log in to the cluster as its provider's documentation says, until `kubectl get namespaces` works",
        )
    return error


def _refused(config: SingleConfig, error: Any) -> ClusterUnreachable:
    status = error.response.status_code
    remedies = {
        401: "the credentials are wrong or have expired: log in again, or fetch a fresh kubeconfig",
        403: "ask for the right to read namespaces, custom resource definitions, Deployments, VirtualServices and "
        "DestinationRules, or use another context",
    }
    remedy = remedies.get(status, "see what the API server's log says")
    return ClusterUnreachable(kubeconfig.describe(config), f"HTTP {status}: {error}", remedy)


def _no_connection(config: SingleConfig, reason: str) -> ClusterUnreachable:
    if "CERTIFICATE" in reason.upper():
        remedy = "the kubeconfig is not this server's: fetch a fresh one"
        return ClusterUnreachable(kubeconfig.describe(config), reason, remedy)
    return _unreachable(config, reason)


def _unreachable(config: SingleConfig, reason: str) -> ClusterUnreachable:
    return ClusterUnreachable(
        kubeconfig.describe(config),
        reason,
        "start the cluster (the sandbox: `canary sandbox up`; minikube: `minikube start`), or name another context "
        "with istio-canary:cluster.context",
    )
