"""The API server's clock, from the Date header of its answers: one clock for all machines that use the cluster."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client


CLOCK_SET = 5.0
"""Seconds by which an answer must be behind what was expected until the server's clock counts as set back."""


class ServerTimeUnknownError(Exception):
    """No answer of the API server had a Date header, so that nothing can be said of its clock."""


class ServerClock:
    """The clock of the API server that a client speaks to, as its last answer told it (RFC 9110, section 6.6.1).

    It is exact to a second, as the header is.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._zero: datetime | None = None
        """The server's time when this machine's monotonic clock was 0, as late as the answers allow."""

    @classmethod
    def of(cls, client: Client) -> ServerClock:
        """Return the clock of a client: the same one for every call."""
        # lightkube hands out objects without their headers; it keeps the HTTP client to itself.
        hooks = client._client._client.event_hooks["response"]
        clock = next((hook for hook in hooks if isinstance(hook, cls)), None)
        if clock is None:
            clock = cls()
            hooks.append(clock)
        return clock

    def __call__(self, response: Any) -> None:
        """Take the time of an answer."""
        date = response.headers.get("Date")
        if date is not None:
            self._last = (parsedate_to_datetime(date), time.monotonic())
            zero = self._last[0] - timedelta(seconds=self._last[1])
            # The header is cut to a second, so that it is never ahead; one far behind tells that the clock was set.
            if self._zero is None or not timedelta(0) < self._zero - zero < timedelta(seconds=CLOCK_SET):
                self._zero = zero

    def of_last_answer(self) -> str:
        """Return the time of the last answer in RFC 3339's form; raises ServerTimeUnknownError."""
        return self._known()[0].isoformat(timespec="seconds")

    def now(self) -> datetime:
        """Return the time of the last answer and what has passed since; raises ServerTimeUnknownError."""
        answered, at = self._known()
        return answered + timedelta(seconds=time.monotonic() - at)

    def estimate(self) -> str:
        """Return the time now in RFC 3339's form, to milliseconds once some answers have come.

        A second that begins between two answers tells how much the header had cut. Raises ServerTimeUnknownError.
        """
        self._known()
        assert self._zero is not None
        return (self._zero + timedelta(seconds=time.monotonic())).isoformat(timespec="milliseconds")

    def _known(self) -> tuple[datetime, float]:
        if self._last is None:
            raise ServerTimeUnknownError(
                "the API server's answers have no Date header\n"
                "    fix:  let the proxy in front of the API server pass the header Date"
            )
        return self._last
