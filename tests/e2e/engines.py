"""Controllers of other engines for the end-to-end tests: Argo Rollouts' as a process, Flagger's CRDs alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.argo_rollouts.build import MODULE, ensure_built
from sandbox.builder import go_modules
from tests.e2e.tools import Cluster

FLAGGER = "github.com/fluxcd/flagger"


@contextmanager
def with_crds(cluster: Cluster, files: Sequence[Path]) -> Iterator[None]:
    """CRDs in the cluster, while it lasts; those that are there already stay."""
    before = set(cluster.kubectl("get", "customresourcedefinitions", "--output=name").stdout.split())
    chosen = [f"--filename={file}" for file in files]
    applied = cluster.kubectl("apply", "--server-side", "--output=name", *chosen).stdout.split()
    try:
        cluster.kubectl("wait", "--for=condition=Established", *applied, "--timeout=30s")
        yield
    finally:
        made = [name for name in applied if name not in before]
        if made:
            cluster.kubectl("delete", *made)


@contextmanager
def argo_controller(cluster: Cluster, namespace: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Argo Rollouts' controller for one namespace, on this machine, with its defaults but for leader election."""
    built = ensure_built()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig=TERM"),  # it ends with this process, however that ends
                str(built.controller),
                f"--kubeconfig={cluster.layout.kubeconfig}",
                f"--namespace={namespace}",
                "--namespaced",
                "--leader-elect=false",
                "--metricsPort=0",
                "--healthzPort=0",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def argo_crds() -> tuple[Path, ...]:
    """The CRDs of Argo Rollouts, of the version that is built; they need no build."""
    folder = _fetched(MODULE.main, MODULE.folder)
    return tuple(folder / file.path for file in MODULE.files)


def flagger_crds() -> Path:
    """The file with Flagger's CRDs, of the version in tests/e2e/flagger/go.mod."""
    return _fetched(FLAGGER, Path(__file__).parent / "flagger") / "artifacts" / "flagger" / "crd.yaml"


def _fetched(module: str, folder: Path) -> Path:
    """The files of a Go module, of the version in the folder's go.mod, which go.sum pins to a hash."""
    go = go_modules.find_go()
    assert go is not None, "Go is not installed; it fetches the module"
    done = subprocess.run(
        [str(go.program), "mod", "download", "-json", module],
        cwd=folder,
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])
