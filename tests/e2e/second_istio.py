"""A second release of Istio for upgrades: the release before the sandbox's, built from its own source.

It is the commit of release-1.30 from which 1.30.4 came. Its programs run the sandbox's Envoy. The first build takes
about four minutes; after that, it comes from the sandbox's cache.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sandbox.builder import charts, envoy, go_modules, images, oci
from sandbox.builder.cache import Cache, default_root
from sandbox.builder.go_modules import Go, GoModule
from sandbox.cluster import namespaces
from sandbox.layout import Layout
from sandbox.progress import Progress, progress

VERSION = "1.30.4"
BOOTSTRAP = "tools/packaging/common/envoy_bootstrap.json"
ISTIO = GoModule(
    name="istio-1.30",
    programs=("pilot-agent", "pilot-discovery"),
    disk_megabytes=3300,
    stamps=(f"istio.io/istio/pkg/version.buildVersion={VERSION}",),
)


def charts_of_old_istio(layout: Layout) -> Path:
    """Build what the cache has not, import the images into the running sandbox, and return the folder of the charts."""
    cache, go, report = Cache(default_root()), go_modules.find_go(), progress()
    assert go is not None, "Istio is built with Go"
    entry = _built(cache, go, report)
    for archive in _images(cache, go, entry, report):
        _import(layout, archive)
    return entry / "charts"


def _built(cache: Cache, go: Go, report: Progress) -> Path:
    name = go_modules.entry_name(ISTIO, go)
    if not cache.has(name):
        with cache.locked(report):
            log, builds = cache.log(ISTIO.name), cache.root / "go-build-istio"
            with report.step(f"building Istio {VERSION}", log) as step, cache.fill(name) as folder:
                go_modules.build(ISTIO, go, builds, folder, log, step)
                source = go_modules.source_folder(ISTIO, "istio.io/istio", go, builds)
                charts.write(source, VERSION, folder / "charts")
                shutil.copyfile(source / BOOTSTRAP, folder / Path(BOOTSTRAP).name)
            shutil.rmtree(builds, ignore_errors=True)
    return cache.entry(name)


def _images(cache: Cache, go: Go, entry: Path, report: Progress) -> list[Path]:
    programs = {program: entry / program for program in ISTIO.programs}
    programs["envoy"] = cache.entry(envoy.entry_name(go.architecture)) / "envoy"
    recipes = images.istio(VERSION, programs.__getitem__, go.architecture, entry / Path(BOOTSTRAP).name)
    names = [images.entry_name(recipe, cache) for recipe in recipes]
    for recipe, name in zip(recipes, names, strict=True):
        if not cache.has(name):
            with cache.locked(report), cache.fill(name) as target:
                oci.write(recipe, target)
    return [cache.entry(name) for name in names]


def _import(layout: Layout, archive: Path) -> None:
    running = namespaces.find(layout)
    assert running is not None, f"the sandbox {layout.name} does not run"
    ctr = next(default_root().glob("bin/containerd-*/ctr"))
    socket = f"--address={layout.containerd_socket}"
    command = [str(ctr), socket, "--namespace=k8s.io", "images", "import", str(archive)]
    subprocess.run(running.enter(command), check=True, capture_output=True)
