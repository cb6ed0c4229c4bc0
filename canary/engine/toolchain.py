"""The pulumi binary and the state backend."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.project import Project

T = TypeVar("T")
INSTALL = "https://www.pulumi.com/docs/install/"
OLDEST = "3.200"
"""The oldest Pulumi CLI that works."""
READ_ATTEMPTS = 10
READ_PAUSE = 0.1
"""Seconds before a state that another run was writing is read again."""
END_OF_FILE = re.compile(r"(^|: )(unexpected )?EOF$", re.MULTILINE)


@dataclass(frozen=True)
class Toolchain:
    """How to call the engine. `home` is the folder of the local backend, None if Pulumi has a backend already."""

    pulumi: Path
    env: Mapping[str, str]
    home: Path | None = None
    notes: tuple[str, ...] = field(default=())

    def call(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a CLI command with `text` on stdin, in `env` (default: the toolchain's); return exit code and output.

        Raises CommandError if pulumi cannot be executed.
        """
        return repeated_while_written(
            lambda: self._call(arguments, cwd, env or self.env, text),
            lambda done: done.stderr if done.returncode else "",
        )

    def _call(
        self, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], text: str
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [str(self.pulumi), *arguments, "--non-interactive"],
                cwd=cwd,
                env=env,
                input=text,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise self.not_executable(error) from None

    def not_executable(self, error: OSError) -> CommandError:
        """Return the error for a pulumi that cannot be executed."""
        return CommandError(
            f"{self.pulumi} cannot be executed: {error.strerror}",
            ExitCode.CONFIG,
            fix=f"install Pulumi for this machine ({INSTALL}), or put another one first on PATH",
        )


def repeated_while_written(attempt: Callable[[], T], error: Callable[[T], str]) -> T:
    """Call `attempt` again while it fails because another run was writing a file of the backend; return its result.

    `error` returns the CLI's stderr of a failed attempt, else "". With a folder as backend, each file has an `.attrs`
    file that is not written atomically (gocloud.dev/blob/fileblob, attrs.go). Reading does not wait for the stack's
    lock.
    """
    for _ in range(READ_ATTEMPTS):
        result = attempt()
        if END_OF_FILE.search(error(result).strip()) is None:
            break
        time.sleep(READ_PAUSE)
    return result


def find_toolchain(project: Project) -> Toolchain:
    """Return the toolchain for `project`; raises CommandError if pulumi is not installed.

    The state is kept in Pulumi's backend: $PULUMI_BACKEND_URL, else `backend` in Pulumi.yaml, else that of `pulumi
    login`. Without any of them, it is kept in a local backend.
    """
    env = dict(os.environ)
    env["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    home_of_pulumi = pulumi_home(env) / "bin"
    pulumi = shutil.which("pulumi") or shutil.which("pulumi", path=home_of_pulumi)
    if pulumi is None:
        raise CommandError(
            f"pulumi is not installed (looked on PATH and in {home_of_pulumi})",
            ExitCode.CONFIG,
            fix=f"install it ({INSTALL}), or run `canary sandbox up`, which builds it",
        )
    notes: list[str] = []
    home = None
    if not _has_backend(project, env):
        home = state_home()
        notes.append(f"Pulumi is not logged in to a backend: the state is kept in {home}")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        env["PULUMI_BACKEND_URL"] = home.as_uri()
    return Toolchain(Path(pulumi), env, home, tuple(notes))


def state_home() -> Path:
    """The folder of the local backend, per the XDG Base Directory Specification."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "istio-canary" / "pulumi"


def _has_backend(project: Project, env: Mapping[str, str]) -> bool:
    if env.get("PULUMI_BACKEND_URL") or env.get("PULUMI_ACCESS_TOKEN"):
        return True
    backend = project.definition.get("backend")
    if isinstance(backend, dict) and backend.get("url"):
        return True
    folder = Path(env.get("PULUMI_CREDENTIALS_PATH") or pulumi_home(env))
    try:
        credentials = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(isinstance(credentials, dict) and credentials.get("current"))


def pulumi_home(env: Mapping[str, str]) -> Path:
    """The folder of Pulumi's credentials and plugins."""
    return Path(env.get("PULUMI_HOME") or Path.home() / ".pulumi")
