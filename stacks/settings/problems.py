"""What is wrong with a stack's settings, as messages to their author."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NAMESPACE = "istio-canary"
"""Namespace of our keys in a stack's `config:`, which is the project's name."""

LONGEST_GIVEN = 120
USER_INFO = re.compile(r"(?<=://)[^/?#\s\"']*(?=@)|(?<![\w/.:-])[^/@:\s\"']+:[^/@\s\"']+(?=@(?!sha256:))")
"""User and password in a URL, with its scheme or without; not an image with its digest."""

Location = tuple[str | int, ...]
"""Path of a value under `config:`, without the namespace: ("services", "website", "route", 1, "to")."""


@dataclass(frozen=True)
class Finding:
    """A mistake at a location in the settings: what is wrong, what is allowed, the fix, what was given."""

    location: Location
    what: str
    allowed: str
    fix: str
    given: str = ""


@dataclass(frozen=True)
class Problem:
    """A mistake as it is shown: where it is, what was given, what is allowed, and how to fix it.

    `path` is the key's path for `pulumi config set --path`; `file` and `line` (from 1) are None if the value does not
    come from a file; `sample` is the sample that the value is a default of.
    """

    path: str
    what: str
    given: str
    allowed: str
    fix: str
    file: str | None = None
    line: int | None = None
    sample: str | None = None

    @property
    def place(self) -> str:
        """`Pulumi.dev.yaml:14`, or `from sample website`, or nothing."""
        if self.sample:
            return f"from sample {self.sample}"
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.place, self.path, self.what) if part)
        parts = (("given", self.given), ("allowed", self.allowed), ("fix", self.fix))
        return "\n".join([head, *(f"    {name + ':':<8} {text}" for name, text in parts if text)])


class SettingsError(Exception):
    """All problems of a stack's settings. Nothing was touched when it is raised.

    `source` is what was read: the file's name, or "the stack's config".
    """

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n\n".join([f"{count} in {self.source} (nothing was touched)", *map(str, self.problems)])


def key_path(location: Sequence[str | int]) -> str:
    """Return `istio-canary:services.website.route[1].to` for the parts of a location."""
    path = f"{NAMESPACE}:"
    for index, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif index == 0:
            path += part
        else:
            path += f".{part}" if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'["{part}"]'
    return path


def shown(value: Any) -> str:
    """Return a value as in a file, on one line, without secrets and passwords in URLs, and truncated if it is long."""
    text = without_user(json.dumps(_masked(value), ensure_ascii=False, default=str))
    return text if len(text) <= LONGEST_GIVEN else f"{text[: LONGEST_GIVEN - 1]}…"


def _masked(value: Any) -> Any:
    """What is under `secure:` may be a secret that a person has written there in plain text."""
    if isinstance(value, dict):
        return {key: "[secret]" if key == "secure" else _masked(one) for key, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, (list, tuple)) else value


def without_user(text: str) -> str:
    """Return the text without users and passwords in its URLs: a log has more readers than the file."""
    return USER_INFO.sub("…", text)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to `name`, ignoring case; None if none is, or if several are as close."""
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)
    if len(close) == 2 and _likeness(name, close[0]) == _likeness(name, close[1]):
        return None  # version-3 may be neither version-1 nor version-2, but a new one
    return by_lower[close[0]] if close else None


def _likeness(name: str, known: str) -> float:
    return difflib.SequenceMatcher(None, known, name.lower()).ratio()
