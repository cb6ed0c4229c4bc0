"""Waiting beside a program whose own threads are all taken."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.waiting import in_own_thread


def test_a_wait_runs_although_every_thread_of_the_program_waits_for_it() -> None:
    """As the calls of Pulumi's SDK do: they wait for the engine, and the engine for a hook."""
    done = threading.Event()

    async def program() -> bool:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1) as only:
            loop.set_default_executor(only)
            registration = loop.run_in_executor(None, done.wait, 30)
            await in_own_thread(done.set)
            return await registration

    assert asyncio.run(program()), "the wait had to wait for the one that waits for it"


def test_what_a_wait_raises_is_raised() -> None:
    def fails() -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        asyncio.run(in_own_thread(fails))
