"""The loop of `canary status --watch`: read the cluster and Prometheus, show the table, wait, until Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from canary import telemetry
from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.status import ServiceState, look_at_services
from canary.time_options import words
from canary.watch.reading import Traffic, WatchState, as_json, assemble, read_traffic
from metrics.durations import promql_duration
from metrics.prometheus import PrometheusError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from canary.engine.session import Session
    from canary.ui import Ui
    from metrics.prometheus import Prometheus

Pause = Callable[[float], None]


@dataclass
class Watch:
    """What is read at each refresh. The connection to Prometheus stays open from one refresh to the next."""

    session: Session
    window: float
    _connection: ExitStack = field(default_factory=ExitStack)
    _prometheus: Prometheus | None = None
    _has_seen_cluster: bool = False

    def read(self) -> WatchState:
        """Read the cluster and Prometheus once; raises CommandError if the cluster has never answered."""
        settings = self.session.settings
        cluster, traffic = self._cluster(), self._traffic()
        rows = assemble(settings, cluster, traffic, self.window)
        return WatchState(self.session.stack, time.time(), self.window, rows)

    def close(self) -> None:
        """Close the connection to Prometheus; the next reading opens another."""
        self._prometheus = None
        self._connection.close()

    def _cluster(self) -> Mapping[str, ServiceState] | str:
        try:
            states = look_at_services(self.session.settings)
        except CommandError as error:
            if not self._has_seen_cluster:
                raise
            return _one_line(str(error))
        self._has_seen_cluster = True
        return {state.name: state for state in states}

    def _traffic(self) -> Mapping[str, Traffic] | str:
        settings = self.session.settings
        try:
            if self._prometheus is None:
                self._prometheus = self._connection.enter_context(telemetry.open_prometheus(self.session))
            return read_traffic(self._prometheus, telemetry.queries_of(settings), settings, self.window)
        except CommandError as error:
            return _one_line(str(error))
        except PrometheusError as error:
            self.close()  # perhaps the pod at the end of the forwarded port is gone
            return _one_line(str(telemetry.no_answer(error)))


def watch(ui: Ui, session: Session, interval: float, window: float | None, pause: Pause = time.sleep) -> None:
    """Show the stack's state every `interval` seconds until Ctrl-C; with --json, a document on each line.

    `window` is how many seconds of traffic are shown; default: two scrape intervals and a second. Raises CommandError
    if it is too short, or if the cluster does not answer at the start.
    """
    if not session.settings.services:
        raise CommandError(f"the stack {session.stack} has no services to watch", ExitCode.CONFIG)
    watched = Watch(session, _window(session, window))
    try:
        with _output(ui) as show:
            while True:
                begin = time.monotonic()
                show(watched.read())
                pause(max(0.0, interval - (time.monotonic() - begin)))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `| head` has read enough; the interpreter would complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        watched.close()


def _window(session: Session, given: float | None) -> float:
    interval = telemetry.scrape_interval(session.settings)
    shortest = telemetry.SCRAPES * interval
    if given is not None and given < shortest:
        raise CommandError(
            "--window is too short to hold two scrapes, without which Prometheus knows no rate",
            ExitCode.CONFIG,
            fix=f"write --window {promql_duration(shortest)}, or set a shorter istio-canary:telemetry.scrapeInterval",
            details=(
                f"given:   {words(given)}",
                f"allowed: at least {words(shortest)} (istio-canary:telemetry.scrapeInterval is {words(interval)})",
            ),
        )
    return telemetry.shortest_window(interval) if given is None else given


@contextmanager
def _output(ui: Ui) -> Iterator[Callable[[WatchState], None]]:
    """Show each state in place on a terminal, else one after the other."""
    if ui.json:
        yield lambda state: print(json.dumps(as_json(state)), flush=True)
        return
    from canary.watch.table import render

    if not ui.stdout.is_terminal:
        yield lambda state: print(_text(ui.stdout, render(state)), end="", flush=True)
        return
    from rich.live import Live

    with Live(console=ui.stdout, auto_refresh=False) as live:
        yield lambda state: live.update(render(state), refresh=True)


def _text(console: Console, shown: RenderableType) -> str:
    """What the console would print: if nobody reads that any more, rich itself ends the process as failed."""
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def _one_line(text: str) -> str:
    return "; ".join(" ".join(line.split()) for line in text.splitlines()).replace(":; ", ": ")
