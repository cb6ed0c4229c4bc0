"""A runner that stops itself with SIGSTOP between the write of the record and that of the routes.

That is when a machine that sleeps does harm, if any can: what was decided is in the cluster, and its routes come later,
over whatever was written meanwhile. Runners are forked from a process that has the modules, and run as any other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.e2e.tools import Access, wait_until

LOST, HELD = 11, 12
ENDS = {0: None, LOST: "the runner has lost the Lease", HELD: "the runner's time is over"}
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["rollout.runner", "tests.e2e.rollouts.stopped"])


@dataclass(frozen=True)
class StoppedRunner:
    """A runner in a process of its own."""

    process: ForkServerProcess

    @classmethod
    def start(cls, access: Access, namespace: str, service: str, writes: int) -> StoppedRunner:
        """Start a runner that stops before its next write of routes, after so many `writes` of them."""
        process = _FORKS.Process(target=_run, args=(access, namespace, service, writes), daemon=True)
        process.start()
        return cls(process)

    def wait_until_stopped(self, seconds: float = 60.0) -> None:
        """Wait until it has stopped itself, or has ended."""
        wait_until(lambda: self._state() in "TZX", f"the stop of runner {self.process.pid}", seconds)

    def go_on(self) -> None:
        """Let it write what it had decided before it stopped."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGCONT)

    def ended(self, seconds: float = 300.0) -> str | None:
        """Wait for its end, and return what is wrong with it; kill it if it does not come."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            return f"the runner did not end within {seconds:.0f} s"
        return ENDS.get(self.process.exitcode, f"the runner ended with {self.process.exitcode}")

    def _state(self) -> str:
        try:
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"


def _run(access: Access, namespace: str, service: str, writes: int) -> None:
    from rollout import acting, routes
    from rollout.lease import new_holder
    from rollout.runner import run

    left = [writes]
    write = routes.write_http

    def stopping(*args: Any, **keys: Any) -> str:
        left[0] -= 1
        if left[0] == -1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return write(*args, **keys)

    _replace(stopping, write, (acting, routes))
    end = run(access, namespace, service, new_holder(), timeout=300.0)
    sys.exit({"aborted": 0, "lost": LOST, "held": HELD}.get(end.why, 1))


def _replace(by: Callable[..., str], function: object, modules: tuple[Any, ...]) -> None:
    """Put a function into the place of another in all modules that have imported it."""
    replaced = 0
    for module in modules:
        names: Mapping[str, Any] = vars(module)
        for name in [name for name, value in names.items() if value is function]:
            setattr(module, name, by)
            replaced += 1
    assert replaced > 1, "the module that writes the routes has no write_http"
