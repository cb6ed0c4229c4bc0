"""What the engine needs on this machine: the pulumi binary, a backend for the state, the Kubernetes provider."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.project import Project

if TYPE_CHECKING:
    from stacks.settings.model import Settings

SANDBOX_STATE = Path("/var/lib/istio-canary")
SANDBOX_TOOLS = SANDBOX_STATE / "bin"
SANDBOX_CONTEXT = re.compile(r"istio-canary-[a-z0-9-]+")
"""Context that `canary sandbox up` writes, by the sandbox's name."""
STAND_IN = Path(__file__).resolve().parent.parent / "sandbox" / "provider" / "bin"
PLUGIN = "pulumi-resource-kubernetes"


@dataclass(frozen=True)
class Toolchain:
    """How to call the engine. `home` is set where the state is kept in a backend of our own on this machine."""

    pulumi: Path
    env: Mapping[str, str]
    home: Path | None = None
    notes: tuple[str, ...] = field(default=())


def find_toolchain(project: Project, settings: Settings | None = None) -> Toolchain:
    """Return the toolchain for `project`.

    The state lives where Pulumi looks for it: $PULUMI_BACKEND_URL, else `backend` of Pulumi.yaml, else where
    `pulumi login` went. Without any of them it lives in a folder of our own.
    With `settings` of the sandbox's cluster, its stand-in provider is used where the official one is not installed.
    """
    env = dict(os.environ)
    env["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    env["PATH"] = os.pathsep.join(part for part in (env.get("PATH", ""), str(SANDBOX_TOOLS)) if part)
    pulumi = shutil.which("pulumi", path=env["PATH"])
    if pulumi is None:
        raise CommandError(
            "the pulumi command is neither on PATH nor among the sandbox's tools",
            ExitCode.CONFIG,
            fix="install it (https://www.pulumi.com/docs/install/), or `canary sandbox up` builds it",
        )
    notes: list[str] = []
    home = None
    if not _has_backend(project, env):
        home = state_home()
        notes.append(f"Pulumi is logged in nowhere: the state is kept in {home}")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        env["PULUMI_BACKEND_URL"] = home.as_uri()
    if settings is not None and is_sandbox(settings) and not official_plugin(env):
        notes.append("the sandbox's stand-in Kubernetes provider is used: the official plugin is not installed here")
        env |= {
            "PATH": os.pathsep.join((env["PATH"], str(STAND_IN))),
            "ISTIO_CANARY_PYTHON": sys.executable,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
    return Toolchain(Path(pulumi), env, home, tuple(notes))


def state_home() -> Path:
    """The folder of our own backend, per the XDG base directory specification."""
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


def official_plugin(env: Mapping[str, str]) -> bool:
    """Whether the official Kubernetes provider is on PATH or in Pulumi's plugin cache."""
    if shutil.which(PLUGIN, path=env.get("PATH")):
        return True
    return any((pulumi_home(env) / "plugins").glob(f"resource-kubernetes-v*/{PLUGIN}"))


def is_sandbox(settings: Settings) -> bool:
    """Whether the stack is for a sandbox of this project, by the context's name."""
    context = settings.cluster.context or _current_context(settings.cluster.kubeconfig)
    return context is not None and SANDBOX_CONTEXT.fullmatch(context) is not None


def _current_context(kubeconfig: str | None) -> str | None:
    chosen = kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config"
    try:
        text = Path(chosen).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
    found = re.search(r"^current-context:\s*[\"']?([^\s\"']+)", text, re.MULTILINE)
    return found[1] if found else None
