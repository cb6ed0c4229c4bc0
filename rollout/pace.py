"""When a run takes its next turn, and when it has none left: for one service, and for a group."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from kube.conflicts import ConflictError
from kube.server_clock import ServerTimeUnknownError
from rollout.acting import NotCarriedOutError
from rollout.decision import Decision
from rollout.lease import SECONDS
from rollout.record import Phase
from rollout.routes import RouteRefusedError, VirtualServiceGoneError
from rollout.stored_routes import StoredRoutesError

logger = logging.getLogger(__name__)

Why = Literal["completed", "aborted", "held", "stopped", "lost"]
"""Why a run has ended; see `rollout.runner.RunEnd`."""
ENDS: dict[Phase, Why] = {
    Phase.COMPLETED: "completed",
    Phase.CLOSED: "completed",
    Phase.ABORTED: "aborted",
    Phase.UNDONE: "aborted",
}
LOOK_EVERY = 0.5
"""Seconds between two looks at most: pods that are gone must be seen soon."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds until the next try after a failure: doubled each time, from the first to the longest."""
CONFLICTS_AT_ONCE = 3
"""After so many writes of others in a row, a run pauses before the next try."""
FLUSH_SECONDS = 10.0
"""How long the end of a run waits for the receivers of events; a later run sends what is left."""
BESIDE_SECONDS = 3.0
"""How long the end of a run waits for its log."""
FREE_SECONDS = SECONDS + 2.0
"""How long a run that takes one look waits for the Lease of a holder who may be dead: nobody else would find out."""
ONCE = "start --once"
"""Holder of a record that jobs move which take one look each: they are many, and none of them is lost."""


class Taken(Protocol):
    """A turn that was taken."""

    @property
    def acted(self) -> bool:
        """Whether another look is useful at once."""

    @property
    def wait_seconds(self) -> float | None:
        """How long nothing is due; None if only the cluster can change that."""


T = TypeVar("T", bound=Taken)


class Pace:
    """The time of a run. `wake` ends a pause, `stop` the run, as does the end of `timeout` seconds or a lost Lease."""

    def __init__(
        self, wake: threading.Event, stop: threading.Event, timeout: float | None, is_lost: Callable[[], bool]
    ) -> None:
        self._wake, self._stop, self._is_lost = wake, stop, is_lost
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def until(self, take: Callable[[], T], ends: Callable[[T], Why | None]) -> tuple[T | None, Why]:
        """Take turns until `ends` names an end, or there is another one; return the last turn, and why it ended.

        A turn may fail as `is_survived` says, again and again: it is tried later and later.
        """
        failures, last = 0, None
        while (why := self.end()) is None:
            try:
                turn = take()
            except Exception as error:
                if not is_survived(error):
                    raise
                failures += 1
                self._after(error, failures)
                continue
            failures, last = 0, turn
            why = ends(turn)
            if why is not None:
                break
            if not turn.acted:
                self.wait(turn.wait_seconds)
        return last, why

    def end(self) -> Why | None:
        """Return why no further turn is taken, whatever the rollout is; None if one is."""
        if self._stop.is_set():
            return "stopped"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "held"
        return "lost" if self._is_lost() else None

    def wait_until(self, is_true: Callable[[], bool], seconds: float) -> None:
        """Wait until something is true, or the run ends, for at most so long."""
        begun = time.monotonic()
        while self.end() is None and not is_true() and time.monotonic() - begun < seconds:
            self.wait(None)

    def wait(self, seconds: float | None) -> None:
        """Wait until something wakes the run, at most so long, and never longer than it may look away."""
        left = LOOK_EVERY if seconds is None else min(seconds, LOOK_EVERY)
        self._wake.wait(max(left, 0.01))
        self._wake.clear()

    def _after(self, error: Exception, failures: int) -> None:
        """Others were faster: at once, but not for ever. No good answer: later and later."""
        if isinstance(error, ConflictError) and failures <= CONFLICTS_AT_ONCE:
            return
        logger.warning("%s: %s", type(error).__name__, error)
        self.wait(min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE))


def waits_beside(decision: Decision) -> bool:
    """Whether something is asked beside the loop whose answer comes soon."""
    return decision.barrier or decision.numbers or (decision.hook is not None and decision.wait_seconds == 0.0)


def is_survived(error: Exception) -> bool:
    """Whether a run goes on after this: nobody answers, others were faster, or what is missing may come back."""
    import httpx2

    return isinstance(
        error,
        (
            httpx2.HTTPError,
            OSError,
            TimeoutError,
            ConflictError,
            NotCarriedOutError,
            ServerTimeUnknownError,
            VirtualServiceGoneError,
            RouteRefusedError,
            StoredRoutesError,
        ),
    )
