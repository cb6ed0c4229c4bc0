"""Looks at the canaries of some namespaces again and again, so that every question has its answer at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rollout.engines.target import KEY, LABEL, EngineTarget, TargetError
from rollout.gate_service.following import Seen, look
from rollout.gate_service.judging import GateAnswer, ServiceGate
from rollout.gating_facts import ReadGates

if TYPE_CHECKING:
    from lightkube import Client

    from kube.kubeconfig import ClusterAccess

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the weights."""
HEALTHY = 10.0
"""Seconds after which a cluster that does not answer is no longer one that does."""

Looks = Callable[[Sequence[str]], list[tuple[EngineTarget, Seen]]]
"""All targets in some namespaces with their weights; raises whatever reading them raises."""


class Canaries:
    """The gates of the canaries in `namespaces`. `reader` makes what reads the gates of one service."""

    def __init__(
        self,
        namespaces: Sequence[str],
        looks: Looks,
        reader: Callable[[], ReadGates],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._namespaces, self._looks, self._reader, self._clock = namespaces, looks, reader, clock
        self._gates: Mapping[tuple[str, str], ServiceGate] = {}
        self._seen_at: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether the cluster was seen lately."""
        return self._seen_at is not None and self._clock() - self._seen_at <= HEALTHY

    def answer(self, namespace: str, service: str) -> GateAnswer | None:
        """Return the last answer for a service, None if none is known; it never waits."""
        gate = self._gates.get((namespace, service))
        return None if gate is None else gate.answer

    def look(self) -> None:
        """Look once at all canaries; an error is logged, and makes the answers old."""
        try:
            found = self._looks(self._namespaces)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answers grow old and hold
            logger.warning("the canaries cannot be read: %s", " ".join(str(error).split()))
            return
        gates = {}
        for target, seen in found:
            key = (target.namespace, target.service)
            gate = self._gates.get(key)
            if gate is None or gate.target != target:
                gate = ServiceGate(target, self._reader(), self._clock)
            before, now = gate.answer, gate.look(seen)
            if (before.answer, before.step) != (now.answer, now.step):
                logger.info("%s/%s: %s, e = %.3g: %s", *key, now.answer.value, now.e, now.reason)
            gates[key] = gate
        self._gates, self._seen_at = gates, self._clock()

    def run(self, ended: threading.Event) -> None:
        """Look until `ended` is set."""
        while not ended.is_set():
            self.look()
            ended.wait(EVERY)


def looks_at(cluster: ClusterAccess) -> Looks:
    """Return what reads targets and weights from a cluster, in a few short requests."""

    def read(namespaces: Sequence[str]) -> list[tuple[EngineTarget, Seen]]:
        from kube.client import query

        return query(cluster, lambda client: _read(client, namespaces))

    return read


def _read(client: Client, namespaces: Sequence[str]) -> list[tuple[EngineTarget, Seen]]:
    from lightkube.resources.core_v1 import ConfigMap

    from kube.objects import find_object
    from kube.server_clock import ServerClock
    from rollout.observed_routes import ISTIO_API

    clock = ServerClock.of(client)
    found: list[tuple[EngineTarget, Seen]] = []
    for namespace in namespaces:
        listed: Sequence[Any] = list(client.list(ConfigMap, namespace=namespace, labels={LABEL: None}))
        for config in listed:
            try:
                target = EngineTarget.from_json((config.data or {}).get(KEY, ""))
            except TargetError as error:
                logger.warning("ConfigMap %s/%s: %s", namespace, config.metadata.name, error)
                continue
            routes = [
                one
                for name in target.virtual_services
                if (one := find_object(client, ISTIO_API, "VirtualService", namespace, name)) is not None
            ]
            found.append((target, look(routes, target, clock.of_last_answer())))
    return found
