"""A stack's lock: who holds it, and whether that run is still running."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from canary.engine.driver import OWNER
from canary.engine.engine_errors import locked
from canary.engine.locks import Lock, locks_in, locks_of, wait_for_end
from canary.exit_codes import ExitCode

# Recorded from pulumi 3.200.
MESSAGE = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  file:///state/.pulumi/locks/organization/toy/dev/4a9678b9.json?no_tmp_dir=true: created by root@vm (pid 12285) "
    "at 2026-11-21T07:49:06Z\n"
)


def lock(pid: int, host: str | None = None, url: str = "file:///nowhere/lock.json") -> Lock:
    return Lock(url, "root", host or socket.gethostname(), pid, "2026-11-21T07:49:06Z")


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_holder_is_read_from_the_engines_message() -> None:
    (found,) = locks_in(MESSAGE)
    assert (found.user, found.host, found.pid, found.since) == ("root", "vm", 12285, "2026-11-21T07:49:06Z")
    assert found.file == Path("/state/.pulumi/locks/organization/toy/dev/4a9678b9.json"), "without the query"


@pytest.mark.parametrize("text", ["", "error: no stack named 'dev' found", "error: update failed"])
def test_other_messages_name_no_lock(text: str) -> None:
    assert locks_in(text) == ()


def test_the_error_names_the_holder_and_the_command_that_releases_the_lock() -> None:
    failure = locked("dev", locks_in(MESSAGE)[0])
    assert failure.code is ExitCode.LOCKED
    assert "root@vm, process 12285, since 2026-11-21T07:49:06Z" in failure.message
    assert "canary cancel --stack dev" in failure.fix


def test_a_holder_that_has_ended_on_this_machine_is_dead() -> None:
    assert lock(ended_process()).is_dead, "the process has ended"
    assert not lock(os.getpid()).is_dead, "this process is running"


def test_a_holder_on_another_machine_is_never_dead() -> None:
    assert not lock(ended_process(), host="elsewhere.example").is_dead, "a process id means nothing on another machine"


def test_the_locks_of_a_stack_are_read_from_the_folder_of_its_backend(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi/locks/organization/toy"
    for stack in ("dev", "prod"):
        (folder / stack).mkdir(parents=True)
    said = {"pid": 12285, "username": "root", "hostname": "vm", "timestamp": "2026-11-21T07:49:06Z"}
    (folder / "dev/4a96.json").write_text(json.dumps(said))
    (folder / "dev/4a96.json.attrs").write_text("{}")
    (folder / "prod/77.json").write_text("")

    (found,) = locks_of(tmp_path, "toy", "organization/toy/dev")
    assert str(found) == "root@vm, process 12285, since 2026-11-21T07:49:06Z"
    assert found.file == folder / "dev/4a96.json"
    (unfinished,) = locks_of(tmp_path, "toy", "prod")
    assert unfinished.since == "just now", "it is being written"
    assert locks_of(tmp_path, "other", "dev") == ()


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert lock(process.pid).is_dead, "its parent has just not collected its status yet"
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("owner", "orphan"), [(os.getpid(), False), (1_000_000_000, True)], ids=["its canary lives", "its canary is gone"]
)
def test_an_engine_without_its_canary_is_an_orphan(owner: int, orphan: bool) -> None:
    waits = [sys.executable, "-c", "print(flush=True); input()"]
    process = subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={OWNER: str(owner)})
    try:
        assert process.stdout is not None
        process.stdout.readline()  # /proc has the environment only once the program runs
        assert lock(process.pid).is_orphan is orphan, "the canary that started it is its parent, or has ended"
    finally:
        process.communicate(b"\n")


def test_releasing_a_lock_removes_its_file(tmp_path: Path) -> None:
    files = [tmp_path / "lock.json", tmp_path / "lock.json.attrs", tmp_path / "other.json"]
    for file in files:
        file.write_text("{}", encoding="utf-8")
    assert lock(1, url=f"{files[0].as_uri()}?no_tmp_dir=true").release()
    assert [file.name for file in tmp_path.iterdir()] == ["other.json"], "another run's lock is kept"


def test_a_lock_in_a_bucket_is_not_released() -> None:
    assert not lock(1, url="s3://bucket/lock.json").release()


def test_waiting_for_a_process_ends_with_it_or_with_the_deadline() -> None:
    assert wait_for_end(ended_process(), seconds=5)
    assert not wait_for_end(os.getpid(), seconds=0)
