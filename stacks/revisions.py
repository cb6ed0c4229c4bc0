"""Istio's revisions: which one each namespace belongs to, and what must be so before one is taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.names import (
    BASE_RELEASE,
    DEFAULT_REVISION,
    INJECTION,
    REVISION,
    injected_by,
    istiod_release,
    of_revision,
)
from kube.proxies import proxies
from stacks.settings.problems import Problem, key_path
from traffic.releases import release_number

if TYPE_CHECKING:
    from lightkube import Client

    from stacks.settings.mesh import MeshSettings
    from stacks.settings.model import Settings

HELM_RELEASE = "meta.helm.sh/release-name"
VERSION_LABEL = "app.kubernetes.io/version"
TAG = "istio.io/tag"
ISTIOD: dict[str, Any] = {"app": "istiod"}
MOST_NAMESPACES = 10


def revision_of(settings: Settings, namespace: str) -> str:
    """Return the revision or tag that a namespace of the stack's services is labelled with."""
    given = settings.namespaces.get(namespace)
    return (given.revision if given else None) or settings.mesh.usual_revision


def injection_labels(settings: Settings, namespace: str) -> dict[str, str]:
    """Return the label of a namespace of the stack's services."""
    return injected_by(revision_of(settings, namespace))


def revision_annotation(settings: Settings, namespace: str) -> dict[str, str]:
    """Return the annotation of a namespace's pods, which are replaced when it changes."""
    return of_revision(settings.mesh.behind(revision_of(settings, namespace)))


def newest_version(mesh: MeshSettings) -> str:
    """Return the newest release of the mesh's revisions, whose CRDs the cluster gets."""
    return max((one.version or mesh.version for one in mesh.all_revisions.values()), key=release_number)


def crds_version(crd: Any) -> str | None:
    """Return the release of Istio that a CRD in the cluster comes from, None if it is not of this project's mesh."""
    if crd is None or (crd.metadata.annotations or {}).get(HELM_RELEASE) != BASE_RELEASE:
        return None
    version: str | None = (crd.metadata.labels or {}).get(VERSION_LABEL)
    return version


def keeps_crds(mesh: MeshSettings, in_cluster: str | None) -> bool:
    """Whether the cluster's CRDs are newer than all revisions: those of an older release may drop fields in use."""
    return in_cluster is not None and release_number(in_cluster) > release_number(newest_version(mesh))


def removals_in_use(client: Client, settings: Settings, file: str) -> list[Problem]:
    """Return the problems of revisions and tags that the stack takes away while something in the cluster needs them.

    Of a revision, its proxies would get no more changes, and its namespaces' new pods no proxy. Who may not read this,
    may preview the stack, but not install a mesh.
    """
    import httpx2

    try:
        removed = _removed(client, settings)
        tags = _removed_tags(client, settings, removed)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != 403:
            raise
        return []
    return _in_use(client, settings, removed, tags, file) if removed or tags else []


def _in_use(client: Client, settings: Settings, removed: list[str], tags: list[str], file: str) -> list[Problem]:
    namespaces = _labelled(client, settings)
    found = proxies(client) if removed else []
    problems = []
    for revision in removed:
        pods = Counter(one.namespace for one in found if one.revision == revision)
        without_pods = [name for name in namespaces.get(revision, ()) if name not in pods]
        if pods or without_pods:
            problems.append(_revision_in_use(settings, revision, pods, without_pods, file))
    return problems + [_tag_in_use(settings, tag, namespaces[tag], file) for tag in tags if tag in namespaces]


def _removed(client: Client, settings: Settings) -> list[str]:
    """The revisions in the cluster that are Helm releases of the stack, and no longer in its file."""
    from lightkube.resources.apps_v1 import Deployment

    found: list[Any] = list(client.list(Deployment, namespace=settings.mesh.namespace, labels=ISTIOD))
    revisions = {(one.metadata.labels or {}).get(REVISION, DEFAULT_REVISION): one for one in found}
    return sorted(
        name
        for name, one in revisions.items()
        if name not in settings.mesh.all_revisions
        and (one.metadata.annotations or {}).get(HELM_RELEASE) == istiod_release(name)
    )


