"""The generated package in sdks/ is what its generator makes of Istio's CRDs.

The first build of the generator takes minutes, each later run seconds.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox.builder.go_modules import ISTIO_VERSION, environment_for, find_go
from tests.e2e.tools import CHECKOUT
from tests.unit.istio_crds import CRDS, module_folder

pytestmark = pytest.mark.long

GENERATOR = CHECKOUT / "sdks/generate"
PROJECT = CHECKOUT / "sdks/pulumi_kubernetes_istio_crds"


def _go(*arguments: str) -> subprocess.CompletedProcess[str]:
    go = find_go()
    assert go is not None, "the sandbox needs Go, too"
    environment = environment_for(go, Path())
    del environment["GOCACHE"]  # Go's default cache makes the second run fast
    return subprocess.run(
        [str(go.program), *arguments],
        cwd=GENERATOR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("generator") / "generate"
    built = _go("build", "-o", str(program), ".")
    assert built.returncode == 0, built.stderr
    return program


def _generate(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=120, check=False)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", "build"} & set(path.parts) and ".egg-info" not in str(path)
    }


def test_generating_the_package_again_changes_nothing(generator: Path, tmp_path: Path) -> None:
    crds = module_folder() / CRDS
    done = _generate(generator, "-istio", ISTIO_VERSION, "-crds", str(crds), "-out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    generated, tracked = _files(tmp_path), _files(PROJECT)
    assert generated.keys() == tracked.keys(), "fix: make crds"
    assert [name for name, content in generated.items() if content != tracked[name]] == [], "fix: make crds"


def test_what_no_longer_exists_in_a_release_goes_from_the_package(generator: Path, tmp_path: Path) -> None:
    left_over = tmp_path / PROJECT.name / "networking/v0/Old.py"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    crds = module_folder() / CRDS
    assert _generate(generator, "-istio", ISTIO_VERSION, "-crds", str(crds), "-out", str(tmp_path)).returncode == 0
    assert not left_over.exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        pytest.param([], 2, "-istio is required", id="no release"),
        pytest.param(["-istio", "1.31.0", "-crds", "/nonexistent"], 1, "no such file", id="no file"),
        pytest.param(["-istio", "one", "-crds", "crds.yaml"], 1, "one is not a release", id="no version"),
        pytest.param(["-istio", "1.31.0", "-crds", "empty.yaml"], 1, "has no CustomResourceDefinition", id="no CRD"),
    ],
)
def test_a_wrong_call_is_refused_and_writes_nothing(
    generator: Path, tmp_path: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    (tmp_path / "empty.yaml").write_text("kind: ConfigMap\n")
    (tmp_path / "crds.yaml").symlink_to(module_folder() / CRDS)
    given = [str(tmp_path / a) if a.endswith(".yaml") else a for a in arguments]
    done = _generate(generator, *given, "-out", str(tmp_path / "out"))
    assert done.returncode == exit_code
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
