"""What `canary rollout start` shows while it runs: a line for each change, and on a terminal what it waits for.

A reader that goes away must not end the rollout: then nothing is printed any more.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from canary.rollout.place import Place
from canary.rollout.words import clock, headline, time_words, where
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from rich.status import Status

    from canary.ui import Ui
    from rollout.decision import Decision
    from rollout.record import Record


class Progress:
    """Told of each look of the runner; shows what is new on stderr."""

    def __init__(self, ui: Ui, place: Place) -> None:
        self._ui = ui
        self._place = place
        self._opened = ExitStack()
        self._status: Status | None = None
        self._generation: int | None = None
        self._waits = ""
        self._is_read = True

    def __enter__(self) -> Progress:
        if self._ui.stderr.is_terminal and not self._ui.json:
            self._status = self._opened.enter_context(self._ui.stderr.status("looking"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def see(self, record: Record, decision: Decision) -> None:
        """Show what has changed since the look before."""
        if self._generation is None:
            self._line(headline(record))
        for entry in record.history:
            if self._generation is not None and entry.generation > self._generation:
                self._line(f"{clock(entry.at)}  {entry.type.value}: {entry.text}")
        self._generation = record.generation
        self._show_waits(record, decision)

    def _show_waits(self, record: Record, decision: Decision) -> None:
        why = self._place.completed(decision.why)
        if self._status is not None:
            weight = f"{record.target.version} {percent_words(record.target_weight())}"
            left = decision.wait_seconds or 0.0
            kept = f" for another {time_words(left)}" if why.endswith("is kept") else ""
            self._status.update(f"{where(record)}, {weight}: {why}{kept}".replace("[", "\\["))
        elif decision.record is None and why != self._waits:
            self._line(why)
            self._waits = why

    def _line(self, text: str) -> None:
        if not self._is_read:
            return
        try:
            if self._status is not None:
                self._ui.stderr.print(text, markup=False, soft_wrap=True)
            else:
                print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self._is_read = False
