"""The memory of a process, and the stack whose rollout is measured; the rollout itself is not run here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rollouts import SERVICE, STILL, Stack
from benchmarks.runner_memory import CALLER, MOVING, memory_of, settings
from sandbox.layout import layout
from stacks.settings.loading import load


def test_the_memory_of_a_process_is_read_and_the_peak_is_never_below_it() -> None:
    peak, now = memory_of(os.getpid())
    assert 10 < now <= peak < 10_000


def test_a_process_that_has_ended_has_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(FileNotFoundError):
        memory_of(process.pid)


@pytest.mark.parametrize("route", [STILL, MOVING], ids=["before", "rolled out"])
def test_the_stack_has_a_caller_with_a_sidecar_and_gates_with_their_own_prometheus(
    route: list[dict[str, object]], tmp_path: Path
) -> None:
    stack = Stack(layout("benchmark"), "measured-memory", tmp_path)
    loaded = load({**settings(stack, route), "mesh": {"install": False}})
    assert set(loaded.services) == {SERVICE, CALLER}
    assert loaded.rollouts["measured"].gates is not None
    assert loaded.telemetry.prometheus.enabled
    assert loaded.telemetry.scrape_interval == "1s"
