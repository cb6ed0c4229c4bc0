"""The build cache. It is outside the checkout, so that a second clone builds nothing.

Every entry is named after a hash of its inputs, written to a scratch folder and then renamed: an entry that exists is
complete, even after a kill or a power failure. Entries are never changed or removed. The cache folder may be deleted
while no sandbox runs; it is then rebuilt.
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
        """The path of the entry `name` (`bin/etcd-1f2e…`), whether or not it exists."""
        return self.root / name

    def has(self, name: str) -> bool:
        return self.entry(name).exists()

    def log(self, name: str) -> Path:
        """Create an empty log file for the build of `name`."""
        log = self.root / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        return log

    @contextmanager
    def fill(self, name: str) -> Iterator[Path]:
        """Yield a path for a file or folder that becomes the entry `name` when the block ends without an error.

        To be used within `locked`.
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
        """Exclude other builds; wait for a running one, and show which process it is.

        The kernel releases the lock whenever its holder exits, so anything in the scratch folder is abandoned by then,
        and is removed.
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
            lock.write(f"process {os.getpid()}, started at {time.strftime('%H:%M:%S')} in {Path.cwd()}\n")
            lock.flush()
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir()
            yield

    @property
    def _scratch(self) -> Path:
        return self.root / "scratch"


def _flush(path: Path) -> None:
    """Flush a file, or everything below a folder, to disk: the rename could otherwise get there before the content."""
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
