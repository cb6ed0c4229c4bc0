"""The proxies of a stack's namespaces by the revision of Istio that they belong to, for `canary status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.names import DEFAULT_REVISION

if TYPE_CHECKING:
    from lightkube import Client
    from rich.table import Table

    from kube.proxies import ProxyPod
    from stacks.settings.model import Settings

UNKNOWN = "-"


@dataclass(frozen=True)
class NamespaceProxies:
    """One namespace: the revision that the stack's file says, empty for a namespace that it does not name, and the
    numbers of proxies by revision. `releases` are the releases of Istio that the proxies of a revision have.
    """

    namespace: str
    wanted: str
    proxies: Mapping[str, int]
    releases: Mapping[str, tuple[str, ...]]

    @property
    def others(self) -> int:
        """The number of proxies that do not belong to the wanted revision."""
        return sum(count for name, count in self.proxies.items() if self.wanted and name != self.wanted)


def proxies_by_revision(client: Client, settings: Settings) -> tuple[NamespaceProxies, ...]:
    """Return the proxies of the whole cluster if the stack installs the mesh, else of its own namespaces.

    Namespaces whose pods may not be read are left out.
    """
    wanted = _wanted(settings)
    found = _found(client, None) if settings.mesh.install else None
    readable = set(wanted)
    if found is None:
        by_namespace = {name: _found(client, [name]) for name in wanted}
        readable = {name for name, pods in by_namespace.items() if pods is not None}
        found = [pod for pods in by_namespace.values() for pod in pods or ()]
    names = sorted({*(pod.namespace for pod in found), *readable})
    return tuple(_of(name, wanted.get(name, ""), [pod for pod in found if pod.namespace == name]) for name in names)


def _found(client: Client, namespaces: Sequence[str] | None) -> list[ProxyPod] | None:
    import httpx2

    from kube.proxies import proxies

    try:
        return proxies(client, namespaces)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != 403:
            raise
        return None


def _wanted(settings: Settings) -> dict[str, str]:
    """The revision of each namespace of the stack, and of the gateway's; tags are told as what they stand for."""
    from stacks.revisions import revision_of

    mesh = settings.mesh
    labels = {service.namespace: revision_of(settings, service.namespace) for service in settings.services.values()}
    labels.setdefault(mesh.gateway.namespace, mesh.gateway.revision or mesh.usual_revision)
    return {name: mesh.behind(label) for name, label in labels.items()}


def _of(name: str, wanted: str, pods: Sequence[ProxyPod]) -> NamespaceProxies:
    counts = dict(sorted(Counter(pod.revision for pod in pods).items()))
    releases = {one: tuple(sorted({pod.version for pod in pods if pod.revision == one})) for one in counts}
    return NamespaceProxies(name, wanted, counts, releases)


def has_revisions(found: Sequence[NamespaceProxies]) -> bool:
    """Whether there is more to say than that all proxies belong to Istio's `default`."""
    return any(one.wanted not in ("", DEFAULT_REVISION) or set(one.proxies) - {DEFAULT_REVISION} for one in found)


def table_of(found: Sequence[NamespaceProxies]) -> Table:
    """Return the table: a line for each namespace, a column for each revision."""
    from rich.table import Table

    table = Table(title="proxies by revision of Istio", title_justify="left")
    for head in ("namespace", "revision"):
        table.add_column(head)
    revisions = sorted({name for one in found for name in (*one.proxies, *filter(None, [one.wanted]))})
    for revision in revisions:
        releases = sorted({release for one in found for release in one.releases.get(revision, ())})
        table.add_column(f"{revision} ({', '.join(releases)})" if releases else revision, justify="right")
    for one in found:
        counts = [str(one.proxies.get(revision, 0)) for revision in revisions]
        table.add_row(one.namespace, one.wanted or UNKNOWN, *counts)
    return table


def remarks_on(found: Sequence[NamespaceProxies], stack: str) -> Iterator[str]:
    """Yield what is still to be moved, with the command that moves it."""
    for one in found:
        if one.others:
            total = sum(one.proxies.values())
            yield (
                f"{one.namespace}: {one.others} of {total} proxies do not belong to {one.wanted} yet; to move them: "
                f"`canary up --stack {stack}`"
            )
