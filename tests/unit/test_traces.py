"""The call tree of a trace, from answers of Jaeger's query API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.traces import Span, hops, hops_of, services, spans, spans_of, traces

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"
PROCESSES = {"p1": "istio-ingressgateway.istio-system", "p2": "a.shop", "p3": "b.shop", "p4": "c.shop"}
BEGAN = 1_706_678_909_209_712


def reference(span_id: str, kind: str = "CHILD_OF", trace: str = TRACE) -> dict[str, str]:
    return {"refType": kind, "traceID": trace, "spanID": span_id}


def span(
    span_id: str, process: str, after: int, parent: str | None = None, kind: str = "server", **rest: Any
) -> dict[str, Any]:
    """A span as Jaeger has it in JSON; times in microseconds."""
    return {
        "traceID": TRACE,
        "spanID": span_id,
        "operationName": f"{PROCESSES[process].split('.')[0]}.shop.svc.cluster.local:80/*",
        "references": [reference(parent)] if parent else [],
        "startTime": BEGAN + after,
        "duration": 1000 - after,
        "tags": [
            {"key": "http.status_code", "type": "string", "value": "200"},
            {"key": "span.kind", "type": "string", "value": kind},
        ],
        "logs": [],
        "processID": process,
        "warnings": None,
        **rest,
    }


def trace(*spans: dict[str, Any]) -> dict[str, Any]:
    processes = {key: {"serviceName": name, "tags": []} for key, name in PROCESSES.items()}
    return {"traceID": TRACE, "spans": list(spans), "processes": processes, "warnings": None}


def answer(*data: Any, errors: Any = None) -> dict[str, Any]:
    return {"data": list(data) or None, "total": 0, "limit": 0, "offset": 0, "errors": errors}


CHAIN = [
    span("00f067aa0ba902b7", "p1", 0, kind="client"),
    span("11f067aa0ba902b7", "p2", 10, "00f067aa0ba902b7"),
    span("22f067aa0ba902b7", "p2", 20, "11f067aa0ba902b7", kind="client"),
    span("33f067aa0ba902b7", "p3", 30, "22f067aa0ba902b7"),
    span("44f067aa0ba902b7", "p3", 40, "33f067aa0ba902b7", kind="client"),
    span("55f067aa0ba902b7", "p4", 50, "44f067aa0ba902b7"),
]
SERVICES = list(PROCESSES.values())


@contextmanager
def jaeger(status: int, body: Any, asked: list[str] | None = None) -> Iterator[str]:
    """Serve one answer under every path, and note what was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jaeger"
        server.shutdown()


@given(st.permutations(CHAIN))
def test_the_hops_of_a_chain_are_in_order_of_the_calls_however_jaeger_lists_the_spans(
    listed: list[dict[str, Any]],
) -> None:
    assert hops_of(spans_of(trace(*listed))) == SERVICES


def test_a_span_has_its_service_its_operation_and_its_parent() -> None:
    first, second = spans_of(trace(*CHAIN))[:2]
    assert first == Span("istio-ingressgateway.istio-system", "istio-ingressgateway.shop.svc.cluster.local:80/*")
    assert second == Span("a.shop", "a.shop.svc.cluster.local:80/*", first)


def test_a_clock_that_is_late_does_not_change_the_order_of_a_call_and_its_caller() -> None:
    early = {**CHAIN[3], "startTime": BEGAN - 500}
    assert hops_of(spans_of(trace(*CHAIN[:3], early, *CHAIN[4:]))) == SERVICES


def test_two_calls_of_one_service_are_hops_in_order_of_time() -> None:
    fan_out = [
        span("1", "p2", 0),
        span("4", "p2", 40, "1", kind="client"),
        span("5", "p4", 50, "4"),
        span("2", "p2", 10, "1", kind="client"),
        span("3", "p3", 20, "2"),
    ]
    assert hops_of(spans_of(trace(*fan_out))) == ["a.shop", "b.shop", "c.shop"]


def test_a_span_whose_parent_is_not_there_begins_a_tree() -> None:
    found = spans_of(trace(*CHAIN[:2], *CHAIN[3:]))
    assert [span.service for span in found if span.parent is None] == ["istio-ingressgateway.istio-system", "b.shop"]
    assert hops_of(found) == SERVICES


@pytest.mark.parametrize(
    "link",
    [reference("00f067aa0ba902b7", kind="FOLLOWS_FROM"), reference("00f067aa0ba902b7", trace=OTHER_TRACE)],
    ids=["follows from", "other trace"],
)
def test_a_link_is_not_a_parent(link: dict[str, str]) -> None:
    linked = span("11f067aa0ba902b7", "p2", 10, references=[link])
    assert [span.parent for span in spans_of(trace(CHAIN[0], linked))] == [None, None]
    both = span("11f067aa0ba902b7", "p2", 10, references=[link, reference("00f067aa0ba902b7")])
    first, second = spans_of(trace(CHAIN[0], both))
    assert second.parent == first


def test_a_trace_is_asked_for_by_its_id_below_jaegers_base_path() -> None:
    asked: list[str] = []
    with jaeger(200, answer(trace(*CHAIN)), asked) as url:
        assert hops(url, TRACE) == SERVICES
    assert asked == [f"/jaeger/api/traces/{TRACE}"]


def test_a_trace_that_jaeger_does_not_have_yet_has_no_hops() -> None:
    with jaeger(404, answer(errors=[{"code": 404, "msg": "trace not found"}])) as url:
        assert hops(url, TRACE) == []


def test_a_search_gives_the_times_in_microseconds() -> None:
    asked: list[str] = []
    with jaeger(200, answer(trace(*CHAIN)), asked) as url:
        found = traces(url, "a.shop", start=1_706_678_909.25, end=1_706_678_969, limit=5)
    assert {trace_id: hops_of(spans) for trace_id, spans in found.items()} == {TRACE: SERVICES}
    parts = urlsplit(asked[0])
    assert parts.path == "/jaeger/api/traces"
    assert dict(parse_qsl(parts.query)) == {
        "service": "a.shop",
        "start": "1706678909250000",
        "end": "1706678969000000",
        "limit": "5",
    }


@pytest.mark.parametrize(("given_names", "found"), [(("a.shop", "b.shop"), {"a.shop", "b.shop"}), ((), set())])
def test_services_are_those_that_jaeger_names(given_names: tuple[str, ...], found: set[str]) -> None:
    with jaeger(200, answer(*given_names)) as url:
        assert services(url) == found


def test_a_failure_of_jaeger_is_reported_with_its_answer() -> None:
    failed = answer(errors=[{"code": 500, "msg": "storage is not ready"}])
    with jaeger(500, failed) as url, pytest.raises(AssertionError, match=r"500 .*storage is not ready"):
        spans(url, TRACE)
