"""The table of `canary status --watch`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from canary.telemetry import success_text
from canary.time_options import utc, words
from canary.watch.reading import ServiceRows, VersionRow, WatchState
from traffic.proportions import number_words, percent_words

COLUMNS = ("weight", "share", "requests/s", "success", "p95", "ready")
NARROWEST = 72
"""Columns of a terminal below which the table would cut numbers and names."""
NO_DATA = Text("no data", style="yellow")
NOTHING = Text("-", style="dim")
"""For a value that does not exist, such as the success rate of no requests."""


def render(state: WatchState) -> RenderableType:
    """Return the table of all services and versions, and below it why data is missing."""
    title = f"stack {state.stack} at {utc(state.time)}, traffic of the last {words(state.window)}"
    return Group(
        Text(title, style="bold"),
        _Versions(state.services),
        *_notes(state.services),
        *(Text(f"no data: {text}", "yellow") for text in state.problems),
    )


@dataclass(frozen=True)
class _Versions:
    """All versions: in a table, or in a paragraph each where the terminal is too narrow for one."""

    services: tuple[ServiceRows, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table() if options.max_width >= NARROWEST else Group(*self._paragraphs())

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for name in ("service", "version"):
            table.add_column(name, overflow="fold")  # long names wrap, so that no number is cut
        for name in COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for service in self.services:
            for index, row in enumerate(service.versions):
                is_last = row is service.versions[-1]
                table.add_row(Text("" if index else service.name), Text(row.name), *_cells(row), end_section=is_last)
        return table

    def _paragraphs(self) -> Iterator[Text]:
        for service in self.services:
            for row in service.versions:
                cells = zip(COLUMNS, _cells(row), strict=True)
                values = Text(", ").join(Text.assemble(f"{name} ", cell) for name, cell in cells)
                yield Text.assemble((f"{service.name} {row.name}: ", "bold"), values)


def _cells(row: VersionRow) -> tuple[Text, ...]:
    nothing = NOTHING if row.idle else NO_DATA
    return (
        NO_DATA if row.weight is None else Text(percent_words(row.weight)),
        nothing if row.share is None else Text(_share(row.share, row.weight)),
        NO_DATA if row.requests is None else Text(f"{row.requests:.1f}"),
        nothing if row.success_rate is None else Text(success_text(row.success_rate)),
        nothing if row.p95 is None else Text(f"{row.p95:.0f} ms" if row.p95 >= 10 else f"{row.p95:.1f} ms"),
        _pods(row),
    )


def _share(share: float, weight: float | None) -> str:
    """With more decimals where the weight has more, so that the two can be compared."""
    decimals = max(1, len(number_words(weight or 0).partition(".")[2]))
    return f"{100 * share:.{decimals}f} %"


def _pods(row: VersionRow) -> Text:
    if row.pods_ready is None or row.pods_desired is None:
        return NO_DATA
    text = f"{row.pods_ready} of {row.pods_desired}"
    return Text(text, style="" if row.pods_ready == row.pods_desired else "yellow")


def _notes(services: tuple[ServiceRows, ...]) -> list[Text]:
    notes = [f"{service.name}: {text}" for service in services for text in service.other_rules]
    return [Text(f"{note} (its requests are part of the share)", style="dim") for note in notes]
