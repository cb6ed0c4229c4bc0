"""The helm program: its arguments, its environment, and what it answers.

Follows the documentation of helm 3. Values and passwords never stand on a command line: they go through files that only
this user can read, and through standard input.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from sandbox.provider.settings import Settings

DEFAULT_SECONDS = 300
_REPOSITORY = "istio-canary"
_PREFIX = "istio-canary-helm-"
# Names of helmReleaseSettings, and of the environment variables that helm knows them by.
_ENVIRONMENT = {
    "driver": ("HELM_DRIVER", "PULUMI_K8S_HELM_DRIVER"),
    "pluginsPath": ("HELM_PLUGINS", "PULUMI_K8S_HELM_PLUGINS_PATH"),
    "registryConfigPath": ("HELM_REGISTRY_CONFIG", "PULUMI_K8S_HELM_REGISTRY_CONFIG_PATH"),
    "repositoryConfigPath": ("HELM_REPOSITORY_CONFIG", "PULUMI_K8S_HELM_REPOSITORY_CONFIG_PATH"),
    "repositoryCache": ("HELM_REPOSITORY_CACHE", "PULUMI_K8S_HELM_REPOSITORY_CACHE"),
}


class HelmError(Exception):
    """helm failed; the message is what it said."""


@dataclass(frozen=True)
class Chart:
    """Where a chart is: the reference that helm takes, and the flags that go with it."""

    reference: str
    flags: tuple[str, ...] = ()
    repository: Mapping[str, str] = field(default_factory=dict)


def chart_of(inputs: Mapping[str, Any]) -> Chart:
    """Return the chart that a Release's inputs name: a folder, an archive, an OCI reference, or one of a repository."""
    name = str(inputs.get("chart", "")).strip()
    options = inputs.get("repositoryOpts") or {}
    repository = str(options.get("repo") or "")
    flags = _version_flags(inputs)
    if not repository or name.startswith("oci://"):
        return Chart(_local(name), flags)
    if not urlsplit(repository).scheme:
        return Chart(name if "/" in name else f"{repository}/{name}", flags)
    if options.get("password"):
        return Chart(f"{_REPOSITORY}/{name}", flags, {k: str(v) for k, v in options.items()})
    for key, flag in (
        ("username", "--username"),
        ("caFile", "--ca-file"),
        ("certFile", "--cert-file"),
        ("keyFile", "--key-file"),
    ):
        if options.get(key):
            flags += (flag, str(options[key]))
    return Chart(name, ("--repo", repository, *flags))


def _local(name: str) -> str:
    path = Path(name)
    return str(path.resolve()) if path.is_file() or (path / "Chart.yaml").is_file() else name


