"""`canary report`: the traffic of the versions over a range of time, as one HTML page."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.options import JsonOption, StackOption
from canary.ui import command
from metrics.durations import prometheus_seconds

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.traffic_report.data import Grid, TrafficReport

DEFAULT_RANGE = "1h"
QUERY_SECONDS = 30.0
"""For one query, which may be over weeks."""
Last = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help=f"The range until now, such as 30m or 7d; default: {DEFAULT_RANGE}."),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Begin of the range, such as 2025-06-01T12:00:00Z.")
]
To = Annotated[str | None, typer.Option(metavar="TIME", help="End of the range; default: now.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file to write; default: report-<stack>.html in the current folder."),
]


def report(
    stack: StackOption = None,
    json: JsonOption = False,
    last: Last = None,
    begin: From = None,
    to: To = None,
    output: Output = None,
) -> None:
    """Write a page about the traffic of the versions.

    One HTML file with charts that needs no network: weight and observed share, success rate, requests and durations of
    each version, with a line at each change of the weights. Reads the stack's Prometheus. Prints the file's path; with
    --json, also the summary.
    """
    with command(json) as ui:
        from canary.engine.session import open_session
        from canary.traffic_report.data import as_json
        from canary.traffic_report.page import page

        session = open_session(ui, stack)
        now = time.time()
        grid = _grid(session, now, last, begin, to)
        file = _writable(output or Path(f"report-{session.stack.split('/')[-1]}.html"))
        found = _read(session, grid, now)
        _write(file, page(found))
        for problem in found.problems:
            ui.note(f"missing: {problem}")
        ui.result(as_json(found, str(file)), lambda console: console.print(str(file), markup=False, soft_wrap=True))


def _range(now: float, last: str | None, begin: str | None, to: str | None) -> tuple[float, float]:
    """The begin and the end that the options name; raises CommandError if they make no sense."""
    from canary import time_options

    if last is not None and (begin, to) != (None, None):
        raise CommandError(
            "--last and --from or --to are both given",
            ExitCode.CONFIG,
            fix="keep --last for a range until now, or --from and --to",
        )
    if begin is None and to is not None:
        raise CommandError("--to is given without --from", ExitCode.CONFIG, fix="add --from, or use --last instead")
    end = now if to is None else time_options.moment("--to", to)
    if begin is not None:
        start = time_options.moment("--from", begin)
    else:
        start = end - time_options.duration("--last", DEFAULT_RANGE if last is None else last)
    for option, given, seconds in (("--from", begin, start), ("--to", to, end)):
        if given is not None and seconds > now:
            allowed = f"a moment that has passed; it is {time_options.rfc3339(now)}"
            raise time_options.invalid(f"{option} is in the future", given, allowed, "give an earlier moment")
    if begin is not None and start >= end:
        until = to or f"{time_options.rfc3339(now)} (now)"
        raise time_options.invalid(
            "--from is not before --to", f"--from {begin}, --to {until}", "--from before --to", "exchange the two"
        )
    return start, end


def _grid(session: Session, now: float, last: str | None, begin: str | None, to: str | None) -> Grid:
    """The points in time to show; raises CommandError if the range is too short or too long."""
    from canary import telemetry, time_options
    from canary.traffic_report.data import grid

    start, end = _range(now, last, begin, to)
    longest = prometheus_seconds(time_options.LONGEST)
    if end - start > longest:
        raise time_options.invalid(
            "the range is longer than Prometheus can be asked for",
            time_options.words(end - start),
            f"up to {time_options.LONGEST}",
            f"give a later --from, such as {time_options.rfc3339(end - longest)}",
        )
    interval = telemetry.scrape_interval(session.settings)
    shortest = telemetry.shortest_window(interval)
    if end - start < shortest:
        raise time_options.invalid(
            "the range is too short to hold two scrapes, without which Prometheus knows no rate",
            time_options.words(end - start),
            f"at least {time_options.words(shortest)} (istio-canary:telemetry.scrapeInterval is "
            f"{time_options.words(interval)})",
            "give a longer range",
        )
    return grid(start, end, interval)


def _writable(file: Path) -> Path:
    """The absolute path of the page; raises CommandError before anything is read if it cannot be a file."""
    try:
        path = file.expanduser().absolute()
        is_folder, is_in_folder = path.is_dir(), path.parent.is_dir()
        may_write = os.access(path if path.exists() else path.parent, os.W_OK)
    except (OSError, RuntimeError) as error:  # the latter: there is no such user
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise CommandError(
            f"--output: {file} cannot be written: {reason}", ExitCode.CONFIG, fix="give another file"
        ) from None
    if not is_in_folder:
        fix = f"mkdir -p {shlex.quote(str(path.parent))}" if not path.parent.exists() else "give a file in a folder"
        raise CommandError(f"--output: there is no folder {path.parent}", ExitCode.CONFIG, fix=fix)
    if is_folder:
        raise CommandError(
            f"--output: {path} is a folder", ExitCode.CONFIG, fix=f"give a file in it, such as {path / 'report.html'}"
        )
    if not may_write:
        raise CommandError(f"--output: no permission to write {path}", ExitCode.CONFIG, fix="give another file")
    return path


def _read(session: Session, grid: Grid, now: float) -> TrafficReport:
    """The data of the report; raises CommandError if there is none."""
    from canary import telemetry
    from canary.time_options import utc
    from canary.traffic_report.reading import read_report
    from metrics.prometheus import PrometheusError

    settings = session.settings
    if not settings.services:
        raise CommandError(f"the stack {session.stack} has no services to report on", ExitCode.CONFIG)
    try:
        with telemetry.open_prometheus(session, QUERY_SECONDS) as prometheus:
            found = read_report(prometheus, telemetry.queries_of(settings), settings, session.stack, grid, now)
    except PrometheusError as error:
        raise telemetry.no_answer(error) from None
    if not any(service.has_data for service in found.services):
        raise CommandError(
            f"Prometheus has no data of the stack {session.stack} from {utc(grid.start)} to {utc(grid.end)}",
            fix="give a range with requests, within Prometheus' retention; if it had some, look in Prometheus "
            "whether it scrapes the callers' proxies (Status, Target health)",
            details=found.problems,
        )
    return found


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}", ExitCode.FAILED, fix="give another file with --output"
        ) from None
