"""`canary rollout report --replay`: the decisions of a file again, by the statistics of this version, offline."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.errors import explained
from canary.rollout.place import Place
from canary.rollout.reading import SECONDS
from canary.rollout.words import clock

if TYPE_CHECKING:
    from rich.console import Console

    from rollout.gates.decide import Verdict
    from rollout.gates.replay import Seen


MOST_BYTES = 64 * 2**20
"""Bytes of a file that is read: several times as many as a ConfigMap can keep, packed."""


@dataclass(frozen=True)
class Replayed:
    """The decisions of a file with what they are now; `differing` is how many have another answer.

    `left_out` is how many the cluster had no room for.
    """

    rollout: str
    runs: tuple[tuple[tuple[Seen, Verdict], ...], ...]
    left_out: int = 0

    @property
    def differing(self) -> int:
        """How many decisions have another answer now."""
        return sum(seen.answer is not verdict.answer for run in self.runs for seen, verdict in run)

    @property
    def other_reasons(self) -> int:
        """How many decisions have the same answer for another reason: other words or numbers than in the file."""
        return sum(
            seen.answer is verdict.answer and seen.reason != verdict.reason
            for run in self.runs
            for seen, verdict in run
        )


def replayed(file: Path, service: str) -> Replayed:
    """Return the decisions of a file again; raises CommandError if it has none of the service."""
    from rollout.gate_file import gate_file
    from rollout.gates.replay import ReplayError, replay

    fix = "write it with `canary rollout report SERVICE --decisions FILE`"
    try:
        found = gate_file(_text_of(file.expanduser()))
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"--replay: {file} cannot be read: {what}", ExitCode.CONFIG, "give another file") from None
    except ReplayError as error:
        raise CommandError(f"--replay: {file}: {error}", ExitCode.CONFIG, fix) from None
    if not any(run.seen for run in found.runs):
        raise CommandError(f"--replay: {file}: there is no decision in it", ExitCode.CONFIG, fix)
    of, _, _ = found.rollout.rpartition("-")
    if of != service:
        what = f"--replay: {file} has the decisions of {found.rollout}, which is no rollout of {service}"
        raise CommandError(what, ExitCode.CONFIG, f"write `canary rollout report {of or 'SERVICE'} --replay {file}`")
    runs = tuple(tuple(zip(run.seen, replay(run), strict=True)) for run in found.runs)
    return Replayed(found.rollout, runs, found.left_out)


def _text_of(file: Path) -> str:
    """The text of a file; raises OSError and UnicodeDecodeError, also for what has no end."""
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES // 2**20} MiB")
    return content.decode("utf-8-sig")


def write_decisions(file: Path, place: Place) -> str:
    """Write the decisions that the cluster keeps to a file, and return its absolute path; raises CommandError."""
    from kube.client import query
    from rollout.gate_file import unpacked
    from rollout.gates.replay import ReplayError
    from rollout.store import RolloutStore

    with explained(place):
        found = query(
            place.cluster,
            lambda client: RolloutStore(client, place.namespace, place.service).read_gates(),
            within=SECONDS,
        )
    if found is None or not found[1]:
        raise CommandError(
            f"the gates of {place.service} have decided nothing that is kept: it has none, or they had no numbers yet",
            ExitCode.CONFIG,
            f"see `{place.command('status')}`",
        )
    path = Path(os.path.abspath(file.expanduser()))
    try:
        path.write_text(unpacked(found[1]), encoding="utf-8")
    except (OSError, ReplayError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(
            f"--decisions: {path} cannot be written: {reason}", ExitCode.CONFIG, "give another file"
        ) from None
    return str(path)


def as_json(found: Replayed) -> dict[str, Any]:
    """Return the document of `--replay`."""
    return {
        "rollout": found.rollout,
        "differing": found.differing,
        "otherReasons": found.other_reasons,
        "leftOut": found.left_out,
        "runs": [
            [
                {
                    "at": _time(seen),
                    "step": seen.moment.step + 1,
                    "blocks": seen.blocks,
                    "answer": seen.answer.value,
                    "now": verdict.answer.value,
                    "logE": verdict.log_e,
                    "reason": verdict.reason,
                }
                for seen, verdict in run
            ]
            for run in found.runs
        ],
    }


def show(console: Console, found: Replayed) -> None:
    """Print each decision, and whether all are the same again, with the same reasons."""
    from canary.rollout.table import new_table

    table = new_table()
    for name in ("time", "step", "blocks", "answer", "again", "why"):
        table.add_column(name, overflow="fold")
    for run in found.runs:
        for seen, verdict in run:
            style = None if seen.answer is verdict.answer else "red"
            texts = (clock(_time(seen)), str(seen.moment.step + 1), str(seen.blocks), seen.answer.value)
            table.add_row(*texts, verdict.answer.value, verdict.reason, style=style)
    number = sum(map(len, found.runs))
    console.print(table)
    others = f"{found.differing} {'is another' if found.differing == 1 else 'are others'} now"
    same = others if found.differing else "all are the same again"
    if found.other_reasons:
        same = others if found.differing else "all answers are the same again"
        same = f"{same}, and {found.other_reasons} of the same answer for another reason than in the file"
    console.print(
        f"{found.rollout}: {number} decision{'s' if number > 1 else ''}, {same}",
        markup=False,
        style="bold",
        soft_wrap=True,
    )


def _time(seen: Seen) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seen.moment.now, UTC).isoformat(timespec="milliseconds")
