"""What must be on this machine, and in the cloud, before a stack creates its cluster.

Looked at before anything is registered, and only while there is no cluster: each of these would otherwise fail in the
middle of a run, some after many minutes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence

from stacks.clusters import needs_sdk
from stacks.settings.cluster import (
    AksSettings,
    CloudSettings,
    CreatedSettings,
    EksSettings,
    GkeSettings,
    KindSettings,
    MinikubeSettings,
)
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError

PATH = "istio-canary:cluster"
INSTALL = {
    "minikube": "install it (minikube: https://minikube.sigs.k8s.io/docs/start/)",
    "kind": "install it (kind: https://kind.sigs.k8s.io/docs/user/quick-start/#installation)",
    "docker": "install Docker or Podman, and start it (https://docs.docker.com/engine/install/)",
    "gke-gcloud-auth-plugin": "install it: gcloud components install gke-gcloud-auth-plugin",
    "aws": "install the AWS CLI, version 2 (https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html)",
    "kubelogin": "install it: az aks install-cli",
    "az": "install the Azure CLI (https://learn.microsoft.com/cli/azure/install-azure-cli), then run az login",
}
PROGRAMS: dict[type[object], tuple[tuple[str, ...], ...]] = {
    MinikubeSettings: (("minikube",),),
    KindSettings: (("kind",), ("docker", "podman", "nerdctl")),
    GkeSettings: (("gke-gcloud-auth-plugin",),),
    EksSettings: (("aws",),),
    AksSettings: (("kubelogin",), ("az",)),
}
"""The programs of each kind, any one of each group: those that make the cluster, and those that its kubeconfig runs."""
SECONDS = 60


def require_needs(settings: Settings, file: str) -> None:
    """Raise SettingsError if the stack's cluster cannot be created: an SDK or a program is missing, there are no
    credentials, or the version is not offered. `file` is the stack's file.
    """
    cluster = settings.cluster
    if not isinstance(cluster, CreatedSettings):
        return
    missing = needs_sdk(cluster)
    if missing:
        raise SettingsError([_no_sdk(cluster.kind, *missing, file)], file)
    if cluster.late.text() is not None:
        return
    problems = list(_no_programs(type(cluster), cluster.kind, file))
    if not problems and isinstance(cluster, (MinikubeSettings, KindSettings)):
        problems += _not_offered(cluster, file)
    if not problems and isinstance(cluster, CloudSettings):
        from stacks.cloud_checks import refused

        problems += refused(cluster, file)
    if problems:
        raise SettingsError(problems, file)


def _no_sdk(kind: str, sdk: str, extra: str, file: str) -> Problem:
    return Problem(
        path=f"{PATH}.kind",
        what=f"the package {sdk.replace('_', '-')}, which creates clusters of the kind {kind}, is not installed",
        given=kind,
        allowed=f"a kind whose package is installed; the extra `{extra}` of this project has this one",
        fix=f"install it: .venv/bin/python -m pip install '.[{extra}]'",
        file=file,
    )


def _no_programs(settings: type[object], kind: str, file: str) -> Iterator[Problem]:
    for group in PROGRAMS[settings]:
        if any(map(shutil.which, group)):
            continue
        yield Problem(
            path=f"{PATH}.kind",
            what=f"the program {group[0]}, which a cluster of the kind {kind} needs, is not on PATH",
            given=kind,
            allowed=f"{' or '.join(group)} on PATH",
            fix=INSTALL[group[0]],
            file=file,
        )


def _not_offered(cluster: MinikubeSettings | KindSettings, file: str) -> Iterator[Problem]:
    """Ask the program itself, which changes nothing: minikube by a dry run, the image of a kind by its manifest."""
    version = cluster.kubernetes_version
    if isinstance(cluster, MinikubeSettings):
        driver = ["--driver", cluster.driver] if cluster.driver else []
        asked = ["minikube", "start", "--dry-run", "--profile", cluster.profile, "--kubernetes-version", f"v{version}"]
        said = _failure([*asked, *driver])
        fix = f"correct what it says; `minikube start --dry-run --kubernetes-version v{version}` repeats it"
    else:
        engine = next(filter(None, map(shutil.which, PROGRAMS[KindSettings][1])))
        said = _failure([engine, "manifest", "inspect", f"kindest/node:v{version}"])
        fix = "choose a release of https://github.com/kubernetes-sigs/kind/releases, or correct what it says"
    if said:
        yield Problem(
            path=f"{PATH}.kubernetesVersion",
            what=f"{cluster.words} cannot be made with this release: {said}",
            given=f'"{version}"',
            allowed=f"a release that {cluster.kind} offers on this machine",
            fix=fix,
            file=file,
        )


def _failure(command: Sequence[str]) -> str:
    """What a command says when it fails, its last lines; empty if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
    return " ".join(" ".join(lines[-3:]).split()) if done.returncode else ""
