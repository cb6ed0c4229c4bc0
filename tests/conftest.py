"""What all tests have in common."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

# A law does not depend on how busy the machine is.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

UNDER_LOAD = ("test_no_request_lost", "test_rollouts_under_kills", "test_rollout_races", "test_rollout_capacity")
"""The files that send 250 requests a second and allow none to fail."""


class OneLoadAtATime(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files side by side, but for those under load, which come one after the other on one worker.

    Several of them starve each other's gateways on a machine with two cores, so that requests time out.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "under load" if PurePath(file).stem in UNDER_LOAD else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneLoadAtATime | None:
    """Return the scheduler of tests that run side by side, file by file."""
    return OneLoadAtATime(config, log) if config.getvalue("dist") == "loadfile" else None
