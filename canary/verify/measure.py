"""Real requests through the gateway, and which version answered each."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from traffic.simulate import Request

STATUS = "status "
"""Begins the name of what Envoy answers by itself, among the versions: `status 503`."""
REQUEST_SECONDS = 10.0
"""How long one answer may take."""


@dataclass(frozen=True)
class RequestBatch:
    """What is asked for one rule: `request`, `count` times, at the gateway's `url`.

    `statuses` are answers of Envoy itself that count as such, not as failures.
    """

    url: str
    request: Request
    count: int
    statuses: frozenset[int] = frozenset()

    @property
    def asked(self) -> tuple[str, int]:
        """The scheme and the port of the gateway."""
        return self.request.scheme, self.request.asked_port


@dataclass
class Answers:
    """What came back: answers by version or wanted status, and failures by kind.

    `unconnected` of the failures never reached a server.
    """

    versions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    unconnected: int = 0
    unsent: int = 0
    seconds: float = 0.0

    @property
    def connected(self) -> bool:
        """Whether the gateway answered at all."""
        return self.versions.total() + self.failures.total() > self.unconnected


def measure(
    batches: Sequence[RequestBatch], header: str, concurrency: int, seconds: float, advance: Callable[[int], None]
) -> list[Answers]:
    """Send the batches' requests, `concurrency` at a time, for at most `seconds`; return the answers of each.

    `header` is the response header that names the version. `advance` is called with a batch's index for each
    answer. Requests that the time does not suffice for are counted in `unsent`.
    """
    return asyncio.run(_measure(batches, header, concurrency, seconds, advance))


async def _measure(
    batches: Sequence[RequestBatch], header: str, concurrency: int, seconds: float, advance: Callable[[int], None]
) -> list[Answers]:
    import httpx

    deadline = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    results = []
    # The transport alone: what a client adds (user-agent, accept) is no part of a rule's request, and might meet
    # another rule; proxies of the environment are for the way out.
    # Nor is it measured who signed the gateway's certificate.
    async with httpx.AsyncHTTPTransport(limits=limits, verify=False) as transport:
        for index, batch in enumerate(batches):
            answers = Answers()
            begin = time.monotonic()
            remaining = iter(range(batch.count))
            sent = partial(advance, index)
            try:
                async with asyncio.timeout(max(0.0, deadline - begin)):
                    work = (_work(transport, batch, header, remaining, answers, sent) for _ in range(concurrency))
                    await asyncio.gather(*work)
            except TimeoutError:
                answers.unsent = batch.count - answers.versions.total() - answers.failures.total()
            answers.seconds = time.monotonic() - begin
            results.append(answers)
    return results


async def _work(
    transport: httpx.AsyncHTTPTransport,
    batch: RequestBatch,
    header: str,
    remaining: Iterator[int],
    answers: Answers,
    advance: Callable[[], None],
) -> None:
    import httpx

    request = _http_request(batch)
    for _ in remaining:
        try:
            response = await transport.handle_async_request(request)
            await response.aread()
        except httpx.TransportError as error:
            answers.failures[_kind(error)] += 1
            answers.unconnected += 1
        else:
            _count(response, header, batch.statuses, answers)
        advance()


def _http_request(batch: RequestBatch) -> httpx.Request:
    """The request as it is: httpx would write other characters of the path its own way."""
    import httpx

    request = batch.request
    extensions = {"timeout": httpx.Timeout(REQUEST_SECONDS).as_dict(), "target": request.path.encode()}
    if request.scheme == "https" and request.authority:
        extensions["sni_hostname"] = _host(request)
    return httpx.Request(request.method, batch.url, headers=_headers(batch), extensions=extensions)


def _host(request: Request) -> str:
    from traffic.simulate import bare

    return bare(request.authority)


def _count(response: httpx.Response, header: str, statuses: frozenset[int], answers: Answers) -> None:
    version = response.headers.get(header)
    if response.status_code in statuses and not (response.is_success and version):
        answers.versions[f"{STATUS}{response.status_code}"] += 1
    elif not response.is_success:
        answers.failures[f"HTTP {response.status_code} {response.reason_phrase}".strip()] += 1
    elif not version:
        answers.failures[f"answer without the header {header}"] += 1
    else:
        answers.versions[version] += 1


def _kind(error: httpx.TransportError) -> str:
    name = type(error).__name__
    text = " ".join(str(error).split())
    return f"{name}: {text}" if text else name


def as_curl(batch: RequestBatch) -> str:
    """Return the command with which a person sends the batch's request."""
    request = batch.request
    words = ["curl", *([] if request.method == "GET" else ["--request", request.method])]
    for name, value in request.pairs:
        words += ["--header", f"{name}: {value}"]
    if request.scheme == "https" and request.authority:
        # The name must stand in the URL: it is what TLS asks for.
        address = batch.url.partition("://")[2]
        words += ["--insecure", "--connect-to", f"::{address}"]
        return shlex.join([*words, f"https://{request.authority}{request.path}"])
    if request.authority:
        words += ["--header", f"host: {request.authority}"]
    return shlex.join([*words, batch.url + request.path])


def _headers(batch: RequestBatch) -> list[tuple[str, str]]:
    host = [("host", batch.request.authority)] if batch.request.authority else []
    return [*batch.request.pairs, *host]
