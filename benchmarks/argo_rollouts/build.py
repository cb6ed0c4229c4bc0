"""Argo Rollouts' controller, kubectl plugin and CRDs, built from its Go module into the sandbox's build cache.

The version is in go.mod beside this file: the module's `replace` lines are those of Argo Rollouts' own go.mod, since
Go takes only the main module's. The CRDs are the module's own, of the same version.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder import go_modules
from sandbox.builder.cache import Cache, default_root
from sandbox.builder.commands import BuildError
from sandbox.builder.go_modules import Go, GoModule, SourceFile
from sandbox.progress import Progress, progress

_MODULE = "github.com/argoproj/argo-rollouts"
_CRDS = (
    "analysis-run-crd.yaml",
    "analysis-template-crd.yaml",
    "cluster-analysis-template-crd.yaml",
    "experiment-crd.yaml",
    "rollout-crd.yaml",
)


class _ArgoRollouts(GoModule):
    """The module in this folder."""

    @property
    def folder(self) -> Path:
        return Path(__file__).parent


MODULE = _ArgoRollouts(
    name="argo-rollouts",
    programs=("rollouts-controller", "kubectl-argo-rollouts"),
    disk_megabytes=3500,
    main=_MODULE,
    stamps=(f"{_MODULE}/utils/version.version={{number}}",),
    files=tuple(SourceFile(module=_MODULE, path=f"manifests/crds/{name}") for name in _CRDS),
)


@dataclass(frozen=True)
class ArgoRolloutsBuild:
    """The folder of the build cache with the programs and the CRDs."""

    folder: Path

    @property
    def controller(self) -> Path:
        return self.folder / "rollouts-controller"

    @property
    def crds(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in _CRDS)


def ensure_built() -> ArgoRolloutsBuild:
    """What the build cache holds, built first where it is missing; 4 minutes on 2 cores.

    Raises BuildError when there is no Go, or when the build fails; the next call resumes it.
    """
    cache, go = Cache(default_root()), go_modules.find_go()
    if go is None:
        raise BuildError(
            "Go is not installed; it builds Argo Rollouts\n    fix: install Go: https://go.dev/doc/install"
        )
    name = go_modules.entry_name(MODULE, go)
    report = progress()
    if not cache.has(name):
        with cache.locked(report):
            if not cache.has(name):
                _build(cache, go, name, report)
    return ArgoRolloutsBuild(cache.entry(name))


def _build(cache: Cache, go: Go, name: str, report: Progress) -> None:
    """Go's build cache is deleted when the build has succeeded, as the sandbox's is."""
    own_build_cache, log = cache.root / "go-build-argo-rollouts", cache.log(MODULE.name)
    with report.step(f"building Argo Rollouts {MODULE.version}", log) as step, cache.fill(name) as folder:
        go_modules.build(MODULE, go, Path(os.environ.get("GOCACHE") or own_build_cache), folder, log, step)
    shutil.rmtree(own_build_cache, ignore_errors=True)
