"""Who moves a rollout forward: the holder of a Lease (Kubernetes: "Leases"; client-go: `leaderelection`).

The Lease saves work; it is not what keeps a rollout safe. Two who both think they hold it write the same record, by
compare-and-swap, so that one of them is refused. Going back needs no Lease.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any

from kube.conflicts import CONFLICT, NOT_FOUND, ConflictError, conflicts
from kube.objects import find
from kube.server_clock import ServerClock
from rollout.record import FIELD_MANAGER
from rollout.store import LABEL, name_of

if TYPE_CHECKING:
    from lightkube import Client

SECONDS = 15
"""How long a Lease counts after its last renewal."""
RENEW_SECONDS = 5.0
"""How often its holder renews it."""


def new_holder() -> str:
    """Return a name for this process that no other has: `<host>/<pid>/<uuid>`."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"


class Lease:
    """The Lease `istio-canary-rollout-<service>`, as `holder` sees it.

    Somebody else's Lease is taken over once its renewTime has not moved for the seconds that the Lease states, by the
    clock of this process: no two machines need the same time. `clock` returns seconds that only grow.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        service: str,
        holder: str,
        *,
        seconds: int = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._server = ServerClock.of(client)
        self._clock = clock
        self._namespace = namespace
        self._service = service
        self._name = name_of(service)
        self._holder = holder
        self._seconds = seconds
        self._renewed_at: float | None = None
        """When the last renewal that succeeded was begun: the API server cannot have counted from earlier."""
        self._seen: tuple[object, float] = (None, 0.0)
        """Holder and renewTime of somebody else's Lease, and when they were first seen."""
        self.others_live = False
        """Whether somebody else's Lease was seen to be renewed, or taken."""

    @property
    def held(self) -> bool:
        """Whether this holder's last renewal still counts. A holder that slept longer must acquire the Lease again."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._seconds

    @property
    def due(self) -> bool:
        """Whether it is time to renew."""
        return self._renewed_at is None or self._clock() - self._renewed_at >= min(RENEW_SECONDS, self._seconds / 3)

    def acquire(self) -> bool:
        """Try to take the Lease, without waiting, and return whether this holder has it; call again until it does."""
        from lightkube.resources.coordination_v1 import Lease as Resource

        found = self._find()
        if found is None:
            metadata = {"name": self._name, "namespace": self._namespace, "labels": {LABEL: self._service}}
            created: Any = Resource.from_dict({"metadata": metadata})
            try:
                with conflicts("the Lease"):
                    found = self._client.create(created, field_manager=FIELD_MANAGER)
            except ConflictError:
                return False
        return self._may_take(found) and self._take(found)

    def renew(self) -> bool:
        """Renew the Lease and return whether this holder still has it; one that others have is not taken back."""
        found = self._find()
        if found is None or self._owner(found) != self._holder:
            self._renewed_at = None
            return False
        return self._take(found)

    def release(self) -> None:
        """Give the Lease up, so that the next one need not wait; nothing happens if others have it."""
        self._renewed_at = None
        found = self._find()
        if found is None or self._owner(found) != self._holder:
            return
        try:
            self._patch(found, {"holderIdentity": None})
        except ConflictError:
            return  # somebody has taken it already

    def holder(self) -> str | None:
        """Return who has the Lease, None if nobody does. Whether they still live shows only with time."""
        found = self._find()
        return None if found is None else self._owner(found)

    def _may_take(self, found: Any) -> bool:
        owner = self._owner(found)
        if owner is None or owner == self._holder:
            return True
        observed = (owner, found.spec.renewTime)
        if observed != self._seen[0]:
            self.others_live = self._seen[0] is not None
            self._seen = (observed, self._clock())
        return self._clock() - self._seen[1] >= (found.spec.leaseDurationSeconds or self._seconds)

    def _take(self, found: Any) -> bool:
        begun, owner = self._clock(), self._owner(found)
        now = self._server.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # MicroTime asks for all 6 digits
        spec: dict[str, Any] = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._seconds,
            "renewTime": now,
        }
        if owner != self._holder:
            transitions = found.spec.leaseTransitions if found.spec is not None else None
            spec |= {"acquireTime": now, "leaseTransitions": (transitions or 0) + 1}
        try:
            self._patch(found, spec)
        except ConflictError:
            return False
        self._renewed_at = begun
        return True

    def _patch(self, found: Any, spec: dict[str, Any]) -> None:
        from lightkube.resources.coordination_v1 import Lease as Resource
        from lightkube.types import PatchType

        with conflicts("the Lease", CONFLICT, NOT_FOUND):
            self._client.patch(
                Resource,
                self._name,
                {"metadata": {"resourceVersion": found.metadata.resourceVersion}, "spec": spec},
                namespace=self._namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )

    def _find(self) -> Any:
        from lightkube.resources.coordination_v1 import Lease as Resource

        return find(self._client, Resource, self._name, self._namespace)

    @staticmethod
    def _owner(found: Any) -> str | None:
        return (found.spec.holderIdentity or None) if found.spec is not None else None
