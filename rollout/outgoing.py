"""Requests to the URLs that a strategy names, for hooks and events: where they may go, and nothing secret in a log.

Only https, or http to this machine: what is sent tells of releases, and may carry a token.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

    import httpx

LOCALHOST = "localhost"

LONGEST_ANSWER = 1000
"""Bytes of an answer that are read: enough for a reason."""

WORTH_A_RETRY = (408, 425, 429)
"""Answers below 500 that say nothing about the request itself (RFC 9110, RFC 8470, RFC 6585)."""

LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")
"""Loggers that tell of requests; httpx's names the whole URL, which may be a secret itself."""

_is_sending: ContextVar[bool] = ContextVar("_is_sending", default=False)


class UnsafeUrlError(ValueError):
    """A URL that nothing is sent to."""


class _NotWhileSending(logging.Filter):
    """Drops what a library says of the requests of this module."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_sending.get()


_FILTER = _NotWhileSending()


@dataclass(frozen=True, kw_only=True)
class SentRequest:
    """What became of one request: `status` is None if there was no answer; `text` is the answer, or why there is none.

    `text` never has the URL, and nothing of the request's headers.
    """

    status: int | None
    text: str

    @property
    def ok(self) -> bool:
        """Whether the answer is yes."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_worth_a_retry(self) -> bool:
        """Whether the same request may get another answer later: there was none, or the server was in trouble."""
        return self.status is None or self.status >= 500 or self.status in WORTH_A_RETRY

    @property
    def words(self) -> str:
        """What became of it, for people."""
        if self.status is None:
            return self.text
        return f"HTTP {self.status}" + (f": {self.text}" if self.text else "")


def require_safe(url: str) -> None:
    """Raise UnsafeUrlError unless a URL is https, or http to this machine (127.0.0.0/8, ::1 or localhost)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UnsafeUrlError(f"not a URL ({error})") from None
    if not host:
        raise UnsafeUrlError("not a URL with a host, such as https://hooks.example.com/rollouts")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return
    raise UnsafeUrlError("neither https, nor http to this machine")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, without asking DNS."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == LOCALHOST


def shown(url: str) -> str:
    """Return a URL for messages: its scheme, host and port. Paths of webhooks are often secrets."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "a URL that cannot be read"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> SentRequest:
    """Send one POST and return what became of it. `timeout` is in seconds, each for connecting, sending and the answer.

    Redirects are not followed: they would lead past `require_safe`. Raises UnsafeUrlError before anything is sent.
    """
    import httpx

    require_safe(url)
    host = urlsplit(url).hostname or ""
    ends_at = clock() + timeout
    try:
        # A proxy that the environment names cannot reach this machine.
        with (
            _silent(),
            httpx.Client(
                verify=_tls(), timeout=timeout, trust_env=not is_loopback(host), follow_redirects=False
            ) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as response,
        ):
            return SentRequest(status=response.status_code, text=_beginning(response, ends_at, clock))
    except (httpx.TimeoutException, TimeoutError):
        return SentRequest(status=None, text=f"no answer within {timeout:g} s")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise UnsafeUrlError("not a URL that a request can be sent to") from None
    except ValueError:
        return SentRequest(status=None, text="the request cannot be sent: a header has characters that HTTP refuses")
    except httpx.HTTPError as error:
        return SentRequest(status=None, text=f"no answer: {type(error).__name__}")


@cache
def _tls() -> ssl.SSLContext:
    """What certificates are checked with: it takes longer to make than a request does."""
    import httpx

    return httpx.create_ssl_context()


def _beginning(response: httpx.Response, ends_at: float, clock: Callable[[], float]) -> str:
    """The first bytes of an answer as one line of text; its status counts also if its body does not come."""
    import httpx

    read = b""
    try:
        for part in response.iter_bytes(LONGEST_ANSWER):
            read += part
            if len(read) >= LONGEST_ANSWER or clock() > ends_at:
                break
    except (httpx.HTTPError, ValueError):
        pass  # too late, broken off or not decodable: the status has been read
    text = read[:LONGEST_ANSWER].decode(errors="replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


@contextmanager
def _silent() -> Iterator[None]:
    """Keep libraries from logging requests of this thread or task."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # added once: the same filter is not added again
    token = _is_sending.set(True)
    try:
        yield
    finally:
        _is_sending.reset(token)
