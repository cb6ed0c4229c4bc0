"""Progress of a long step on a stream that is not a terminal: what runs, for how long, and where its log is."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from sandbox.progress import PlainProgress, duration, progress


def test_plain_progress_shows_the_step_its_duration_and_its_log() -> None:
    stream = io.StringIO()
    report = progress(stream)
    assert isinstance(report, PlainProgress), "a stream that is not a terminal gets plain lines"
    with report.step("building etcd", Path("/logs/etcd.log")):
        pass
    with pytest.raises(ValueError, match="x"), report.step("building coredns"):
        raise ValueError("x")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "building etcd ... (log: /logs/etcd.log)"
    assert re.match(r"building etcd: done in \d+\.\d s", lines[1])
    assert re.match(r"building coredns: failed after \d+\.\d s", lines[3])


def test_plain_progress_prints_a_heartbeat_in_a_long_step() -> None:
    class Stream(io.StringIO):
        beaten = os.eventfd(0) if hasattr(os, "eventfd") else -1

        def write(self, text: str) -> int:
            if "12 of 90 packages" in text:
                os.eventfd_write(self.beaten, 1)
            return super().write(text)

    stream = Stream()
    with PlainProgress(stream, heartbeat_seconds=0.01).step("building etcd") as step:
        step.detail("12 of 90 packages")
        os.eventfd_read(stream.beaten)
    os.close(stream.beaten)


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (277.2, "4 min 37 s")])
def test_durations_are_in_seconds_or_minutes(seconds: float, text: str) -> None:
    assert duration(seconds) == text
