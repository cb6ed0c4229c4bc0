"""The client of Prometheus' HTTP API, against a small server of its own."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from metrics.prometheus import Prometheus, PrometheusError, Sample, Series


@dataclass
class Answers:
    """A server that gives one answer to everything, or none until `release` is set, and keeps what it was asked."""

    status: int = 200
    body: str = ""
    release: threading.Event | None = None
    asked: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(answers: Answers) -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answers.asked.append((self.path, dict(parse_qsl(form)), dict(self.headers)))
            if answers.release is not None:
                answers.release.wait()
                return
            self.send_response(answers.status)
            self.end_headers()
            self.wfile.write(answers.body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield answers
    finally:
        if answers.release is not None:
            answers.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def success(kind: str, result: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


def error_of(answers: Answers, timeout: float = 5.0) -> PrometheusError:
    with serving(answers), Prometheus(answers.url, timeout) as prometheus:
        with pytest.raises(PrometheusError) as caught:
            prometheus.instant("up")
        assert str(caught.value) == f"no answer from Prometheus at {answers.url}: {caught.value.reason}"
        return caught.value


def test_an_instant_query_gives_a_sample_for_each_element() -> None:
    result = [
        {"metric": {"version": "version-1"}, "value": [1700000000.5, "0.25"]},
        {"metric": {"version": "version-2"}, "value": [1700000000.5, "NaN"]},
    ]
    with serving(Answers(body=success("vector", result))) as answers, Prometheus(answers.url) as prometheus:
        first, second = prometheus.instant('share{version=~"version-.*"} > 0')

    assert first == Sample({"version": "version-1"}, 1700000000.5, 0.25)
    assert second.labels == {"version": "version-2"}
    assert math.isnan(second.value), "not a number is neither 0 nor 1"
    ((path, form, _),) = answers.asked
    assert path == "/api/v1/query"
    assert form == {"query": 'share{version=~"version-.*"} > 0', "timeout": "5s"}, (
        "without a time, Prometheus takes now"
    )


def test_an_instant_query_may_ask_for_another_time_and_give_a_scalar() -> None:
    body = success("scalar", [1700000000, "+Inf"])
    with serving(Answers(body=body)) as answers, Prometheus(answers.url) as prometheus:
        assert prometheus.instant("scalar(up) / 0", at=1700000000.1234) == (Sample({}, 1700000000, math.inf),)

    assert answers.asked[0][1]["time"] == "1700000000.123"


def test_an_empty_result_is_no_error() -> None:
    with serving(Answers(body=success("vector", []))) as answers, Prometheus(answers.url) as prometheus:
        assert prometheus.instant("nothing") == ()


def test_a_range_query_gives_the_points_of_each_series() -> None:
    result = [{"metric": {"version": "version-1"}, "values": [[1700000000, "1"], [1700000015, "2.5"]]}]
    with serving(Answers(body=success("matrix", result))) as answers, Prometheus(answers.url) as prometheus:
        series = prometheus.range("requests", start=1700000000, end=1700000015, step=15)

    assert series == (Series({"version": "version-1"}, ((1700000000.0, 1.0), (1700000015.0, 2.5))),)
    ((path, form, _),) = answers.asked
    assert path == "/api/v1/query_range"
    assert (form["query"], form["start"], form["end"], form["step"]) == (
        "requests",
        "1700000000.000",
        "1700000015.000",
        "15.000",
    )


def test_a_range_selector_gives_the_samples_as_they_are_stored() -> None:
    result = [{"metric": {"__name__": "up", "job": "pods"}, "values": [[1700000000.123, "1"], [1700000015.125, "0"]]}]
    with serving(Answers(body=success("matrix", result))) as answers, Prometheus(answers.url) as prometheus:
        now, then = prometheus.samples("up[5m]"), prometheus.samples("up[5m]", at=1700000020)

    points = ((1700000000.123, 1.0), (1700000015.125, 0.0))
    assert now == then == (Series({"__name__": "up", "job": "pods"}, points),)
    assert [(path, form.get("time")) for path, form, _ in answers.asked] == [
        ("/api/v1/query", None),
        ("/api/v1/query", "1700000020.000"),
    ]


def test_what_is_no_range_selector_has_no_samples() -> None:
    with serving(Answers(body=success("vector", []))) as answers, Prometheus(answers.url) as prometheus:
        with pytest.raises(PrometheusError) as caught:
            prometheus.samples("up")
        assert caught.value.reason == "the result is a vector"


def test_a_query_longer_than_any_url_is_sent_whole() -> None:
    query = " + ".join(["up"] * 20_000)
    with serving(Answers(body=success("vector", []))) as answers, Prometheus(answers.url) as prometheus:
        prometheus.instant(query)

    assert answers.asked[0][1]["query"] == query


def test_a_url_may_have_a_path_and_queries_may_have_headers() -> None:
    headers = {"Authorization": "Bearer secret"}
    with serving(Answers(body=success("vector", []))) as answers:
        Prometheus(f"{answers.url}/prometheus/", headers=headers).instant("up")

    path, _, received = answers.asked[0]
    assert path == "/prometheus/api/v1/query"
    assert received["Authorization"] == "Bearer secret"


def test_no_proxy_is_asked_for_a_port_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(Answers(body=success("vector", []))) as answers, Prometheus(answers.url) as prometheus:
        assert prometheus.instant("up") == ()


@pytest.mark.parametrize(
    ("why", "answers", "reason", "fix"),
    [
        (
            "a query that Prometheus cannot parse",
            Answers(400, json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error: unclosed"})),
            "HTTP 400: parse error: unclosed",
            "check the query",
        ),
        (
            "a query that fails",
            Answers(422, json.dumps({"status": "error", "errorType": "execution", "error": "many-to-many"})),
            "HTTP 422: many-to-many",
            "ask for a shorter time; check the query",
        ),
        ("no permission", Answers(401, "Unauthorized"), "HTTP 401", "no login"),
        ("another server", Answers(404, "<html>Not found</html>"), "HTTP 404", "/api/v1/status/buildinfo"),
        ("a server that starts", Answers(503, "Service Unavailable"), "HTTP 503", "has started"),
        ("a page", Answers(200, "<html>Grafana</html>"), "not a Prometheus", "/api/v1/status/buildinfo"),
        ("other JSON", Answers(200, '{"kind": "Status"}'), "not a Prometheus", "/api/v1/status/buildinfo"),
        (
            "JSON that is not of a query",
            Answers(200, '{"status": "success", "data": {"resultType": "vector"}}'),
            "not a Prometheus",
            "/api/v1/status/buildinfo",
        ),
        ("JSON of another kind", Answers(200, '{"status": "success", "data": 5}'), "not a Prometheus", "is that of"),
        ("JSON without an object", Answers(200, '["up"]'), "not a Prometheus", "/api/v1/status/buildinfo"),
        (
            "an error with status 200",
            Answers(200, json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"})),
            "timeout: query timed out",
            "log",
        ),
        ("a range", Answers(200, success("matrix", [])), "the result is a matrix", "a vector or a scalar"),
    ],
)
def test_what_is_no_answer_is_an_error_with_its_fix(why: str, answers: Answers, reason: str, fix: str) -> None:
    error = error_of(answers)

    assert reason in error.reason
    assert fix in error.fix


def test_a_slow_server_is_an_error_that_says_how_long_was_waited() -> None:
    error = error_of(Answers(release=threading.Event()), timeout=0.05)

    assert error.reason == "it took longer than 0.05 s"
    assert error.fix


def test_a_port_where_nothing_listens_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Prometheus(url) as prometheus, pytest.raises(PrometheusError, match="refused") as caught:
            prometheus.instant("up")

    assert "check that Prometheus runs" in caught.value.fix


@pytest.mark.parametrize("url", ["prometheus:9090", "http://[::1", "ftp://prometheus"])
def test_what_is_not_a_url_is_an_error(url: str) -> None:
    with pytest.raises(PrometheusError, match="not a URL") as caught:
        Prometheus(url).instant("up")

    assert "http://" in caught.value.fix


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "Server disconnected without sending a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "incorrect header check"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "peer closed connection"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_with_its_reason(answer: bytes, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # closed with unread data, it would be reset
                    pass

        thread = threading.Thread(target=answer_once)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Prometheus(url) as prometheus, pytest.raises(PrometheusError, match=reason) as caught:
            prometheus.instant("up")
        thread.join()

    assert not caught.value.reason.endswith("."), "a fix follows"