def _version_flags(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    flags: tuple[str, ...] = ()
    if inputs.get("version"):
        flags += ("--version", str(inputs["version"]).strip())
    elif inputs.get("devel"):
        flags += ("--devel",)
    if inputs.get("verify"):
        flags += ("--verify", "--keyring", str(inputs.get("keyring") or Path("~/.gnupg/pubring.gpg").expanduser()))
    return flags


def _switches(inputs: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    return [flag for name, flag in names.items() if inputs.get(name)]


def _common(inputs: Mapping[str, Any]) -> list[str]:
    args = ["--namespace", str(inputs["namespace"])]
    if inputs.get("postrender"):
        program, *rest = str(inputs["postrender"]).split()
        args += ["--post-renderer", program, *(a for r in rest for a in ("--post-renderer-args", r))]
    return args + _switches(inputs, {"dependencyUpdate": "--dependency-update"})


def _await(inputs: Mapping[str, Any]) -> list[str]:
    args = ["--timeout", f"{int(inputs.get('timeout') or DEFAULT_SECONDS)}s"]
    if not inputs.get("skipAwait"):
        args += ["--wait", *_switches(inputs, {"waitForJobs": "--wait-for-jobs"})]
    return args + _switches(inputs, {"atomic": "--atomic"})


def template_args(inputs: Mapping[str, Any], chart: Chart) -> list[str]:
    """Return the arguments that render the chart without a cluster."""
    args = ["template", str(inputs["name"]), chart.reference, *chart.flags, *_common(inputs)]
    args += ["--skip-crds" if inputs.get("skipCrds") else "--include-crds", "--disable-openapi-validation"]
    return args + _switches(inputs, {"disableWebhooks": "--no-hooks"})


def install_args(inputs: Mapping[str, Any], chart: Chart, labels: Mapping[str, str]) -> list[str]:
    """Return the arguments that install the release; ``labels`` are put on helm's record of it."""
    args = ["install", str(inputs["name"]), chart.reference, *chart.flags, *_common(inputs), *_await(inputs)]
    args += _described(inputs, labels)
    return args + _switches(
        inputs,
        {
            "createNamespace": "--create-namespace",
            "disableOpenapiValidation": "--disable-openapi-validation",
            "disableWebhooks": "--no-hooks",
            "renderSubchartNotes": "--render-subchart-notes",
            "replace": "--replace",
            "skipCrds": "--skip-crds",
            "takeOwnership": "--take-ownership",
        },
    )


def upgrade_args(inputs: Mapping[str, Any], chart: Chart, labels: Mapping[str, str]) -> list[str]:
    """Return the arguments that upgrade the release."""
    args = ["upgrade", str(inputs["name"]), chart.reference, *chart.flags, *_common(inputs), *_await(inputs)]
    args += ["--history-max", str(int(inputs.get("maxHistory") or 0)), *_described(inputs, labels)]
    return args + _switches(
        inputs,
        {
            "cleanupOnFail": "--cleanup-on-fail",
            "disableCRDHooks": "--no-hooks",
            "disableOpenapiValidation": "--disable-openapi-validation",
            "forceUpdate": "--force",
            "renderSubchartNotes": "--render-subchart-notes",
            "resetValues": "--reset-values",
            "reuseValues": "--reuse-values",
            "skipCrds": "--skip-crds",
            "takeOwnership": "--take-ownership",
        },
    )


def uninstall_args(inputs: Mapping[str, Any]) -> list[str]:
    """Return the arguments that uninstall the release."""
    args = ["uninstall", str(inputs["name"]), "--namespace", str(inputs["namespace"])]
    if inputs.get("atomic") or not inputs.get("skipAwait"):
        args += ["--wait", "--timeout", f"{int(inputs.get('timeout') or DEFAULT_SECONDS)}s"]
    return args


def _described(inputs: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    args = ["--labels", ",".join(f"{k}={v}" for k, v in labels.items())] if labels else []
    return [*args, "--description", str(inputs["description"])] if inputs.get("description") else args


class Helm:
    """Runs helm against the cluster of one provider instance; ``cancelled`` ends what is running."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self._settings = settings
        self._cancelled = cancelled

    def run(self, args: Sequence[str], *, values: object = None, chart: Chart | None = None) -> str:
        """Run helm and return what it prints. Raises ``HelmError``."""
        program = shutil.which("helm")
        if program is None:
            raise HelmError(
                "helm is not on PATH, and a kubernetes:helm.sh/v3:Release needs it: install helm 3, "
                "or start the sandbox, which brings it (canary sandbox up)"
            )
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
            private = Path(folder)
            env = self._environment(private)
            if chart and chart.repository:
                self._add_repository(program, chart.repository, env, private)
            command = [*_stops_with_us(), program, *args]
            if values is not None:
                path = _write(private / "values.json", json.dumps(values))
                command += ["--values", str(path)]
            return self._execute(command, env)

    def _environment(self, private: Path) -> dict[str, str]:
        env = {**os.environ, "HELM_BURST_LIMIT": "120", "HELM_QPS": "50"}
        for name, (variable, fallback) in _ENVIRONMENT.items():
            value = self._settings.helm.get(name) or os.environ.get(fallback)
            if value:
                env[variable] = str(value)
        connection = self._settings.connection
        if connection is not None:
            env["KUBECONFIG"] = str(_write(private / "kubeconfig", yaml.safe_dump(connection.document)))
            host = urlsplit(connection.server).hostname or ""
            env["NO_PROXY"] = env["no_proxy"] = ",".join(filter(None, (env.get("NO_PROXY"), host)))
        return env

    def _add_repository(self, program: str, options: Mapping[str, str], env: dict[str, str], private: Path) -> None:
        env["HELM_REPOSITORY_CONFIG"] = str(private / "repositories.yaml")
        args = [program, "repo", "add", _REPOSITORY, options["repo"], "--username", options.get("username", "")]
        for key, flag in (("caFile", "--ca-file"), ("certFile", "--cert-file"), ("keyFile", "--key-file")):
            if options.get(key):
                args += [flag, options[key]]
        self._execute([*args, "--password-stdin"], env, options["password"])

    def _execute(self, command: Sequence[str], env: Mapping[str, str], text: str | None = None) -> str:
        process = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        done = threading.Event()
        threading.Thread(target=self._stop_on_cancel, args=(process, done), daemon=True).start()
        try:
            out, err = process.communicate(text)
        finally:
            done.set()
        if process.returncode != 0:
            raise HelmError(_message(err) or f"helm ended with exit code {process.returncode}")
        return out

    def _stop_on_cancel(self, process: subprocess.Popen[str], done: threading.Event) -> None:
        """helm marks its release as failed when it is told to stop, so that the next update can go on."""
        while not done.wait(0.2):
            if self._cancelled.is_set():
                with suppress(ProcessLookupError):
                    process.terminate()
                return


def _stops_with_us() -> list[str]:
    """Return a prefix that has the kernel stop helm when this process is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _write(path: Path, text: str) -> Path:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def _message(text: str) -> str:
    """Return helm's error without its warnings and its prefix."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("WARNING", "W0", "I0", "E0"))]
    return "\n".join(lines).removeprefix("Error: ").strip()


def _sweep() -> None:
    """Remove the folders of providers that were killed: they hold credentials."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if folder.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
