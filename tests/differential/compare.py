"""Compares Envoy's answer with the simulator's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.differential.expected import Expected, Values
from tests.differential.wire import Answer, Upstream, WireRequest

NOT_COMPARED = frozenset({
    "x-request-id", "x-forwarded-for", "x-forwarded-client-cert", "x-envoy-external-address", "x-envoy-attempt-count",
    "x-envoy-original-path", "x-envoy-original-host", "x-envoy-upstream-service-time", "x-envoy-decorator-operation",
    "x-echo-key", "x-echo-status", "host", "date", "server", "connection", "content-length", "content-type",
    "transfer-encoding", "location",
})  # fmt: skip
"""Headers that Envoy, the versions and this test set on each request, and that no generated rule uses."""
SLACK = 0.02
"""Seconds by which a delay may be shorter than expected: there are two clocks."""


def differences(expected: Expected, request: WireRequest, answer: Answer) -> tuple[str, ...]:
    """Return the differences, one line each."""
    if expected.status is None and not expected.headers:
        return ()  # the simulator makes no statement about it
    return tuple(_differences(expected, request, answer))


def _differences(expected: Expected, request: WireRequest, answer: Answer) -> Iterator[str]:
    if expected.status is not None and answer.status != expected.status:
        yield f"status: expected {expected.status}, got {answer.status} {answer.body[:100]!r}"
    visits = Counter(upstream.pod for upstream in answer.seen)
    pod = _answering_pod(expected, answer, visits)
    if pod not in expected.headers:
        yield f"answered by: expected {' or '.join(map(_named, expected.headers))}, got {_named(pod)}"
        return
    if expected.visits and visits != expected.visits[pod]:
        yield f"requests at the pods: expected {dict(expected.visits[pod])}, got {dict(visits)}"
    if expected.body is not None and _has_body(request, answer) and answer.body != expected.body:
        yield f"body: expected {expected.body!r}, got {answer.body!r}"
    if answer.values("location") != ((expected.location,) if expected.location else ()):
        yield f"location: expected {expected.location}, got {', '.join(answer.values('location')) or None}"
    if answer.seconds < expected.seconds - SLACK:
        yield f"delay: expected {expected.seconds} s, got the answer after {answer.seconds:.3f} s"
    got = _grouped(answer.headers)
    wrong = [tuple(_of_headers("the answer's", headers, got)) for headers in expected.headers[pod]]
    yield from min(wrong, key=len)
    for upstream in answer.seen:
        yield from _at_pod(expected, request, upstream, pod)


def _answering_pod(expected: Expected, answer: Answer, visits: Counter[str]) -> str:
    """Return the pod that answered, "" for Envoy. Without the version's body, the visits show which one it was."""
    if answer.pod is not None:
        return answer.pod
    fitting = (pod for pod in expected.headers if expected.visits.get(pod, {}) == visits)
    return next(fitting, next(iter(visits), ""))


def _at_pod(expected: Expected, request: WireRequest, upstream: Upstream, pod: str) -> Iterator[str]:
    """`pod` is the one that answers: the chosen destination's headers are also those of a mirrored copy."""
    where = f"at {upstream.pod}"
    if upstream.method != request.method:
        yield f"method {where}: expected {request.method}, got {upstream.method}"
    if upstream.path != expected.path:
        yield f"path {where}: expected {expected.path!r}, got {upstream.path!r}"
    if upstream.host != expected.host:
        yield f"host {where}: expected {expected.host!r}, got {upstream.host!r}"
    yield from _of_headers(f"the request's, {where},", expected.request_headers.get(pod, {}), upstream.headers)


def _of_headers(whose: str, expected: Values, got: Values) -> Iterator[str]:
    for name in sorted({*expected, *got} - NOT_COMPARED):
        if expected.get(name, ()) != got.get(name, ()):
            yield f"{whose} header {name}: expected {expected.get(name, ())}, got {got.get(name, ())}"


def _grouped(headers: tuple[tuple[str, str], ...]) -> Values:
    grouped: Values = {}
    for name, value in headers:
        grouped[name] = (*grouped.get(name, ()), value)
    return grouped


def _has_body(request: WireRequest, answer: Answer) -> bool:
    return request.method != "HEAD" and answer.status != 204


def _named(pod: str) -> str:
    return pod or "Envoy itself"
