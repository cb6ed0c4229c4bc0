"""What an operation on a resource comes to, as the service sends it to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """A resource's id and state, and its inputs where the operation found them. An empty id: it is not there."""

    id: str
    properties: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """Inputs as they go into the state, and what is wrong with them, as (property, reason)."""

    inputs: dict[str, Any]
    failures: Sequence[tuple[str, str]] = ()


class ResourceError(Exception):
    """The operation failed and nothing of it is in the state; the message is for the person."""


class InitFailedError(Exception):
    """The resource exists but did not become ready: it goes into the state with the reasons, and is tried again."""

    def __init__(self, message: str, outcome: Outcome, reasons: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reasons = [message, *reasons]
