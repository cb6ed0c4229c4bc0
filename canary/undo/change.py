"""The change of a stack's file with which a service goes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.problems import Location
    from stacks.settings.stack_file import StackFile


@dataclass(frozen=True)
class Edit:
    """A new value in the stack's file."""

    location: Location
    value: Any


@dataclass(frozen=True)
class Change:
    """What changes for a service, from what and to what, and where `after` is known from."""

    service: str
    strategy: str
    what: str
    before: str
    after: str
    known_from: str
    edits: tuple[Edit, ...]

    def words(self, source: StackFile) -> str:
        """Return the change in one sentence, with its place in the file."""
        line = source.line(self.edits[0].location)
        place = source.name if line is None else f"{source.name}:{line}"
        origin = f"; {self.known_from}" if self.known_from else ""
        return f"{self.service} ({self.strategy}): {self.what}: {self.before} -> {self.after} ({place}{origin})"

    def as_json(self, source: StackFile) -> dict[str, Any]:
        """Return the part of the document that `--json` prints."""
        from stacks.settings.problems import key_path

        return {
            "service": self.service,
            "strategy": self.strategy,
            "what": self.what,
            "before": self.before,
            "after": self.after,
            "file": source.name,
            "paths": [key_path(edit.location) for edit in self.edits],
        }


class Draft:
    """The changed file: it is as before again at the end of the block, unless `keep` was called."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text, self.kept = path, text, False

    def keep(self) -> None:
        """Keep the change."""
        self.kept = True

    def restore(self) -> None:
        """Write the former text."""
        self._path.write_bytes(self._text.encode())


@contextmanager
def changed_file(path: Path, change: Change) -> Iterator[Draft]:
    """Write the change into the stack's file while the block runs; raises CommandError if it cannot be written."""
    try:
        text = path.read_bytes().decode()
        new = _edited(text, change)
        draft = Draft(path, text)
        path.write_bytes(new.encode())
    except OSError as error:
        raise CommandError(f"{path} cannot be changed: {error.strerror}", ExitCode.CONFIG) from None
    try:
        yield draft
    finally:
        if not draft.kept:
            draft.restore()


def _edited(text: str, change: Change) -> str:
    from stacks.settings.editing import NotEditableError, flow, with_value
    from stacks.settings.problems import key_path

    for edit in change.edits:
        try:
            text = with_value(text, edit.location, edit.value)
        except NotEditableError as error:
            raise CommandError(
                str(error),
                ExitCode.CONFIG,
                fix=f"write {key_path(edit.location)}: {flow(edit.value)} yourself, then run `canary up`",
            ) from None
    return text


def weights_words(weights: Mapping[str, float]) -> str:
    """Return weights in words: `version-1: 90, version-2: 10`."""
    from traffic.proportions import number_words

    return ", ".join(f"{name}: {number_words(weight)}" for name, weight in weights.items())
