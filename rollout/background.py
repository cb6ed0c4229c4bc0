"""What takes time beside a runner's loop: each named job in a thread of its own, with the result of the last one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

Job = Callable[[Callable[[], bool]], Any]
"""Gets `goes_on`, which says no when nobody waits for the result any more."""


@dataclass(frozen=True)
class Done:
    """The result of a job, and when it ended, by a clock that only grows."""

    value: Any
    at: float


class Background:
    """Jobs by name: of each name one at a time, and its last result. `wake` is set when one has ended.

    A job that raises has no result, and may be started again.
    """

    def __init__(self, wake: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Hashable] = {}
        self._done: dict[str, tuple[Hashable, Done]] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def start(self, name: str, key: Hashable, job: Job) -> None:
        """Start a job unless it runs already; one of the same name with another key is told to end, and forgotten."""
        with self._lock:
            if self._closed or self._running.get(name) == key:
                return
            self._running[name] = key
            thread = threading.Thread(target=self._run, args=(name, key, job), name=name, daemon=True)
            self._threads.add(thread)
            thread.start()

    def result(self, name: str, key: Hashable) -> Done | None:
        """Return the last result of the job with this key, None if there is none."""
        with self._lock:
            known, done = self._done.get(name, (None, None))
            return done if known == key else None

    def forget(self, name: str) -> None:
        """Drop the last result of a name."""
        with self._lock:
            self._done.pop(name, None)

    def runs(self, name: str) -> bool:
        """Return whether a job of this name runs."""
        with self._lock:
            return name in self._running

    def close(self, then: Callable[[], object] = lambda: None) -> None:
        """Tell all jobs to end, and call `then` once none runs any more; their threads do not keep the process.

        What jobs use must not be closed under them: the next connection that is opened in the process gets the number
        of the closed socket, and whoever still reads from that would take what is the other's.
        """
        with self._lock:
            self._closed = True
            self._running.clear()
            left = list(self._threads)
        if not left:
            then()
            return

        def after() -> None:
            for thread in left:
                thread.join()
            then()

        threading.Thread(target=after, name="end", daemon=True).start()

    def _run(self, name: str, key: Hashable, job: Job) -> None:
        def goes_on() -> bool:
            with self._lock:
                return self._running.get(name) == key

        value = None
        try:
            value = job(goes_on)
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost; the loop starts the job again
            # After the end, nobody waits for it: that is no news.
            level = logging.DEBUG if self._closed else logging.WARNING
            logger.log(level, "%s: %s: %s", name, type(error).__name__, error)
        with self._lock:
            self._threads.discard(threading.current_thread())
            if self._running.get(name) == key:
                del self._running[name]
                if value is not None:
                    self._done[name] = (key, Done(value, self._clock()))
            self._wake.set()
