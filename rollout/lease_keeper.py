"""Keeps a Lease in a thread of its own: whatever else takes time, it is renewed."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from kube.server_clock import ServerTimeUnknownError
from rollout.lease import RENEW_SECONDS, Lease

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

TRY_SECONDS = 1.0
"""How often it tries to get a Lease that it does not have, or whose renewal failed."""
STOP_SECONDS = 5.0


class LeaseKeeper:
    """Acquires a Lease and renews it. `changed` is called when it was got or lost."""

    def __init__(self, lease: Lease, holder: str, changed: Callable[[], object] = lambda: None) -> None:
        self._lease = lease
        self._holder = holder
        self._changed = changed
        self._had = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.lost = False
        """Whether somebody else has taken the Lease that this holder had."""

    @property
    def held(self) -> bool:
        """Whether the last renewal still counts."""
        return self._lease.held and not self.lost

    @property
    def is_decided(self) -> bool:
        """Whether it is known if the Lease can be had: it is held, or its holder lives."""
        return self.held or self.lost or self._lease.others_live

    def start(self) -> None:
        """Try to get the Lease, and go on trying or renewing it."""
        self.turn()
        self._thread.start()

    def stop(self) -> bool:
        """Give the Lease up, if the API server answers; else it runs out by itself.

        Return whether its connection may be closed: not while the thread still waits for an answer.
        """
        import httpx2

        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            return False
        try:
            self._lease.release()
        except (httpx2.HTTPError, OSError) as error:
            logger.warning("the Lease is not given up, and runs out: %s", error)
        return True

    def turn(self) -> None:
        """Renew the Lease, or try to get it. Errors of the API server leave it as it is."""
        import httpx2

        before = self.held
        try:
            has_it = (self._lease.held and self._lease.renew()) or self._lease.acquire()
            # Not got is not lost: somebody may have put a label on it in between.
            self.lost = self._had and not has_it and self._lease.holder() not in (None, self._holder)
            self._had = self._had or has_it
        except (httpx2.HTTPError, OSError, ServerTimeUnknownError) as error:
            logger.warning("the Lease: %s: %s", type(error).__name__, error)
        if before != self.held:
            self._changed()

    def _run(self) -> None:
        while not self._stop.wait(TRY_SECONDS if not self._lease.held or self._lease.due else RENEW_SECONDS):
            self.turn()
