"""Sends real requests through the gateway and counts which version answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from canary.curl import curl_command
from canary.verify.grpc import ANSWERED

if TYPE_CHECKING:
    import httpx

    from traffic.simulate import Request

STATUS = "status "
"""Prefix of the label that counts Envoy's own answers beside the versions: `status 503`."""
REQUEST_SECONDS = 10.0
"""Timeout of one request."""


@dataclass(frozen=True)
class RequestBatch:
    """The requests for one rule: `request`, sent `count` times to the gateway's `url`.

    `statuses` are the status codes with which Envoy itself is expected to answer; they do not count as errors.
    """

    url: str
    request: Request
    count: int
    statuses: frozenset[int] = frozenset()

    @property
    def endpoint(self) -> tuple[str, int, str]:
        """Scheme, port and deployment of the gateway."""
        return self.request.scheme, self.request.asked_port, self.request.deployment


@dataclass
class Answers:
    """Answers by version or expected status, and errors by kind.

    `unconnected` of the errors never reached a server; `unsent` requests were not answered before the time limit.
    """

    versions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unconnected: int = 0
    unsent: int = 0
    seconds: float = 0.0

    @property
    def connected(self) -> bool:
        """Whether the gateway answered at all."""
        return self.versions.total() + self.errors.total() > self.unconnected


def measure(
    batches: Sequence[RequestBatch], header: str, concurrency: int, seconds: float, advance: Callable[[int], None]
) -> list[Answers]:
    """Send the requests of all batches, `concurrency` at a time, for at most `seconds`; return each one's answers.

    `header` is the response header that names the version. `advance` is called with the batch's index after each
    request. Requests that are still open when the time is up are counted in `unsent`.
    """
    return asyncio.run(_measure(batches, header, concurrency, seconds, advance))


async def _measure(
    batches: Sequence[RequestBatch], header: str, concurrency: int, seconds: float, advance: Callable[[int], None]
) -> list[Answers]:
    import httpx

    deadline = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    results = []
    # The bare transport: headers that a client adds (user-agent, accept) could match another rule, and a proxy from the
    # environment must not be used. Who signed the gateway's certificate is not what is measured.
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
                answers.unsent = batch.count - answers.versions.total() - answers.errors.total()
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
            answers.errors[_kind(error)] += 1
            answers.unconnected += 1
        else:
            _count(response, header, batch.statuses, answers)
        advance()


def _http_request(batch: RequestBatch) -> httpx.Request:
    """The request, its path unchanged: httpx would re-encode some characters."""
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
        answers.errors[f"HTTP {response.status_code} {response.reason_phrase}".strip()] += 1
    elif (status := response.headers.get("grpc-status")) not in (None, *ANSWERED):
        answers.errors[f"gRPC status {status} {response.headers.get('grpc-message', '')}".strip()] += 1
    elif not version:
        answers.errors[f"answer without the header {header}"] += 1
    else:
        answers.versions[version] += 1


def _kind(error: httpx.TransportError) -> str:
    name = type(error).__name__
    text = " ".join(str(error).split())
    return f"{name}: {text}" if text else name


def as_curl(batch: RequestBatch) -> str:
    """Return the curl command that sends the batch's request."""
    return curl_command(batch.request, batch.url)


def _headers(batch: RequestBatch) -> list[tuple[str, str]]:
    host = [("host", batch.request.authority)] if batch.request.authority else []
    return [*batch.request.pairs, *host]
