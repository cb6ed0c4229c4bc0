"""What a killed run leaves in a backend that is a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from canary.engine import file_backend
from canary.engine.file_backend import backend_folder, remove_unfinished_attributes, repeated_while_written

WHOLE = b'{"user.content_type":"application/json","md5":"AA=="}\n'
CUT = "error: could not load stack: failed to load checkpoint: unexpected EOF"


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once."""
    monkeypatch.setattr("canary.engine.file_backend.time.sleep", lambda _: None)


def attributes(folder: Path, content: bytes, age: float = 5, kind: str = "stacks") -> Path:
    """A file of attributes that was written `age` seconds ago."""
    path = folder / ".pulumi" / kind / "shop" / "dev.json.attrs"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("kind", ["stacks", "locks"])
@pytest.mark.parametrize("content", [b"", WHOLE[:20], b"\xff"])
def test_attributes_cut_short_are_removed_and_nothing_else(tmp_path: Path, content: bytes, kind: str) -> None:
    path = attributes(tmp_path, content, kind=kind)
    state = path.with_suffix("")
    state.write_bytes(b"")
    assert remove_unfinished_attributes(tmp_path) == (path,)
    assert not path.exists()
    assert state.exists(), "an empty state is another fault, which nothing here may hide"


def test_whole_attributes_stay(tmp_path: Path) -> None:
    path = attributes(tmp_path, WHOLE)
    assert remove_unfinished_attributes(tmp_path) == ()
    assert path.read_bytes() == WHOLE


def test_attributes_that_may_still_be_being_written_stay(tmp_path: Path) -> None:
    path = attributes(tmp_path, b"", age=-60)
    assert remove_unfinished_attributes(tmp_path) == ()
    assert path.exists()


def test_a_command_succeeds_once_the_unfinished_attributes_are_gone(tmp_path: Path) -> None:
    path = attributes(tmp_path, b"")
    assert repeated_while_written(lambda: CUT if path.exists() else "read", lambda result: result, tmp_path) == "read"


def test_a_command_that_fails_for_another_reason_is_not_repeated(tmp_path: Path) -> None:
    attributes(tmp_path, b"")
    calls: list[None] = []
    repeated_while_written(lambda: calls.append(None), lambda _: "error: no stack named 'dev' found", tmp_path)
    assert len(calls) == 1


def test_an_end_of_file_that_no_attributes_explain_is_returned(tmp_path: Path) -> None:
    attributes(tmp_path, WHOLE)
    calls: list[None] = []
    repeated_while_written(lambda: calls.append(None), lambda _: CUT, tmp_path)
    assert len(calls) == file_backend.READ_ATTEMPTS


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/state", Path("/srv/state")),
        ("file:///srv/my%20state?no_tmp_dir=true", Path("/srv/my state")),
        ("file://~", Path("/home/anna")),
        ("file://~/state", Path("/home/anna/state")),
        ("s3://bucket/state", None),
        ("https://api.pulumi.com", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_backend_in_a_folder_has_one(url: str | None, folder: Path | None) -> None:
    assert backend_folder(url, {"HOME": "/home/anna"}) == folder
