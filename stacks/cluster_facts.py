"""What a stack has to know of its cluster before it builds anything there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.names import BASE_RELEASE, INJECTION, OWNER_ANNOTATION
from kube.client import asking
from kube.objects import FEW_NAMESPACES, custom_resource_definitions, find
from rollout.observed_routes import ObservedRoutes, observe
from rollout.plan import lost_versions
from stacks.gateway_api import MINIMUMS, has_minimums, ignored_kinds
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError, key_path
from traffic.model import Target

if TYPE_CHECKING:
    from lightkube import Client

ISTIO_CRD = "peerauthentications.security.istio.io"
"""The smallest of those that every Istio brings."""
HELM_RELEASE = "meta.helm.sh/release-name"


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What was found: the cluster's identity, which of the stack's namespaces belong to somebody else, its routes.

    `uid` is that of the namespace kube-system, which lives as long as the cluster does. `warnings` stop nothing.
    """

    uid: str
    foreign_namespaces: frozenset[str] = frozenset()
    routes: ObservedRoutes = field(default_factory=ObservedRoutes)
    warnings: tuple[Problem, ...] = ()


def namespaces_of(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the namespaces that a stack needs, each with the labels it must have."""
    mesh = settings.mesh
    namespaces: dict[str, dict[str, str]] = {}
    if mesh.install:
        namespaces |= {mesh.namespace: {}, mesh.gateway.namespace: {}}
    return namespaces | {service.namespace: dict(INJECTION) for service in settings.services.values()}


def look_at_cluster(settings: Settings, owner: str) -> ClusterFacts:
    """Return what the cluster says of itself, of the stack's namespaces and routes; `owner` is `<project>/<stack>`.

    Takes some milliseconds, or at most DEADLINE seconds where the cluster does not answer. Raises
    ClusterUnreachableError, and SettingsError where a mesh is to be installed beside one that is there already, or a
    version is to be taken away that still gets requests.
    """
    facts = asking(settings.cluster, lambda client: _look(client, settings, owner))
    refuse_loss(settings, facts.routes, _stack_file(owner))
    return facts


def refuse_loss(settings: Settings, observed: ObservedRoutes, file: str) -> None:
    """Raise SettingsError if a version is taken away that the routes in the cluster still send requests to."""
    problems = [_lost(settings, lost, observed.shares[lost]) for lost in lost_versions(settings.services, observed)]
    if problems:
        raise SettingsError(problems, file)


def _look(client: Client, settings: Settings, owner: str) -> ClusterFacts:
    from lightkube.resources.core_v1 import Namespace

    system: Any = client.get(Namespace, "kube-system")
    found = _namespaces(client, Namespace, list(namespaces_of(settings)))
    if settings.mesh.install:
        _refuse_second_mesh(find(client, custom_resource_definitions(), ISTIO_CRD), owner)
    warnings = _warnings(client, settings, _stack_file(owner))
    foreign = {name for name, namespace in found.items() if namespace and not _owned(namespace, owner)}
    return ClusterFacts(
        uid=system.metadata.uid,
        foreign_namespaces=frozenset(foreign),
        routes=observe(client, settings.services),
        warnings=warnings,
    )


def _warnings(client: Client, settings: Settings, file: str) -> tuple[Problem, ...]:
    """What a run goes on with; the release of somebody else's mesh is not known."""
    if not (settings.mesh.install and has_minimums(settings.mesh.version)):
        return ()
    found = {name: find(client, custom_resource_definitions(), name) for name in MINIMUMS}
    crds = {name: _annotations(crd) for name, crd in found.items() if crd is not None}
    return ignored_kinds(settings.mesh.version, crds, file)


def _namespaces(client: Client, kind: Any, names: list[str]) -> dict[str, Any]:
    """The namespaces of these names, None for those that are not there; many are listed, since each is a request."""
    if len(names) <= FEW_NAMESPACES:
        return {name: find(client, kind, name) for name in names}
    there = {namespace.metadata.name: namespace for namespace in client.list(kind)}
    return {name: there.get(name) for name in names}


def _owned(namespace: Any, owner: str) -> bool:
    return _annotations(namespace).get(OWNER_ANNOTATION) == owner


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
        fix="set istio-canary:mesh.install to false; or, if that mesh is gone for good, delete what it left: "
        "kubectl get crd -o name | grep istio.io | xargs kubectl delete",
    )
    raise SettingsError([problem], _stack_file(owner))


def _lost(settings: Settings, lost: Target, share: str) -> Problem:
    versions = settings.services[lost.service].versions
    return Problem(
        path=key_path(("services", lost.service, "versions", lost.version)),
        what=f"{lost.version} is taken away while the cluster still sends it requests ({share})",
        given=f"the versions {', '.join(versions)}",
        allowed="a version is taken away once no route sends it anything",
        fix=f"put {lost.version} back, send its share elsewhere (in weights: `{lost.version}: 0`; no mirror to it), "
        "`canary up`, and take it away after that",
    )


def _stack_file(owner: str) -> str:
    return f"Pulumi.{owner.rpartition('/')[2]}.yaml"
