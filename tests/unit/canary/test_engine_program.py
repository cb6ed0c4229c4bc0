"""What a run says of programs that the engine has given up in the middle: nothing, since it has told why it failed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from canary.engine import program
from canary.engine.program import Program, served


class _Never:
    """What is awaited for ever, without a loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def run_in_stack() -> None:
    """As Pulumi's: what it does at its end needs its loop."""
    try:
        await _Never()
    finally:
        asyncio.get_running_loop()


async def something_else() -> None:
    await run_in_stack()


@pytest.mark.parametrize(("left", "said"), [(run_in_stack, 0), (something_else, 1)])
def test_only_a_program_that_the_engine_has_given_up_is_left_without_a_word(
    left: Callable[[], Coroutine[Any, Any, None]], said: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.setattr(program, "_usual_hook", lambda given: found.append(given.object))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with served(Program(root=tmp_path), runs=False):
        coroutine = left()
        coroutine.send(None)
        del coroutine
    assert len(found) == said
