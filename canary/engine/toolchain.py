"""The pulumi binary and the state backend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canary.command_error import CommandError
from canary.engine.file_backend import backend_folder, repeated_while_written
from canary.exit_codes import ExitCode
from canary.project import Project

INSTALL = "https://www.pulumi.com/docs/install/"
OLDEST = "3.200"
"""The oldest Pulumi CLI that works."""


@dataclass(frozen=True)
class Toolchain:
    """How to call the engine.

    `home` is the folder of the local backend, None if Pulumi has a backend already. `folder` is that of the backend,
    None if it is not one on this machine.
    """

    pulumi: Path
    env: Mapping[str, str]
    home: Path | None = None
    notes: tuple[str, ...] = field(default=())
    folder: Path | None = None

    def call(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a CLI command with `text` on stdin, in `env` (default: the toolchain's); return exit code and output.

        Raises CommandError if pulumi cannot be executed.
        """
        return repeated_while_written(
            lambda: self._call(arguments, cwd, env or self.env, text),
            lambda done: done.stderr if done.returncode else "",
            self.folder,
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
    home, backend = None, _backend_url(project, env)
    if backend is None:
        home = state_home()
        notes.append(f"Pulumi is not logged in to a backend: the state is kept in {home}")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        backend = env["PULUMI_BACKEND_URL"] = home.as_uri()
    return Toolchain(Path(pulumi), env, home, tuple(notes), backend_folder(backend, env))


def state_home() -> Path:
    """The folder of the local backend, per the XDG Base Directory Specification."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "istio-canary" / "pulumi"


def _backend_url(project: Project, env: Mapping[str, str]) -> str | None:
    """The URL of Pulumi's backend, empty for that of an access token; None if Pulumi has none."""
    if env.get("PULUMI_BACKEND_URL") or env.get("PULUMI_ACCESS_TOKEN"):
        return env.get("PULUMI_BACKEND_URL", "")
    backend = project.definition.get("backend")
    if isinstance(backend, dict) and backend.get("url"):
        return str(backend["url"])
    folder = Path(env.get("PULUMI_CREDENTIALS_PATH") or pulumi_home(env))
    try:
        credentials = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    current = credentials.get("current") if isinstance(credentials, dict) else None
    return str(current) if current else None


def pulumi_home(env: Mapping[str, str]) -> Path:
    """The folder of Pulumi's credentials and plugins."""
    return Path(env.get("PULUMI_HOME") or Path.home() / ".pulumi")
