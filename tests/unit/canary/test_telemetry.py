"""How a stack's Prometheus is reached, and the options that are durations and moments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from canary import telemetry
from canary.command_error import CommandError
from canary.engine.session import Session
from canary.exit_codes import ExitCode
from canary.project import Project
from canary.time_options import duration, moment, words
from canary.ui import Ui
from kube.kubeconfig import ClusterUnreachableError
from kube.service_pods import PortForwardError
from metrics.durations import promql_duration
from tests.unit.canary.made_up_traffic import settings_of


class Loaded:
    def __init__(self, prometheus: Mapping[str, Any], **more: Any) -> None:
        self.settings = settings_of("one", telemetry={"prometheus": dict(prometheus)}, **more)


def session_of(prometheus: Mapping[str, Any], **more: Any) -> Session:
    return Session(Ui(), Project(Path("/project")), "dev", cast(Any, Loaded(prometheus, **more)))


class Forward:
    """A forwarded port, which records its Service."""

    opened: list[tuple[str, str, int]]
    failure: Exception | None = None
    url = "http://127.0.0.1:40001"

    def __init__(self, cluster: Any, namespace: str, service: str, port: int) -> None:
        self.opened.append((namespace, service, port))

    def __enter__(self) -> Forward:
        if self.failure is not None:
            raise self.failure
        return self

    def __exit__(self, *error: object) -> None:
        self.opened.append(("", "closed", 0))


class Client:
    """A client of Prometheus, which records its URL."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> type[Forward]:
    class Recording(Forward):
        opened: list[tuple[str, str, int]] = []  # noqa: RUF012 - of this test alone

    monkeypatch.setattr("kube.port_forward.PortForward", Recording)
    monkeypatch.setattr("metrics.prometheus.Prometheus", Client)
    return Recording


def resolve_only(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    def look_up(host: str, port: Any) -> list[int]:
        if host in hosts:
            return [1]
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", look_up)


@pytest.mark.parametrize(
    ("prometheus", "forwarded", "url"),
    [
        ({"enabled": True}, ("istio-system", "prometheus", 9090), "http://127.0.0.1:40001"),
        ({"url": "http://metrics.example.com:9090"}, None, "http://metrics.example.com:9090"),
        ({"url": "https://metrics.example.com/prometheus"}, None, "https://metrics.example.com/prometheus"),
        ({"url": "http://10.0.0.7:9090"}, None, "http://10.0.0.7:9090"),
        ({"url": "http://localhost:9090"}, None, "http://localhost:9090"),
        ({"url": "http://metrics.example"}, None, "http://metrics.example"),
        ({"url": "http://server.monitoring:8080"}, ("monitoring", "server", 8080), "http://127.0.0.1:40001"),
        ({"url": "http://server.monitoring.svc"}, ("monitoring", "server", 80), "http://127.0.0.1:40001"),
        (
            {"url": "http://server.monitoring.svc.cluster.local:9090/prometheus"},
            ("monitoring", "server", 9090),
            "http://127.0.0.1:40001/prometheus",
        ),
        ({"url": "https://server.monitoring.svc"}, ("monitoring", "server", 443), "https://127.0.0.1:40001"),
    ],
)
def test_a_port_is_forwarded_where_prometheus_has_no_address_outside_the_cluster(
    prometheus: dict[str, Any],
    forwarded: tuple[str, str, int] | None,
    url: str,
    forward: type[Forward],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_only(monkeypatch, "metrics.example")
    with telemetry.open_prometheus(session_of(prometheus)) as client:
        assert cast(Client, client).url == url
        assert forward.opened == ([forwarded] if forwarded else [])
    assert len(forward.opened) == (2 if forwarded else 0), "the port is closed again"


@pytest.mark.parametrize(
    ("more", "namespace"),
    [
        ({}, "istio-system"),
        ({"mesh": {"namespace": "mesh"}}, "mesh"),
        ({"telemetry": {"namespace": "monitoring", "prometheus": {"enabled": True}}}, "monitoring"),
    ],
)
def test_the_stacks_own_prometheus_is_in_the_telemetrys_namespace(
    more: dict[str, Any], namespace: str, forward: type[Forward]
) -> None:
    session = session_of({"enabled": True})
    settings = settings_of("one", **{"telemetry": {"prometheus": {"enabled": True}}, **more})
    cast(Loaded, session.loaded).settings = settings
    with telemetry.open_prometheus(session):
        assert forward.opened == [(namespace, "prometheus", 9090)]


def test_a_prometheus_that_is_off_is_told_with_its_note_and_how_to_turn_it_on(forward: type[Forward]) -> None:
    with (
        pytest.raises(CommandError) as caught,
        telemetry.open_prometheus(session_of({"note": "the platform team runs it"})),
    ):
        pass
    assert caught.value.code == ExitCode.CONFIG
    assert caught.value.message == "prometheus is off in the stack dev"
    assert caught.value.details == ("note: the platform team runs it",)
    assert "set istio-canary:telemetry.prometheus.enabled: true" in caught.value.fix
    assert forward.opened == []


@pytest.mark.parametrize(
    "failure",
    [
        PortForwardError("no pod is ready", "look at the pods"),
        ClusterUnreachableError("kind", "no pod is ready", "look at the pods"),
    ],
)
def test_a_prometheus_that_cannot_be_reached_has_the_exit_code_of_unreachable(
    failure: Exception, forward: type[Forward]
) -> None:
    forward.failure = failure
    with pytest.raises(CommandError) as caught, telemetry.open_prometheus(session_of({"enabled": True})):
        pass
    assert caught.value.code == ExitCode.UNREACHABLE
    assert "no pod is ready" in str(caught.value)
    assert "look at the pods" in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(31, "31s"), (10.5, "10500ms"), (3600, "3600s"), (0.3, "300ms"), (1.0004, "1s")]
)
def test_durations_are_written_as_promql_reads_them(seconds: float, text: str) -> None:
    assert promql_duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("7d", 604_800), ("500ms", 0.5)])
