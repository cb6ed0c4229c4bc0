"""The Prometheus of a stack: how this machine reaches it, and what its answers say of the stack's versions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from canary.cluster_urls import ServicePort, at, service_of
from canary.command_error import CommandError, cluster_needed
from canary.consoles import PROMETHEUS
from canary.exit_codes import ExitCode
from metrics.durations import prometheus_seconds

if TYPE_CHECKING:
    from canary.engine.session import Session
    from metrics.prometheus import Prometheus, PrometheusError
    from metrics.queries import Queries
    from stacks.settings.model import Settings

TIMEOUT = 5.0

SCRAPES = 2
"""rate() needs this many scrapes of a counter; with fewer in its window it returns nothing."""


@contextmanager
def open_prometheus(session: Session, timeout: float = TIMEOUT) -> Iterator[Prometheus]:
    """Open a client of the stack's Prometheus, through a forwarded port where it has no address outside the cluster.

    `timeout`, in seconds, is for each query. Raises CommandError if Prometheus is off or its pod cannot be reached.
    Nothing is asked yet: a Prometheus that does not answer, or too late, raises PrometheusError at the first query.
    """
    from metrics.prometheus import Prometheus

    with ExitStack() as opened:
        url = _url(session, opened)
        yield opened.enter_context(Prometheus(url, timeout))


def no_answer(error: PrometheusError) -> CommandError:
    """Return the error for a Prometheus that gives no answer, in time or at all."""
    return CommandError(f"Prometheus cannot be queried: {error.reason}", ExitCode.UNREACHABLE, fix=error.fix)


def queries_of(settings: Settings) -> Queries:
    """Return the queries for the metrics that the stack is measured by."""
    from metrics.queries import Queries

    return Queries(settings.telemetry.metrics)


def scrape_interval(settings: Settings) -> float:
    """Return the seconds between two scrapes of a proxy."""
    return prometheus_seconds(settings.telemetry.scrape_interval)


def shortest_window(interval: float) -> float:
    """Return the seconds that surely hold the last two scrapes of each proxy; `interval` is the scrape interval."""
    return SCRAPES * interval + 1


def finite(value: float) -> float | None:
    """Return `value`, or None for NaN and infinities: Prometheus' answer to a division by zero is not a number."""
    return value if math.isfinite(value) else None


def success_text(rate: float) -> str:
    """Return a success rate as text, never rounded up to 100 %: one failed request in a million is not none."""
    shown = f"{100 * rate:.2f}"
    return f"{'99.99' if shown == '100.00' and rate < 1 else shown} %"


def _url(session: Session, opened: ExitStack) -> str:
    """The URL at which Prometheus is reached from here; a forwarded port stays open as long as `opened`."""
    telemetry = session.settings.telemetry
    given = telemetry.prometheus.url
    if given is None:
        if not telemetry.prometheus.enabled:
            raise PROMETHEUS.off(telemetry, session.stack, session.project.stack_file(session.stack).name)
        return _forward(session, opened, ServicePort(telemetry.namespace, PROMETHEUS.service, PROMETHEUS.port))
    service = service_of(given)
    if service is None:
        return given
    return at(given, urlsplit(_forward(session, opened, service)).netloc)


def _forward(session: Session, opened: ExitStack, to: ServicePort) -> str:
    from kube.port_forward import PortForward
    from kube.service_pods import PortForwardError

    forward = PortForward(session.settings.cluster, to.namespace, to.service, to.port)
    try:
        with cluster_needed():
            return opened.enter_context(forward).url
    except PortForwardError as error:
        what = f"Prometheus cannot be reached: {error.message}"
        raise CommandError(what, ExitCode.UNREACHABLE, fix=error.fix, details=error.details) from None
