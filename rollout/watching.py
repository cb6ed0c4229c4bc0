"""Wakes a runner when somebody else writes the record (Kubernetes: "Efficient detection of changes").

A help only: a runner that is not woken looks again soon.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kube.client import FORBIDDEN

if TYPE_CHECKING:
    from lightkube import Client

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
SERVER_SECONDS = 240
"""After which the API server ends a watch, which is then begun again."""


class RecordWatch:
    """Calls `changed` at each write of a ConfigMap, in a daemon thread, until it is closed."""

    def __init__(self, connect: Callable[[], Client], namespace: str, name: str, changed: Callable[[], object]) -> None:
        self._connect = connect
        self._namespace = namespace
        self._name = name
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End it; its thread does not keep the process."""
        self._stop.set()

    def watch_once(self, client: Client) -> None:
        """Watch until the API server ends it, or fails."""
        from lightkube.resources.core_v1 import ConfigMap

        fields: dict[str, Any] = {"metadata.name": self._name}
        for _ in client.watch(ConfigMap, namespace=self._namespace, fields=fields, server_timeout=SERVER_SECONDS):
            if self._stop.is_set():
                return
            self._changed()

    def _run(self) -> None:
        import httpx2

        while not self._stop.is_set():
            try:
                with self._connect() as client:
                    self.watch_once(client)
            except httpx2.HTTPStatusError as error:
                # An error within a watch ("too old resource version") has no response of its own.
                answer: httpx2.Response | None = error.response
                if answer is not None and answer.status_code == 403 and FORBIDDEN.search(str(error)):
                    logger.info("no right to watch configmaps: the record is looked at every now and then")
                    return
            except Exception as error:  # noqa: BLE001 - a broken connection, or an answer that is none: begun again
                logger.info("the watch of the record: %s: %s", type(error).__name__, error)
            self._stop.wait(AGAIN_SECONDS)
