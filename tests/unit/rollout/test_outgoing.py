"""Where hooks and events may be sent, and that nothing of a request gets into a log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest

from rollout.outgoing import SentRequest, UnsafeUrlError, is_loopback, post, require_safe, shown
from tests.e2e.event_sink import EventSink, event_sink

HIDDEN = "s3cret-of-the-sink"


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with event_sink() as opened:
        yield opened


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a?b=c",
        "https://hooks.example.com:8443",
        "https://[2001:db8::1]/",
        "http://127.0.0.1:8080/hook",
        "http://127.8.9.1/",
        "http://[::1]:80/",
        "http://localhost:9000/",
        "http://LOCALHOST./",
    ],
)
def test_https_and_this_machine_are_allowed(url: str) -> None:
    require_safe(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "http://website.website-istio-ns:8080/",
        "http://10.0.0.1/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://user@hooks.example.com/",
        "http://127.0.0.1@hooks.example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "hooks.example.com",
        "https://",
        "https:///path",
        "https://[::1",
        "https://host:port/",
        "",
    ],
)
def test_nothing_is_sent_elsewhere(url: str) -> None:
    with pytest.raises(UnsafeUrlError):
        require_safe(url)
    with pytest.raises(UnsafeUrlError):
        post(url, b"", {}, 1.0)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
def test_only_loopback_addresses_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.slack.com/services/T0/B0/s3cret", "https://hooks.slack.com"),
        ("https://user:s3cret@example.com:8443/?token=s3cret#s3cret", "https://example.com:8443"),
        ("http://[::1]:80/s3cret", "http://[::1]:80"),
        ("https://[s3cret", "a URL that cannot be read"),
    ],
)
def test_a_message_names_a_url_without_what_may_be_secret_in_it(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    ("status", "ok", "worth_a_retry"),
    [(200, True, False), (204, True, False), (302, False, False), (400, False, False), (403, False, False),
     (408, False, True), (429, False, True), (500, False, True), (503, False, True), (None, False, True)],
)  # fmt: skip
def test_what_an_answer_means(status: int | None, ok: bool, worth_a_retry: bool) -> None:
    sent = SentRequest(status=status, text="")
    assert (sent.ok, sent.is_worth_a_retry) == (ok, worth_a_retry)


def test_a_request_arrives_as_it_was_sent(sink: EventSink) -> None:
    sent = post(f"{sink.url}/path", b'{"a":1}', {"Content-Type": "application/json", "X-Token": "t"}, 5.0)
    assert sent.ok
    (request,) = sink.requests
    assert (request.path, request.body, request.headers["x-token"]) == ("/path", {"a": 1}, "t")


def test_the_beginning_of_an_answer_is_kept_as_one_line(sink: EventSink) -> None:
    sink.answers.append(503)
    sink.says = "down\nfor \x1b[31mmaintenance" + "x" * 5000
    sent = post(sink.url, b"{}", {}, 5.0)
    assert sent.words.startswith("HTTP 503: down for [31mmaintenancex")
    assert len(sent.text) <= 1000


def test_a_redirect_is_not_followed(sink: EventSink) -> None:
    sink.answers.append(307)
    assert post(sink.url, b"{}", {}, 5.0).status == 307
    assert len(sink.requests) == 1


def test_no_answer_is_told_without_the_url(sink: EventSink) -> None:
    sink.answers.append(0)
    sent = post(f"{sink.url}/{HIDDEN}", b"{}", {}, 5.0)
    assert sent.status is None
    assert HIDDEN not in sent.words
    assert sent.words.startswith("no answer")


def test_an_answer_that_comes_too_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late")

    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **keys: client(transport=httpx.MockTransport(late)))
    assert post("https://hooks.example.com", b"", {}, 1.5).words == "no answer within 1.5 s"


def test_a_header_that_http_refuses_is_told_without_it(sink: EventSink) -> None:
    sent = post(sink.url, b"{}", {"Authorization": f"Bearer {HIDDEN}\r\nX: y"}, 5.0)
    assert not sent.ok
    assert HIDDEN not in sent.words


def test_no_log_has_a_urls_path_or_a_header(sink: EventSink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # which whoever serves gates has made quieter in this process
    post(f"{sink.url}/{HIDDEN}?q={HIDDEN}", b"{}", {"Authorization": f"Bearer {HIDDEN}"}, 5.0)
    httpx.Client(trust_env=False).post(f"{sink.url}/other", content=b"{}")
    assert HIDDEN not in caplog.text
    assert f"{sink.url}/other" in caplog.text, "what others send is logged as before"
