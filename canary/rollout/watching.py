"""`canary rollout status --watch`: one line for each change, until the rollout has ended or Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import service_document
from canary.rollout.place import Place
from canary.rollout.reading import RolloutSeen, read
from canary.rollout.words import ENDED, clock, headline, waits_line, weights_words

if TYPE_CHECKING:
    from canary.ui import Ui
    from rollout.record import HistoryEntry

PAUSE = 0.5
"""Seconds between two looks."""
Seen = TypeVar("Seen")


@dataclass
class Changes:
    """What is new at each look at a rollout."""

    place: Place
    _last: RolloutSeen | None = field(default=None, init=False)

    def timed(self, seen: RolloutSeen) -> list[tuple[str, str]]:
        """Return each change since the look before with its time; at the first look where the rollout is."""
        last, self._last = self._last, seen
        if last is None:
            waits = waits_line(seen, self.place)
            return [(seen.now, headline(seen.record) + (f"; {waits}" if waits else ""))]
        found = [(entry.at, f"{entry.id} {entry.type.value}: {entry.text} ({entry.by})") for entry in _new(last, seen)]
        if seen.written is not None and seen.written != last.written:
            found.append((seen.now, f"{seen.record.id} routes: {'; '.join(_rules(seen))}"))
        return found

    def lines(self, seen: RolloutSeen) -> list[str]:
        """Return the same as a line for each."""
        return [timed_line(*one) for one in self.timed(seen)]


def timed_line(at: str, text: str) -> str:
    """Return what happened at a time, in one line."""
    return f"{clock(at)}  {text}"


def watch(ui: Ui, place: Place, look: Callable[[Place], RolloutSeen] = read, pause: float = PAUSE) -> None:
    """Print each change of a rollout until it has ended; with --json a document on each line.

    A cluster that does not answer for a while is noted once. Raises CommandError if it does not at the first look.
    """
    changes = Changes(place)
    follow(
        ui,
        lambda: look(place),
        lambda seen: (changes.lines(seen), lambda: service_document(place, seen)),
        has_ended,
        pause,
    )


def has_ended(seen: RolloutSeen) -> bool:
    """Return whether nothing of a rollout will change any more."""
    return seen.record.phase in ENDED or seen.record.void_since is not None


def follow(
    ui: Ui,
    look: Callable[[], Seen],
    told: Callable[[Seen], tuple[list[str], Callable[[], dict[str, Any]]]],
    ended: Callable[[Seen], bool],
    pause: float,
) -> None:
    """Print what is `told` of each look, until one has `ended` it or Ctrl-C: lines, with --json the document instead.

    Raises CommandError as `watch` does.
    """
    has_seen, is_away = False, False
    try:
        while True:
            try:
                seen = look()
            except CommandError as error:
                if not has_seen or error.code is not ExitCode.UNREACHABLE:
                    raise
                if not is_away:
                    ui.note(f"{' '.join(str(error).split())}; it is asked again")
                is_away = True
                time.sleep(pause)
                continue
            has_seen, is_away = True, False
            found, document = told(seen)
            for line in ([json.dumps(document(), default=str)] if found else []) if ui.json else found:
                print(line, flush=True)
            if ended(seen):
                return
            time.sleep(pause)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `| head` has read enough; the interpreter would complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _new(last: RolloutSeen, seen: RolloutSeen) -> list[HistoryEntry]:
    """The entries of the history since the look before; all of them if the record was made anew."""
    if seen.record.created_at != last.record.created_at and seen.record.generation < last.record.generation:
        return list(seen.record.history)
    return [entry for entry in seen.record.history if entry.generation > last.record.generation]


def _rules(seen: RolloutSeen) -> Iterator[str]:
    """The weights that the routes have, of the rules of the rollout."""
    rules = seen.record.plan.rules
    for rule in rules:
        words = weights_words((seen.written or {}).get(rule.key, {})) or "not found"
        yield words if len(rules) == 1 else f"{rule.text}: {words}"
