"""What a stack needs to know about its cluster before it creates anything."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.names import BASE_RELEASE, OWNER_ANNOTATION
from kube.client import query
from kube.objects import FEW_NAMESPACES, custom_resource_definitions, find
from rollout.observed_routes import ObservedRoutes, observe, virtual_services_of
from rollout.plan import removed_in_use
from stacks.engine_needs import engine_problems
from stacks.gateway_api import MINIMUMS, has_minimums, ignored_kinds
from stacks.outside import foreign_objects, missing_versions
from stacks.revisions import HELM_RELEASE, crds_version, injection_labels, newest_version, removals_in_use
from stacks.rollout_fence import has_fence
from stacks.rollout_states import RolloutState, read_rollout_states, with_images
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError, key_path
from stacks.transitions import port_warnings
from stacks.with_rollouts import during_rollout, with_rollouts
from traffic.model import Target

if TYPE_CHECKING:
    from lightkube import Client

ISTIO_CRD = "peerauthentications.security.istio.io"
"""The smallest CRD of those that every Istio release has."""


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """The cluster's identity and current routes, and those of the stack's namespaces that it did not create.

    `uid` is the uid of the namespace kube-system, which exists as long as the cluster. `warnings` do not stop the run.
    `rollouts` are the states of the services' rollouts (`stacks.rollout_states`); `has_fence` whether there is an
    admission policy for them, or can be (`stacks.rollout_fence`). `crds_version` is the release of Istio that the
    cluster's CRDs come from, None if it is not known.
    """

    uid: str
    foreign_namespaces: frozenset[str] = frozenset()
    routes: ObservedRoutes = field(default_factory=ObservedRoutes)
    warnings: tuple[Problem, ...] = ()
    rollouts: Mapping[str, RolloutState] = field(default_factory=dict)
    has_fence: bool = False
    crds_version: str | None = None


NOT_CREATED = ClusterFacts(uid="")
"""The facts of a cluster that the stack has still to create."""

NOTHING_OBSERVED = ClusterFacts(uid="unknown")
"""The facts without a cluster: none of the namespaces exists, and no version gets requests yet."""


def namespaces_of(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the namespaces that a stack needs, each with its required labels."""
    mesh = settings.mesh
    namespaces: dict[str, dict[str, str]] = {}
    if mesh.install:
        namespaces |= {mesh.namespace: {}, mesh.gateway.namespace: {}}
    if settings.telemetry.creates_objects and settings.telemetry.namespace != mesh.namespace:
        namespaces[settings.telemetry.namespace] = {}
    gate = settings.gate_service
    if gate.enabled and gate.namespace != mesh.namespace:
        namespaces.setdefault(gate.namespace, {})
    if settings.rollout_runner.enabled:
        namespaces.setdefault(settings.rollout_runner.namespace, {})
    return namespaces | {
        service.namespace: injection_labels(settings, service.namespace) for service in settings.services.values()
    }


def read_cluster_facts(settings: Settings, owner: str) -> ClusterFacts:
    """Return the facts about the cluster; `owner` is `<project>/<stack>`.

    A cluster that the stack has still to create has none. Raises ClusterUnreachableError, after DEADLINE seconds at
    the latest. Raises SettingsError if the stack would install a second mesh, would remove a version that still gets
    requests, would send requests to a version that someone else has to deploy and that is not there, or does not fit
    to a rollout that is under way.
    """
    if settings.cluster.is_created and settings.cluster.late and settings.cluster.late.text() is None:
        return NOT_CREATED
    facts, file = query(settings.cluster, lambda client: _look(client, settings, owner)), stack_file(owner)
    effective = with_rollouts(settings, facts.rollouts, file, during=during_rollout.get())
    if effective.problems:
        raise SettingsError(effective.problems, file)
    refuse_removal_in_use(effective.settings, facts.routes, file, effective.leaving)
    return facts


def refuse_removal_in_use(
    settings: Settings, observed: ObservedRoutes, file: str, leaving: AbstractSet[Target] = frozenset()
) -> None:
    """Raise SettingsError if a version is removed to which the routes in the cluster still send requests.

    `leaving` lose them before anything is removed.
    """
    problems = [
        _in_use(settings, target, observed.shares[target])
        for target in removed_in_use(settings.services, observed)
        if target not in leaving
    ]
    if problems:
        raise SettingsError(problems, file)


