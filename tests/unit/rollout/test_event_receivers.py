"""Kubernetes' Events and the sinks of `notify`: each event by its id, and no secret anywhere else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rollout.event_receivers import (
    KUBERNETES,
    DeliveryError,
    KubernetesEvents,
    RefusedEventError,
    Sink,
    receivers_of,
    sink_name,
)
from rollout.outgoing import SentRequest
from rollout.planned import PlannedRule
from tests.e2e.event_sink import EventSink, event_sink
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.sample_records import NAMESPACE, event, record, strategy
from traffic.model.rollout import RolloutNotify

HIDDEN = "T0/B0/s3cret-of-the-sink"


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with event_sink() as opened:
        yield opened


def notify(url: str, **keys: Any) -> RolloutNotify:
    return RolloutNotify.model_validate({"url": url, **keys})


def with_secret(server: ApiServer, text: str = HIDDEN, key: str = "token") -> None:
    data = {key: base64.b64encode(text.encode()).decode()}
    server.objects["secrets", NAMESPACE, "sink"] = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sink", "namespace": NAMESPACE}, "data": data,
    }  # fmt: skip


SECRET_KEY = {"name": "sink", "key": "token"}


def test_an_event_is_written_into_the_services_namespace_once(server: ApiServer) -> None:
    receiver = KubernetesEvents(server.client, "host/1/uuid")
    for _ in range(2):
        receiver.deliver(record(), event(4, "Aborted"))
    ((plural, namespace, _),) = server.objects
    (written,) = server.objects.values()
    assert (plural, namespace, written["reason"]) == ("events", NAMESPACE, "Aborted")
    assert written["reportingInstance"] == "host/1/uuid"
    assert written["firstTimestamp"] == "2026-01-05T10:00:00Z"


def test_a_missing_right_to_write_events_is_told(server: ApiServer) -> None:
    server.forbidden = {"create"}
    with pytest.raises(DeliveryError, match="fix: grant the right to create events in website-istio-ns"):
        KubernetesEvents(server.client, "h").deliver(record(), event(1))


def test_an_event_that_the_api_server_never_takes_is_given_up() -> None:
    answer = httpx2.Response(422, json={"code": 422, "message": "Event is invalid"})

    class Refusing:
        def create(self, *_: Any, **__: Any) -> None:
            raise httpx2.HTTPStatusError(
                "Event is invalid", request=httpx2.Request("POST", "http://x"), response=answer
            )

    with pytest.raises(RefusedEventError, match="refuses the Event website-7/1/0: Event is invalid"):
        KubernetesEvents(Refusing(), "h").deliver(record(), event(1))  # type: ignore[arg-type]


def test_an_event_goes_to_a_sink_with_its_id_as_idempotency_key(server: ApiServer, sink: EventSink) -> None:
    Sink(server.client, notify(f"{sink.url}/events")).deliver(record(), event(1, "Started"))
    (request,) = sink.requests
    assert request.path == "/events"
    assert request.headers["idempotency-key"] == request.body["id"] == "website-7/1/0"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert "authorization" not in request.headers
    assert sink.types == ["Started"]


def test_a_secret_is_sent_as_a_bearer_token_and_read_each_time(server: ApiServer, sink: EventSink) -> None:
    receiver = Sink(server.client, notify(sink.url, secret=SECRET_KEY))
    for text in ("first", "second\n"):
        with_secret(server, text)
        receiver.deliver(record(), event(1))
    assert [one.headers["authorization"] for one in sink.requests] == ["Bearer first", "Bearer second"]


def test_a_secret_may_be_a_part_of_the_url(server: ApiServer, sink: EventSink) -> None:
    with_secret(server)
    url = f"{sink.url}/services/{{secret}}"
    Sink(server.client, notify(url, format="slack", secret=SECRET_KEY)).deliver(record(), event(1))
    (request,) = sink.requests
    assert request.path == f"/services/{HIDDEN}"
    assert "authorization" not in request.headers
    assert request.body["text"].startswith("*website*")


@pytest.mark.parametrize("status", [0, 400, 401, 500])
@pytest.mark.parametrize("path", ["/{secret}", "/"])
def test_nothing_that_is_said_or_logged_has_a_secret(
    status: int, path: str, server: ApiServer, sink: EventSink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with_secret(server)
    sink.answers.append(status)
    sink.says = f"no channel for {HIDDEN}"
    receiver = Sink(server.client, notify(f"{sink.url}{path}", secret=SECRET_KEY))
    with pytest.raises((DeliveryError, RefusedEventError)) as error:
        receiver.deliver(record(), event(1))
    assert sink.requests
    assert error.value.__cause__ is None
    for said in (str(error.value), receiver.name, caplog.text):
        assert "s3cret" not in said
    assert sink.url in str(error.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, DeliveryError), (302, DeliveryError), (401, DeliveryError), (404, DeliveryError), (409, DeliveryError),
     (429, DeliveryError), (503, DeliveryError), (400, RefusedEventError), (422, RefusedEventError)],
)  # fmt: skip
def test_only_an_event_that_would_get_the_same_answer_for_ever_is_given_up(
    status: int, expected: type[Exception], server: ApiServer, sink: EventSink
) -> None:
    sink.answers.append(status)
    with pytest.raises(expected):
        Sink(server.client, notify(sink.url)).deliver(record(), event(1))


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (None, "token", "does not exist; fix: create it with the key token"),
        ("x", "other", "has no key token; fix: add it"),
        ("", "token", "its key token is no token"),
        ("two words", "token", "its key token is no token"),
        ("a\r\nX-Other: b", "token", "its key token is no token"),
        ("für", "token", "its key token is no token"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_with_the_fix(
    text: str | None, key: str, words: str, server: ApiServer, sink: EventSink
) -> None:
    if text is not None:
        with_secret(server, text, key)
    with pytest.raises(DeliveryError) as error:
        Sink(server.client, notify(sink.url, secret=SECRET_KEY)).deliver(record(), event(1))
    assert f"the Secret {NAMESPACE}/sink" in str(error.value)
    assert words in str(error.value)
    assert sink.requests == []


def test_a_missing_right_to_read_a_secret_is_told(server: ApiServer, sink: EventSink) -> None:
    server.forbidden = {"get"}
    with pytest.raises(
        DeliveryError, match="HTTP 403; fix: grant the right to get the Secret sink in website-istio-ns"
    ):
        Sink(server.client, notify(sink.url, secret=SECRET_KEY)).deliver(record(), event(1))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1{secret}", "https://{secret}/x", "http://{secret}", "http://sink.example.com/"]
)
@pytest.mark.parametrize("text", ["evil.example.com", "1:2@evil.example.com", "@evil.example.com/"])
def test_a_secret_cannot_lead_to_another_host(url: str, text: str, server: ApiServer) -> None:
    with_secret(server, text)
    sent: list[str] = []

    def send(url: str, body: bytes, headers: Any, timeout: float) -> SentRequest:
        from rollout.outgoing import require_safe

        require_safe(url)
        sent.append(url)
        return SentRequest(status=204, text="")

    with pytest.raises(DeliveryError):
        Sink(server.client, notify(url, secret=SECRET_KEY), send).deliver(record(), event(1))
    assert sent == []


def test_the_receivers_are_kubernetes_and_each_sink_of_any_rule_once(server: ApiServer) -> None:
    urls = ["https://a.example/1", "https://a.example/2"]
    first = strategy(notify=[{"url": urls[0]}, {"url": urls[1]}, {"url": urls[0], "format": "slack"}])
    second = strategy(notify=[{"url": urls[1]}])
    given = record(first)
    rules = (*given.plan.rules, PlannedRule(key="beta", text="beta", strategy=second))
    given = given.model_copy(update={"plan": given.plan.model_copy(update={"rules": rules})})
    names = [one.name for one in receivers_of(server.client, given, "h")]
    assert names[0] == KUBERNETES
    assert len(names) == len(set(names)) == 4
    assert names[1:] == [sink_name(one) for one in first.notify]
    assert all(name.startswith("a.example/") for name in names[1:])
