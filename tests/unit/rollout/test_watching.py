"""The watch of a record goes on after the API server has ended or refused it, until it is closed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import Status

from rollout.watching import RecordWatch

TOO_OLD = ApiError(status=Status(code=410, message="too old resource version: 59934 (60638)", reason="Expired"))


class Watched:
    """A client whose watches end one after the other as they are given; the last one closes the watch."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.begun = 0
        self.woken = 0
        self.record = RecordWatch(lambda: nullcontext(self), "ns", "record", self.wake)  # type: ignore[arg-type,return-value]

    def wake(self) -> None:
        self.woken += 1

    def watch(self, *given: Any, **keys: Any) -> Iterator[Any]:
        self.begun += 1
        yield object()
        if self.ends:
            raise self.ends.pop(0)
        self.record.close()


@pytest.mark.parametrize("end", [TOO_OLD, ConnectionError("reset")], ids=["too old", "no connection"])
def test_a_watch_that_ends_begins_again_without_a_traceback(
    end: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rollout.watching.AGAIN_SECONDS", 0.0)
    watched = Watched(end)

    with caplog.at_level(logging.WARNING):
        watched.record._run()

    assert (watched.begun, watched.woken) == (2, 2)
    assert caplog.text == ""
