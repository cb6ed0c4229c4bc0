"""The settings of earlier runs of a stack, which Pulumi records in its backend (`pulumi stack history`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.engine.engine_errors import stack_is_missing

if TYPE_CHECKING:
    from canary.engine.session import Session
    from stacks.settings.model import Settings

MOST_RUNS = 50
"""Runs that are looked at; each has the whole config."""


@dataclass(frozen=True)
class Recorded:
    """A successful run: its settings, and when it ended (RFC 3339)."""

    settings: Settings
    ended: str


def recorded(session: Session) -> Iterator[Recorded]:
    """Yield the last successful updates of the stack, the newest first; raises CommandError if they cannot be read.

    Settings that are no longer valid are left out.
    """
    from stacks.settings.loading import load_runtime
    from stacks.settings.problems import SettingsError

    for run in _history(session):
        if run.get("kind") != "update" or run.get("result") != "succeeded":
            continue
        config: Mapping[str, Any] = run.get("config") or {}
        texts = {key: str(entry.get("value", "")) for key, entry in config.items() if not entry.get("secret")}
        try:
            yield Recorded(load_runtime(texts, None, frozenset(), session.stack), str(run.get("endTime", "")))
        except SettingsError:
            continue


def _history(session: Session) -> list[Any]:
    done = session.engine.call("stack", "history", "--json", "--page-size", str(MOST_RUNS), "--page", "1")
    if done.returncode == 0:
        found: list[Any] = json.loads(done.stdout)
        return found
    if stack_is_missing(done.stderr):
        return []
    raise CommandError("the stack's history cannot be read", details=tuple(done.stderr.splitlines()))
