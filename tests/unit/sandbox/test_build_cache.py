"""The cache of the sandbox's build: complete entries only, one build at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.builder.cache import Cache, default_root
from sandbox.builder.commands import BuildError
from sandbox.progress import BuildStep
from tests.unit.sandbox.building import CHECKOUT, Recorder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_the_cache_is_where_the_xdg_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/large/disk")
    assert default_root() == Path("/large/disk/istio-canary")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == Path.home() / ".cache/istio-canary", "a relative path is invalid and ignored"


def test_an_entry_is_complete_or_absent(cache: Cache) -> None:
    def fill(content: str, fails: bool) -> None:
        with cache.fill("bin/tool-1") as folder:
            folder.mkdir()
            (folder / "tool").write_text(content)
            assert not cache.has("bin/tool-1"), "an entry must not appear before it is complete"
            if fails:
                raise BuildError("no space left on device")

    with cache.locked(Recorder()):
        with pytest.raises(BuildError):
            fill("half", fails=True)
        assert not cache.has("bin/tool-1")
        fill("whole", fails=False)
    assert (cache.entry("bin/tool-1") / "tool").read_text() == "whole"


_HOLDER = """
    import sys, time
    from pathlib import Path
    from sandbox.builder.cache import Cache
    from sandbox.progress import PlainProgress
    cache = Cache(Path(sys.argv[1]))
    with cache.locked(PlainProgress(sys.stderr)), cache.fill("bin/tool-1") as folder:
        folder.mkdir()
        print("holding", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def holder(cache: Cache) -> Iterator[subprocess.Popen[str]]:
    """Another process that is filling an entry; it exits when its standard input is closed."""
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), str(cache.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
        process.kill()


def test_a_second_build_waits_and_shows_for_which_process(cache: Cache, holder: subprocess.Popen[str]) -> None:
    class Ends(Recorder):
        @contextmanager
        def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
            self.steps.append(what)
            assert holder.stdin is not None
            holder.stdin.close()  # the other build ends while we wait
            yield self

    report = Ends()
    with cache.locked(report):
        assert cache.has("bin/tool-1"), "the other build has finished"
    assert f"waiting for the build of process {holder.pid}, started at " in report.steps[0]


def test_a_killed_build_leaves_no_incomplete_entry_and_no_lock(cache: Cache, holder: subprocess.Popen[str]) -> None:
    assert list((cache.root / "scratch").iterdir())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    report = Recorder()
    with cache.locked(report):
        assert not cache.has("bin/tool-1")
        assert list((cache.root / "scratch").iterdir()) == []
    assert report.steps == [], "the lock must be free"
