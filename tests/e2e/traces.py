"""A client of Jaeger's query API (Jaeger: "APIs", the JSON API of its user interface), and the call tree of a trace.

`base_url` is the address of Jaeger with its base path, such as `http://127.0.0.1:16686/jaeger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Span:
    """A span and the one that caused it; None for the first, and where Jaeger does not have the parent (yet)."""

    service: str
    operation: str
    parent: Span | None = None


def hops(base_url: str, trace_id: str) -> list[str]:
    """The services of a trace in order of the calls; empty while Jaeger has no span of it."""
    return hops_of(spans(base_url, trace_id))


def spans(base_url: str, trace_id: str) -> list[Span]:
    """The spans of a trace in order of the call tree; empty while Jaeger has none of it."""
    answer = _get(base_url, f"traces/{trace_id}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    (trace,) = _data(answer)
    return spans_of(trace)


def traces(base_url: str, service: str, *, start: float, end: float, limit: int = 100) -> dict[str, list[Span]]:
    """The newest traces with a span of `service` between two times (seconds since the epoch): the spans by trace ID."""
    answer = _get(base_url, "traces", service=service, start=_microseconds(start), end=_microseconds(end), limit=limit)
    return {trace["traceID"]: spans_of(trace) for trace in _data(answer)}


def services(base_url: str) -> set[str]:
    """The services of which Jaeger has a span."""
    return set(_data(_get(base_url, "services")))


def spans_of(trace: Mapping[str, Any]) -> list[Span]:
    """The spans of a trace in JSON: each before those it caused, and these by the time they began."""
    by_time = sorted(trace["spans"], key=lambda span: (span["startTime"], span["spanID"]))
    known = {span["spanID"] for span in by_time}
    caused: dict[str | None, list[Mapping[str, Any]]] = {}
    for span in by_time:
        parent = _parent_id(span)
        caused.setdefault(parent if parent in known else None, []).append(span)

    found: list[Span] = []

    def add(parent_id: str | None, parent: Span | None) -> None:
        for span in caused.get(parent_id, ()):
            service = trace["processes"][span["processID"]]["serviceName"]
            found.append(Span(service, span["operationName"], parent))
            add(span["spanID"], found[-1])

    add(None, None)
    return found


def hops_of(spans: list[Span]) -> list[str]:
    """The services in order of the calls; a span that one of the same service caused is not a further hop.

    Envoy reports two spans of a call inside the mesh: the caller's, which its own span caused, and the callee's.
    """
    return [span.service for span in spans if span.parent is None or span.parent.service != span.service]


def _parent_id(span: Mapping[str, Any]) -> str | None:
    """The span's parent; a reference to another trace, or one of the type FOLLOWS_FROM, is only a link."""
    return next(
        (
            reference["spanID"]
            for reference in span["references"]
            if reference["refType"] == "CHILD_OF" and reference["traceID"] == span["traceID"]
        ),
        None,
    )


def _get(base_url: str, path: str, **query: str | int) -> httpx.Response:
    with httpx.Client(timeout=10, trust_env=False) as client:
        return client.get(f"{base_url}/api/{path}", params=query)


def _data(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == httpx.codes.OK, f"{answer.url}: {answer.status_code} {answer.text[:300]}"
    return answer.json()["data"] or []


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
