"""Processes of `canary rollout` in several checkouts: copies of a project that share nothing but the cluster."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.tools import CANARY, CHECKOUT, ELSEWHERE, Completed, Project, run_canary

COMPLETED, ABORTED, HELD = 0, 7, 8
"""Exit codes of `canary rollout start`."""


@dataclass(frozen=True)
class Checkout:
    """One copy of the project, with a state of its own, and the files in which its processes' output is kept."""

    project: Project
    stack: str

    @classmethod
    def create(cls, folder: Path, project: Project, stack: str) -> Checkout:
        """Make a copy in `folder`, with no state of any stack."""
        folder.mkdir()
        copy = Project.create(folder, project.cluster)
        link_environment(copy)
        return cls(copy, stack)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.project.env}

    @contextmanager
    def started(self, service: str, *words: str) -> Iterator[Runner]:
        """Start `canary rollout start` for a service; it is killed at the end of the block if it still runs."""
        output = self.project.folder / f"{service}-{len(list(self.project.folder.glob(f'{service}-*.log')))}.log"
        with output.open("w") as file:
            process = subprocess.Popen(
                [*ELSEWHERE, str(CANARY), "rollout", "start", service, "--stack", self.stack, *words],
                cwd=self.project.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            try:
                yield Runner(process, output)
            finally:
                process.kill()
                process.wait()

    def rollout(self, verb: str, service: str, *words: str, timeout: float = 120) -> Completed:
        """Run another verb to its end."""
        return self.project.canary("rollout", verb, service, *words, "--stack", self.stack, timeout=timeout)

    def without_file(self, verb: str, service: str, namespace: str, *words: str) -> Completed:
        """Run a verb in an empty folder, with nothing but a kubeconfig."""
        empty = self.project.folder / "empty"
        empty.mkdir(exist_ok=True)
        environment = {"KUBECONFIG": str(self.project.cluster.layout.kubeconfig)}
        return run_canary("rollout", verb, service, *words, "--namespace", namespace, cwd=empty, env=environment)

    def status(self, service: str) -> dict[str, Any]:
        """Return what `status --json` says of one service."""
        done = self.rollout("status", service, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        (found,) = json.loads(done.stdout)["services"]
        return dict(found)


@dataclass(frozen=True)
class Runner:
    """A running `canary rollout start`, and the file with what it says."""

    process: subprocess.Popen[bytes]
    output: Path

    def kill(self) -> None:
        """End it with SIGKILL, as a machine that is switched off."""
        self.process.kill()
        self.process.wait()

    def ended(self, seconds: float) -> int | None:
        """Wait up to `seconds` for its end, and return the exit code; None if it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")


def link_environment(project: Project) -> None:
    """Give a project's copy the environment in which Pulumi.yaml has the language host look for Python."""
    link = project.folder / ".venv"
    if not link.exists():
        link.symlink_to(CHECKOUT / ".venv")