def _look(client: Client, settings: Settings, owner: str) -> ClusterFacts:
    from lightkube.resources.core_v1 import Namespace

    system: Any = client.get(Namespace, "kube-system")
    found = _namespaces(client, Namespace, list(namespaces_of(settings)))
    crd = find(client, custom_resource_definitions(), ISTIO_CRD) if settings.mesh.install else None
    _refuse_second_mesh(crd, owner)
    virtual_services, file = virtual_services_of(client, settings.services), stack_file(owner)
    routes = observe(client, settings.services, settings.egress, virtual_services)
    problems = [*missing_versions(client, settings, file), *foreign_objects(settings, routes, file)]
    problems += engine_problems(client, settings, file)
    problems += removals_in_use(client, settings, file) if crd is not None else []
    if problems:
        raise SettingsError(problems, file)
    warnings = (*_warnings(client, settings, file), *port_warnings(settings, routes, file))
    rollouts = with_images(read_rollout_states(client, settings, virtual_services), routes.images)
    foreign = {name for name, namespace in found.items() if namespace and not _owned(namespace, owner)}
    return ClusterFacts(
        uid=system.metadata.uid,
        foreign_namespaces=frozenset(foreign),
        routes=routes,
        warnings=warnings,
        rollouts=rollouts,
        has_fence=has_fence(client, settings, owner, rollouts),
        crds_version=crds_version(crd),
    )


def _warnings(client: Client, settings: Settings, file: str) -> tuple[Problem, ...]:
    """CRDs that istiod ignores; only checked for a mesh of this stack, whose Istio release is known."""
    if not (settings.mesh.install and has_minimums(newest_version(settings.mesh))):
        return ()
    found = {name: find(client, custom_resource_definitions(), name) for name in MINIMUMS}
    crds = {name: _annotations(crd) for name, crd in found.items() if crd is not None}
    return ignored_kinds(newest_version(settings.mesh), crds, file)


def _namespaces(client: Client, kind: Any, names: list[str]) -> dict[str, Any]:
    """The namespaces by name, None for those that do not exist; many are read with a single list request."""
    if len(names) <= FEW_NAMESPACES:
        return {name: find(client, kind, name) for name in names}
    existing = {namespace.metadata.name: namespace for namespace in client.list(kind)}
    return {name: existing.get(name) for name in names}


def _owned(namespace: Any, owner: str) -> bool:
    return _annotations(namespace).get(OWNER_ANNOTATION) == owner


def _annotations(resource: Any) -> dict[str, str]:
    return resource.metadata.annotations or {}


def _refuse_second_mesh(crd: Any, owner: str) -> None:
    """Helm would refuse it, too, but only after the first namespaces were created."""
    if crd is None or _annotations(crd).get(HELM_RELEASE) == BASE_RELEASE:
        return
    release = _annotations(crd).get(HELM_RELEASE)
    problem = Problem(
        path="istio-canary:mesh.install",
        what="the cluster already has Istio's CRDs" + (f", from the Helm release {release}" if release else ""),
        given="true",
        allowed="true for a cluster without Istio, false to use the existing mesh",
        fix="set istio-canary:mesh.install to false; or, if that mesh is uninstalled, delete what it left behind. "
        "Deleting a CRD deletes all objects of its kind, so list them first: kubectl get istio-io --all-namespaces; "
        r"then kubectl get crd -o name | grep '\.istio\.io$' | xargs kubectl delete",
    )
    raise SettingsError([problem], stack_file(owner))


def _in_use(settings: Settings, target: Target, share: str) -> Problem:
    version = target.version
    return Problem(
        path=key_path(("services", target.service, "versions", version)),
        what=f"{version} is removed while the cluster still routes requests to it ({share})",
        given=f"the versions {', '.join(settings.services[target.service].versions)}",
        allowed="removing a version that no route sends requests to",
        fix=f"restore {version} and route its share elsewhere (weight `{version}: 0`, and no mirror to it), "
        "run `canary up`, then remove it",
    )


def stack_file(owner: str) -> str:
    """Return the name of the stack's file; `owner` is `<project>/<stack>`."""
    return f"Pulumi.{owner.rpartition('/')[2]}.yaml"
