"""What the cluster knows of the rollouts of a stack's services: their records, and the routes as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollout.routes import RouteInCluster
from rollout.store import Stored
from stacks.settings.model import Settings

if TYPE_CHECKING:
    from lightkube import Client


@dataclass(frozen=True, kw_only=True)
class RolloutState:
    """The state of one service's rollout in the cluster.

    `stored` is its record, None if there is none; `unreadable` says why it cannot be read, with the fix. `now` is where
    the requests of each rule go, in percent by rule key and version (`rollout.live_weights`), empty before the first
    `up`. `routes` are the service's VirtualServices by name, read before the record, and `http_owner` the field manager
    that owns their http routes: of several, one that is not Pulumi's.
    """

    stored: Stored | None = None
    unreadable: str | None = None
    now: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    http_owner: str | None = None
    routes: Mapping[str, RouteInCluster] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    """The image that a version's Deployment has, by version."""


def read_rollout_states(
    client: Client, settings: Settings, virtual_services: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, RolloutState]:
    """Return the state of each service that has a rollout in its settings, a record, or routes by a rollout.

    `virtual_services` are those in the stack's namespaces, if they have been read already: before the records, so that
    no record is older than its routes. A record that may not be read is `unreadable`, not an error. Otherwise raises
    what `kube.client.query` explains.
    """
    raise NotImplementedError
