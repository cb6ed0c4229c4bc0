"""For the tests of `start --detach`: processes that are not started, of which a test says what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


class Background:
    """Takes the place of `subprocess.Popen`; `begins` is what the process does at first, with its id."""

    PID = 4242

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.sessions: list[bool] = []
        self.begins: Callable[[int, Any], None] = lambda pid, log: None
        self.code: int | None = None
        monkeypatch.setattr("canary.rollout.detaching.subprocess.Popen", self._open)
        monkeypatch.setattr("canary.rollout.detaching.PAUSE", 0)

    def _open(self, command: list[str], *, stdin: Any, stdout: Any, stderr: Any, start_new_session: bool) -> Any:
        assert stdout is stderr
        self.commands.append(command[1:])
        self.sessions.append(start_new_session)
        self.begins(self.PID, stdout)
        return self

    @property
    def pid(self) -> int:
        return self.PID

    def poll(self) -> int | None:
        return self.code