def test_a_duration_is_written_as_in_prometheus(text: str, seconds: float) -> None:
    assert duration("--last", text) == seconds


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "--last is not a duration"),
        ("1", "--last is not a duration"),
        ("1.5h", "--last is not a duration"),
        ("an hour", "--last is not a duration"),
        ("-1h", "--last is not a duration"),
        ("30m1h", "--last is not a duration"),
        ("0s", "--last is zero"),
        ("11y", "--last is more than 10y"),
    ],
)
def test_what_is_not_a_duration_is_refused(text: str, what: str) -> None:
    with pytest.raises(CommandError) as caught:
        duration("--last", text)
    assert caught.value.message == what
    assert caught.value.code == ExitCode.CONFIG
    assert caught.value.details[0] == f"given:   {text}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2025-06-15T15:06:40Z", 1_750_000_000.0),
        ("2025-06-15T17:06:40+02:00", 1_750_000_000.0),
        ("2025-06-15 15:06:40.5Z", 1_750_000_000.5),
    ],
)
def test_a_moment_is_rfc_3339(text: str, seconds: float) -> None:
    assert moment("--from", text) == seconds


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("yesterday", "--from is not a moment", "write 20"),
        ("2025-06-15", "--from is not a moment", "write 20"),
        ("2025-06-15T25:00:00Z", "--from is not a moment", "write 20"),
        ("2025-06-15T15:06:40", "--from has no offset from UTC", "write 2025-06-15T15:06:40Z for UTC"),
    ],
)
def test_what_is_not_a_moment_is_refused(text: str, what: str, fix: str) -> None:
    with pytest.raises(CommandError) as caught:
        moment("--from", text)
    assert caught.value.message == what
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (31, "31 s"), (10.5, "10.5 s"), (90, "1 min 30 s"), (3600, "1 h"), (90_000, "1 d 1 h")],
)
def test_durations_are_told_in_their_largest_units(seconds: float, text: str) -> None:
    assert words(seconds) == text
