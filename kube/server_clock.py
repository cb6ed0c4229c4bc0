"""The API server's clock, from the Date header of its answers: one clock for all machines that use the cluster."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client


class ServerTimeUnknownError(Exception):
    """No answer of the API server had a Date header, so that nothing can be said of its clock."""


class ServerClock:
    """The clock of the API server that a client speaks to, as its last answer told it (RFC 9110, section 6.6.1).

    It is exact to a second, as the header is.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

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

    def of_last_answer(self) -> str:
        """Return the time of the last answer in RFC 3339's form; raises ServerTimeUnknownError."""
        return self._known()[0].isoformat(timespec="seconds")

    def now(self) -> datetime:
        """Return the time of the last answer and what has passed since; raises ServerTimeUnknownError."""
        answered, at = self._known()
        return answered + timedelta(seconds=time.monotonic() - at)

    def _known(self) -> tuple[datetime, float]:
        if self._last is None:
            raise ServerTimeUnknownError(
                "the API server's answers have no Date header\n"
                "    fix:  let the proxy in front of the API server pass the header Date"
            )
        return self._last