def _removed_tags(client: Client, settings: Settings, removed: Iterable[str]) -> list[str]:
    """The tags in the cluster that are no longer in the stack's file; others' are for revisions that it has not."""
    from lightkube.models.admissionregistration_v1 import MutatingWebhookConfiguration as Model
    from lightkube.resources.admissionregistration_v1 import MutatingWebhookConfiguration

    known = {*settings.mesh.all_revisions, *removed}
    found: Iterable[Model] = client.list(MutatingWebhookConfiguration, labels={"app": "sidecar-injector"})
    labels = [dict(one.metadata.labels or {}) for one in found if one.metadata]
    tags = {one[TAG] for one in labels if TAG in one and one.get(REVISION) in known}
    return sorted(tags - settings.mesh.tags.keys())


def _labelled(client: Client, settings: Settings) -> Mapping[str, list[str]]:
    """The namespaces by the revision or tag that they are labelled with; the stack changes the labels of its own."""
    from lightkube.resources.core_v1 import Namespace

    own = {service.namespace for service in settings.services.values()}
    found: dict[str, list[str]] = {}
    namespaces: list[Any] = list(client.list(Namespace))
    for namespace in namespaces:
        labels = namespace.metadata.labels or {}
        by_default = DEFAULT_REVISION if INJECTION.items() <= labels.items() else None
        name = by_default or labels.get(REVISION)
        if name is not None and namespace.metadata.name not in own:
            found.setdefault(name, []).append(namespace.metadata.name)
    if DEFAULT_REVISION in settings.mesh.tags:
        found.pop(DEFAULT_REVISION, None)  # the tag takes them over
    return found


def _revision_in_use(
    settings: Settings, revision: str, pods: Mapping[str, int], without_pods: list[str], file: str
) -> Problem:
    mesh = settings.mesh
    uses = [f"{_counted(sum(pods.values()))} in {_listed(pods)}"] if pods else []
    uses += [f"the label of {_listed(without_pods)}"] if without_pods else []
    other = mesh.usual_revision
    return Problem(
        path=key_path(("mesh", "revisions")),
        what=f"the revision {revision} is taken away while it is in use: {' and '.join(uses)}",
        given=f"the revisions {', '.join(mesh.all_revisions)}",
        allowed="taking away a revision that no proxy and no namespace belongs to",
        fix=f"put {revision} back, and run `canary up`; then move what is left: {_moves(settings, pods, other)}; "
        f"when `canary status` shows no proxy of {revision}, take it away",
        file=file,
    )


def _moves(settings: Settings, pods: Mapping[str, int], other: str) -> str:
    own = {service.namespace for service in settings.services.values()}
    gateway = settings.mesh.gateway.namespace
    told = [f"write revision: {other} in {key_path(('namespaces', name))}" for name in pods if name in own]
    told += [f"write revision: {other} in {key_path(('mesh', 'gateway'))}"] if gateway in pods else []
    if not told or any(name not in own and name != gateway for name in pods):
        relabel = f"kubectl label namespace NAME {REVISION}={other} --overwrite"
        told.append(f"for namespaces of others, {relabel}, and restart their pods")
    return "; ".join(dict.fromkeys(told))


def _tag_in_use(settings: Settings, tag: str, namespaces: list[str], file: str) -> Problem:
    return Problem(
        path=key_path(("mesh", "tags")),
        what=f"the tag {tag} is taken away while namespaces are labelled with it, whose new pods would get no proxy: "
        f"{_listed(namespaces)}",
        given=f"the tags {', '.join(settings.mesh.tags) or 'none'}",
        allowed="taking away a tag that no namespace has",
        fix=f"put {tag} back; or label the namespaces with a revision, such as "
        f"kubectl label namespace {namespaces[0]} {REVISION}={settings.mesh.usual_revision} --overwrite",
        file=file,
    )


def _counted(number: int) -> str:
    return "1 proxy" if number == 1 else f"{number} proxies"


def _listed(namespaces: Iterable[str]) -> str:
    return ", ".join(_few(namespaces))


def _few(namespaces: Iterable[str]) -> Iterator[str]:
    """Each namespace, with its pods if they are counted; of many, the first."""
    counts = namespaces if isinstance(namespaces, Mapping) else {}
    names = sorted(namespaces)
    yield from (f"{name} ({counts[name]})" if name in counts else name for name in names[:MOST_NAMESPACES])
    if len(names) > MOST_NAMESPACES:
        yield f"and {len(names) - MOST_NAMESPACES} more"
