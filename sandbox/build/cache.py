"""The cache of what was built: outside the checkout, so that a second clone builds nothing.

Every entry is named after what went into it, is written beside its place and moved there as a whole: an entry that
exists is complete, whoever was killed and whenever the power went. Entries are never changed and never removed by
themselves; the cache folder may be deleted at any time while no sandbox runs, and is then built again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.progress import Progress


def default_root() -> Path:
    """$XDG_CACHE_HOME/istio-canary, by default ~/.cache/istio-canary (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "istio-canary"


@dataclass(frozen=True)
class Cache:
    """The cache folder."""

    root: Path

    def entry(self, name: str) -> Path:
        """Where the entry `name` (`bin/etcd-1f2e…`) is once it is there."""
        return self.root / name

    def has(self, name: str) -> bool:
        return self.entry(name).exists()

    def log(self, name: str) -> Path:
        """An empty log file for building `name`."""
        log = self.root / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        return log

    @contextmanager
    def fill(self, name: str) -> Iterator[Path]:
        """A path for a file or a folder, which becomes the entry `name` when the block ends without error.

        Only within `locked`.
        """
        target = self.entry(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield scratch / target.name
            _flush(scratch / target.name)
            (scratch / target.name).rename(target)
            _flush_folder(target.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def locked(self, report: Progress) -> Iterator[None]:
        """Keep every other build out; wait for one that is under way, saying whose it is.

        The kernel takes the lock back when its holder ends, however it ends, so what lies in the scratch folder then is
        nobody's and is removed.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                with report.step(f"waiting for the build of {lock.read().strip() or 'another command'}"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, begun at {time.strftime('%H:%M:%S')}, in {Path.cwd()}\n")
            lock.flush()
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir()
            yield

    @property
    def _scratch(self) -> Path:
        return self.root / "scratch"


def _flush(path: Path) -> None:
    """Bring a file, or all below a folder, to the disk: a rename may reach it before the content does."""
    if path.is_dir():
        for child in path.iterdir():
            _flush(child)
        _flush_folder(path)
    elif not path.is_symlink():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
