"""Which Prometheus tells what the gates and the limits of a rollout say: one that is named, or the stack's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.rollout.place import Place
from rollout.prometheus_readings import Connect, NoPrometheusError, PrometheusReadings, at_url

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.ui import Ui
    from metrics.prometheus import Prometheus

NO_STACK = "without --stack there is no Prometheus to ask: add --prometheus URL, or start it with --stack"
TIMEOUT = 5.0


def readings_of(ui: Ui, place: Place) -> PrometheusReadings:
    """Return what reads limits and gates for the runner."""
    return PrometheusReadings(prometheus_of(ui, place))


def prometheus_of(ui: Ui, place: Place, timeout: float = TIMEOUT) -> Connect:
    """Return what opens the Prometheus that is named, else the stack's; `timeout`, in seconds, is for each query."""
    if place.prometheus is not None or place.loaded is None or place.stack is None:
        return at_url(place.prometheus, NO_STACK, timeout)
    from canary.engine.session import Session
    from canary.project import find_project

    session = Session(ui, find_project(), place.stack, place.loaded)
    return lambda: _of_stack(session, timeout)


@contextmanager
def _of_stack(session: Session, timeout: float) -> Iterator[Prometheus]:
    from canary import telemetry

    with ExitStack() as opened:
        try:
            prometheus = opened.enter_context(telemetry.open_prometheus(session, timeout))
        except CommandError as error:
            raise NoPrometheusError(" ".join(str(error).split())) from None
        yield prometheus
