"""Everything that the sandbox runs, built from public sources or taken from the cache.

What is built lies in the cache folder (see `cache`): programs in bin/, images in images/, each build's log in log/.
Each entry is named after all that goes into it, so a second clone of the project builds nothing, and a changed go.mod
builds that module alone. Old entries are kept, for other clones use them: to clean up, delete the cache folder.

Go compiles into a build cache of its own beside it (go-build/), which is dropped when all is built: it is several times
as large as what comes out. It is kept when a build fails or is killed, so that the next one resumes. A GOCACHE in the
environment is used in its place, and kept. Go's sources go to Go's own module cache (`go clean -modcache` empties it).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.build import charts, envoy, go_modules, images, machine, oci, packages, preflight
from sandbox.build.cache import Cache, default_root
from sandbox.build.go_modules import ISTIO_VERSION, MODULES, PROVIDER_VERSION, Go, GoModule
from sandbox.build.images import Image
from sandbox.progress import Progress

_BOOTSTRAP = "tools/packaging/common/envoy_bootstrap.json"  # in Istio's source


@dataclass(frozen=True, kw_only=True)
class Built:
    """What the sandbox runs, complete."""

    programs: Mapping[str, Path]
    images: tuple[Image, ...]
    charts: Path  # Istio's charts: folders base, istiod and gateway

    def binary(self, name: str) -> Path:
        """The program `name`, such as kube-apiserver; KeyError for one that is not built here."""
        return self.programs[name]


def ensure_built(report: Progress, cache: Cache | None = None) -> Built:
    """Build what the cache does not hold yet, and return all of it.

    First the machine is checked for all that the sandbox needs, now and later: preflight.PreflightError names what is
    missing, and nothing was changed then. Raises commands.BuildError when a build fails; running it again resumes.
    """
    cache = cache or Cache(default_root())
    go = go_modules.find_go()
    _check(cache, go)
    if missing_packages := packages.missing():
        packages.install(missing_packages, report, cache.log("packages"))
        _check(cache, go)  # with iptables there, the kernel can be asked about it
    assert go is not None  # without Go there is something to build, and the check has refused
    names = {module.name: go_modules.entry_name(module, go) for module in MODULES}
    names["envoy"] = envoy.entry_name(go.architecture)
    if not all(cache.has(name) for name in names.values()):
        with cache.locked(report):
            _build_missing(cache, go, names, report)
    programs = {program: cache.entry(names[module.name]) / program for module in MODULES for program in module.programs}
    programs["envoy"] = cache.entry(names["envoy"]) / "envoy"
    istio = cache.entry(names["istio"])
    return Built(
        programs=programs,
        images=_images(cache, go, programs, istio / Path(_BOOTSTRAP).name, report),
        charts=istio / "charts",
    )


def versions() -> dict[str, str]:
    """The releases that are built here, of what a stack meets in the sandbox."""
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
    """Build what is missing, one module after the other: two at once would only fight for processors and memory."""
    own_build_cache = cache.root / "go-build"
    build_cache = Path(os.environ.get("GOCACHE") or own_build_cache)
    missing = [module for module in MODULES if not cache.has(names[module.name])]
    if not cache.has(names["envoy"]):
        log = cache.log("envoy")
        with report.step("fetching envoy", log), cache.fill(names["envoy"]) as folder:
            envoy.fetch(folder, log)
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


def _images(cache: Cache, go: Go, programs: Mapping[str, Path], bootstrap: Path, report: Progress) -> tuple[Image, ...]:
    recipes = images.recipes(programs.__getitem__, go.architecture, bootstrap)
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
