"""Runs that are killed, interrupted or started twice, and what the next run makes of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from threading import Timer

import pytest

from tests.e2e.runs import STACK, answers, kill_half_way, locks, running_pulumi
from tests.e2e.tools import LONG, Project, wait_until


@pytest.mark.parametrize("moment", [0.0, 1.0, 3.0] if LONG else [1.0])
@pytest.mark.parametrize("whom", ["the command", pytest.param("all its processes", marks=pytest.mark.long)])
def test_a_killed_up_is_recovered_by_the_next_one(shop: Project, whom: str, moment: float) -> None:
    kill_half_way(shop, "up", whom, moment)
    again = shop.canary("up", "--stack", STACK, "--yes")
    if again.returncode:  # at most one fix is needed
        assert "canary cancel" in again.stdout + again.stderr, again.stdout + again.stderr
        assert shop.canary("cancel", "--stack", STACK).returncode == 0
        again = shop.canary("up", "--stack", STACK, "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Traceback" not in again.stdout + again.stderr
    assert answers(shop) == {"version-1", "version-2"}
    assert set(shop.up(STACK)["changes"]) == {"same"}


@pytest.mark.long
def test_recovery_works_where_creating_an_object_that_exists_is_an_error(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the provider from 4.29 on; the one that is built here does so without server-side apply."""
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", "false")
    for moment in (0.3, 1.0, 2.0):
        kill_half_way(shop, "up", "all its processes", moment)
    assert shop.up(STACK)["stack"] == STACK
    assert answers(shop) == {"version-1", "version-2"}


@pytest.mark.long
def test_the_second_of_two_concurrent_ups_is_refused_with_the_holder_and_the_fix(shop: Project) -> None:
    first = shop.popen("up", "--stack", STACK, "--yes")
    wait_until(lambda: bool(locks(shop)), "the first one's lock", 30)
    second = shop.canary("up", "--stack", STACK, "--yes")
    assert second.returncode == 4, second.stdout + second.stderr
    assert f"canary cancel --stack {STACK}" in second.stderr
    assert "process" in second.stderr or "pid" in second.stderr, second.stderr
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output


@pytest.mark.long
def test_a_state_that_another_run_is_writing_is_read_again(shop: Project) -> None:
    """Pulumi writes the attributes of the state's file in place: a reader may find them empty for a moment."""
    shop.up(STACK)
    attributes = attributes_of_the_state(shop)
    content = attributes.read_bytes()
    attributes.write_bytes(b"")
    run = shop.popen("preview", "--stack", STACK)
    Timer(0.5, attributes.write_bytes, [content]).start()
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    assert attributes.read_bytes() == content


@pytest.mark.long
@pytest.mark.parametrize("left", [b"", b'{"user.cache_control":"","user.con'])
def test_attributes_that_a_killed_run_left_unfinished_do_not_stop_the_next_one(shop: Project, left: bytes) -> None:
    shop.up(STACK)
    attributes_of_the_state(shop).write_bytes(left)
    assert set(shop.up(STACK)["changes"]) == {"same"}


def attributes_of_the_state(project: Project) -> Path:
    """The file of attributes beside the stack's state."""
    return next((project.folder / "backend" / ".pulumi" / "stacks").rglob(f"{STACK}.json.attrs"))


@pytest.mark.parametrize(
    ("whom", "moment"),
    [
        pytest.param("the command", 0.5, marks=pytest.mark.long),
        pytest.param("all its processes", 0.2, marks=pytest.mark.long),
        ("all its processes", 0.8),
    ],
)
def test_an_up_after_a_killed_destroy_succeeds(shop: Project, whom: str, moment: float) -> None:
    """Running deletions continue, and the up must not assume that the objects exist."""
    shop.up(STACK)
    kill_half_way(shop, "destroy", whom, moment)
    again = shop.canary("up", "--stack", STACK, "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not running_pulumi(shop.folder), "providers of the killed run were ended, too"
    assert answers(shop) == {"version-1", "version-2"}


@pytest.mark.long
@pytest.mark.parametrize("command", ["up", "destroy"])
def test_ctrl_c_leaves_the_stack_usable(shop: Project, command: str) -> None:
    if command == "destroy":
        shop.up(STACK)
    run = shop.popen(command, "--stack", STACK, "--yes")
    wait_until(lambda: bool(locks(shop)), "the lock", 30)
    time.sleep(0.8)  # any moment during the run must work
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=120)
    assert run.returncode in (0, 130), output
    assert "Traceback" not in output
    assert not running_pulumi(shop.folder)
    assert shop.up(STACK)["stack"] == STACK
    assert answers(shop) == {"version-1", "version-2"}
