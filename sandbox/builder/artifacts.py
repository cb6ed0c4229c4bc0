"""Everything that the sandbox runs, built from public sources or taken from the cache.

The cache folder (see `cache`) holds programs in bin/, the runner's files in runner/, images in images/ and build logs
in log/. Each entry is named after a hash of its inputs: a second clone of the project builds nothing, and a changed
go.mod rebuilds that module only. Old entries are kept because other clones may use them; to clean up, delete the cache
folder.

Go's build cache is go-build/ in the cache folder. It is several times as large as the programs, and is deleted after a
successful build; after a failed or killed one it is kept, so that the next build resumes. A GOCACHE in the environment
is used instead, and never deleted. Sources go to Go's module cache (`go clean -modcache` empties it).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder import charts, envoy, go_modules, images, machine, oci, packages, preflight, runner_image
from sandbox.builder.cache import Cache, default_root
from sandbox.builder.go_modules import ISTIO_VERSION, MODULES, PROVIDER_VERSION, Go, GoModule
from sandbox.builder.images import Image
from sandbox.progress import Progress

_BOOTSTRAP = "tools/packaging/common/envoy_bootstrap.json"  # in Istio's source


@dataclass(frozen=True, kw_only=True)
class Built:
    """The programs, images and charts that the sandbox runs."""

    programs: Mapping[str, Path]
    images: tuple[Image, ...]
    charts: Path  # Istio's charts: folders base, istiod and gateway

    def binary(self, name: str) -> Path:
        """The path of the program `name`, such as kube-apiserver; KeyError for an unknown one."""
        return self.programs[name]


def ensure_built(report: Progress, cache: Cache | None = None) -> Built:
    """Build what the cache does not hold, and return all of it.

    Checks first that the machine has everything the sandbox needs, to build and to run; raises
    preflight.PreflightError otherwise. Raises commands.BuildError when a build fails; the next call resumes.
    """
    cache = cache or Cache(default_root())
    go = go_modules.find_go()
    _check(cache, go)
    if missing_packages := packages.missing():
        packages.install(missing_packages, report, cache.log("packages"))
        _check(cache, go)  # only now can the kernel's iptables features be tried
    assert go is not None  # without Go every module is to be built, and _check has raised
    names = {module.name: go_modules.entry_name(module, go) for module in MODULES}
    names["envoy"] = envoy.entry_name(go.architecture)
    names["runner"] = runner_image.entry_name(go.architecture)
    if not all(cache.has(name) for name in names.values()):
        with cache.locked(report):
            _build_missing(cache, go, names, report)
    programs = {program: cache.entry(names[module.name]) / program for module in MODULES for program in module.programs}
    programs["envoy"] = cache.entry(names["envoy"]) / "envoy"
    istio = cache.entry(names["istio"])
    return Built(
        programs=programs,
        images=_images(cache, go, programs, istio / Path(_BOOTSTRAP).name, cache.entry(names["runner"]), report),
        charts=istio / "charts",
    )


def versions() -> dict[str, str]:
    """The versions of Kubernetes, Istio, Envoy and Pulumi that are built, by name."""
    of_modules = {module.name: module.version.removeprefix("v") for module in MODULES if module.main}
    return {
        "kubernetes": of_modules["kubernetes"],
        "istio": ISTIO_VERSION,
        "envoy": envoy.version(),
        "pulumi": of_modules["pulumi"],
        "pulumi-kubernetes": PROVIDER_VERSION,
    }


def _check(cache: Cache, go: Go | None) -> None:
    to_build = [module for module in MODULES if go is None or not cache.has(go_modules.entry_name(module, go))]
    fetch_envoy = go is None or not cache.has(envoy.entry_name(go.architecture))
    found = preflight.problems(machine.look(cache.root, go, to_build, fetch_envoy))
    if found:
        raise preflight.PreflightError(found)


def _build_missing(cache: Cache, go: Go, names: Mapping[str, str], report: Progress) -> None:
    """Build what is missing, one module at a time: two would compete for processors and memory."""
    own_build_cache = cache.root / "go-build"
    build_cache = Path(os.environ.get("GOCACHE") or own_build_cache)
    missing = [module for module in MODULES if not cache.has(names[module.name])]
    if not cache.has(names["envoy"]):
        log = cache.log("envoy")
        with report.step("fetching envoy", log), cache.fill(names["envoy"]) as folder:
            envoy.fetch(folder, log)
    if not cache.has(names["runner"]):
        with report.step("collecting the runner of rollouts"), cache.fill(names["runner"]) as folder:
            runner_image.write(folder)
    for number, module in enumerate(missing, start=1):
        log = cache.log(module.name)
        what = f"building {module.name} ({number} of {len(missing)})"
        with report.step(what, log) as step, cache.fill(names[module.name]) as folder:
            go_modules.build(module, go, build_cache, folder, log, step)
            if module.name == "istio":
                _take_from_istio_source(module, go, build_cache, folder)
    shutil.rmtree(own_build_cache, ignore_errors=True)


def _take_from_istio_source(module: GoModule, go: Go, build_cache: Path, folder: Path) -> None:
    source = go_modules.source_folder(module, "istio.io/istio", go, build_cache)
    charts.write(source, ISTIO_VERSION, folder / "charts")
    shutil.copyfile(source / _BOOTSTRAP, folder / Path(_BOOTSTRAP).name)


def _images(
    cache: Cache, go: Go, programs: Mapping[str, Path], bootstrap: Path, runner: Path, report: Progress
) -> tuple[Image, ...]:
    recipes = (
        *images.recipes(programs.__getitem__, go.architecture, bootstrap),
        *runner_image.recipes(runner, go.architecture),
    )
    names = {recipe.reference: images.entry_name(recipe, cache) for recipe in recipes}
    if not all(cache.has(name) for name in names.values()):
        with cache.locked(report):
            for recipe in recipes:
                if not cache.has(names[recipe.reference]):
                    with (
                        report.step(f"packing the image {recipe.reference}"),
                        cache.fill(names[recipe.reference]) as target,
                    ):
                        oci.write(recipe, target)
    return tuple(Image(reference, cache.entry(name)) for reference, name in names.items())
