"""The programs that are built from the public Go module proxy, one Go module per family of programs.

sandbox/modules/<name>/ holds a go.mod, whose `tool` lines name the programs, and a go.sum, which pins every source to a
hash. The project's own services are built the same way from the module in apps/. Programs are static (CGO_ENABLED=0):
they run on any Linux, and in images that hold nothing else. See Go's "Go Modules Reference" and "Build and test
caching".

To change a version: edit go.mod, then run `go list -mod=mod -deps tool` in its folder to update go.mod and go.sum.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder.commands import BuildError, run_logged
from sandbox.progress import BuildStep

_CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = _CHECKOUT / "sandbox" / "modules"
APPS = _CHECKOUT / "apps"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # platform.machine() -> Go's and the images' name
ISTIO_VERSION = "1.31.0"  # the release at the commit of istio.io/istio in go.mod
PROMETHEUS_VERSION = "3.14.0"  # the release of github.com/prometheus/prometheus v0.314.0, in go.mod
JAEGER_VERSION = "2.13.0"  # the release of Jaeger's v2 binary in github.com/jaegertracing/jaeger v1.76.0, in go.mod
PROVIDER_VERSION = "4.25.0"  # the release at the commit of Pulumi's Kubernetes provider in go.mod
_GO_OUTSIDE_PATH = Path("/usr/local/go/bin/go")  # go.dev's install location, which sudo's PATH lacks


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of a required module that is installed beside the programs."""

    module: str
    path: str
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class GoModule:
    """A folder of sandbox/modules/, or apps/ with the project's own services, and the programs built from it.

    `main` is the module whose required version goes into `stamps` (the linker's -X settings). `disk_megabytes` is what
    a build from scratch took: sources, build cache and programs. `companion` is built into the same folder.
    """

    name: str
    programs: tuple[str, ...]
    disk_megabytes: int
    main: str = ""
    stamps: tuple[str, ...] = ()
    tags: str = ""
    package: str = "tool"
    renamed: tuple[str, str] | None = None  # from `go build`'s name of a program to its own
    app: bool = False
    files: tuple[SourceFile, ...] = ()
    companion: GoModule | None = None

    @property
    def folder(self) -> Path:
        return APPS if self.app else FOLDER / self.name

    @property
    def version(self) -> str:
        """The version of `main` that go.mod requires, such as `v1.36.3`."""
        found = re.search(rf"^(?:require )?\s*{re.escape(self.main)} (\S+)", self._go_mod, re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.folder / 'go.mod'} does not require {self.main}")
        return found[1]

    @property
    def go_version(self) -> tuple[int, ...]:
        """The oldest Go that go.mod allows."""
        found = re.search(r"^go (\S+)", self._go_mod, re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.folder / 'go.mod'} has no go line")
        return version_tuple(found[1])

    @property
    def linker_flags(self) -> str:
        stamps = [f"-X {stamp}" for stamp in self.stamps]
        if self.main:
            major, minor = self.version.removeprefix("v").split(".")[:2]
            facts = {"version": self.version, "number": self.version.removeprefix("v"), "major": major, "minor": minor}
            stamps = [stamp.format(**facts) for stamp in stamps]
        return " ".join(["-s -w", *stamps])

    @property
    def _go_mod(self) -> str:
        return (self.folder / "go.mod").read_text(encoding="utf-8")


_KUBERNETES_VERSION = "k8s.io/component-base/version."

_PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
_PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"

_PULUMI_PYTHON = GoModule(
    name="pulumi-python",
    programs=("pulumi-language-python",),
    disk_megabytes=300,
    main=_PULUMI_SDK,
    stamps=(f"{_PULUMI_SDK}/go/common/version.Version={{version}}",),
    files=(SourceFile(module=_PULUMI_SDK, path="python/cmd/pulumi-language-python-exec", executable=True),),
)

MODULES = (
    GoModule(
        name="pulumi",
        programs=("pulumi",),
        disk_megabytes=2600,
        main="github.com/pulumi/pulumi/pkg/v3",
        # The Automation API refuses a CLI that does not report its version.
        stamps=(f"{_PULUMI_SDK}/go/common/version.Version={{version}}",),
        files=(SourceFile(module=_PULUMI_SDK, path="python/dist/pulumi-analyzer-policy-python", executable=True),),
        companion=_PULUMI_PYTHON,  # pulumi looks for its plugins in its own folder
    ),
    GoModule(
        name="pulumi-kubernetes",
        programs=("pulumi-resource-kubernetes",),
        disk_megabytes=3000,
        stamps=(f"{_PROVIDER}/pkg/version.Version={PROVIDER_VERSION}",),
        package=".",
        renamed=("pulumi-kubernetes", "pulumi-resource-kubernetes"),
        files=(
            SourceFile(module=_PROVIDER, path="cmd/pulumi-resource-kubernetes/schema.json"),
            SourceFile(module=_PROVIDER, path="cmd/pulumi-resource-kubernetes/terraform-mapping.json"),
        ),
    ),
    GoModule(name="etcd", programs=("etcd",), disk_megabytes=700, renamed=("server", "etcd")),
    GoModule(
        name="kubernetes",
        programs=(
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ),
        disk_megabytes=4500,
        main="k8s.io/kubernetes",
        stamps=(
            _KUBERNETES_VERSION + "gitVersion={version}",
            _KUBERNETES_VERSION + "gitMajor={major}",
            _KUBERNETES_VERSION + "gitMinor={minor}",
        ),
    ),
    GoModule(
        name="containerd",
        programs=("containerd", "containerd-shim-runc-v2", "ctr"),
        disk_megabytes=1200,
        main="github.com/containerd/containerd/v2",
        stamps=("github.com/containerd/containerd/v2/version.Version={version}",),
        tags="no_btrfs",  # the btrfs snapshotter needs C headers; the sandbox uses overlayfs
    ),
    GoModule(
        name="istio",
        programs=("pilot-agent", "pilot-discovery"),
        disk_megabytes=3300,
        stamps=(f"istio.io/istio/pkg/version.buildVersion={ISTIO_VERSION}",),
    ),
    GoModule(name="http-echo", programs=("http-echo",), disk_megabytes=100, main="github.com/hashicorp/http-echo"),
    GoModule(name="coredns", programs=("coredns",), disk_megabytes=2300, main="github.com/coredns/coredns"),
    GoModule(
        name="prometheus",
        programs=("prometheus", "promtool"),
        disk_megabytes=2600,
        stamps=(f"github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}",),
        tags="remove_all_sd,enable_kubernetes_sd",  # of the service discoveries, only Kubernetes'
    ),
    GoModule(
        name="jaeger",
        programs=("jaeger",),
        disk_megabytes=2600,
        stamps=(f"github.com/jaegertracing/jaeger/internal/version.latestVersion=v{JAEGER_VERSION}",),
    ),
    GoModule(
        name="helm",  # the release that Pulumi's Kubernetes provider is built from
        programs=("helm",),
        disk_megabytes=850,
        main="helm.sh/helm/v3",
        stamps=("helm.sh/helm/v3/internal/version.version={version}",),
    ),
    GoModule(name="pause", programs=("pause",), disk_megabytes=20, package="."),
    GoModule(name="apps", programs=("echo", "samples"), disk_megabytes=120, package="./...", app=True),
)


@dataclass(frozen=True, kw_only=True)
class Go:
    """The Go toolchain of this machine."""

    program: Path
    version: str  # "go1.26.8"
    architecture: str
    module_cache: Path


def find_go() -> Go | None:
    """The Go toolchain on PATH or at go.dev's install location; None if there is none."""
    program = shutil.which("go") or (str(_GO_OUTSIDE_PATH) if _GO_OUTSIDE_PATH.exists() else None)
    if program is None:
        return None
    answer = subprocess.run(
        [program, "env", "-json", "GOVERSION", "GOMODCACHE"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        cwd="/",
    )
    if answer.returncode:
        return None
    facts = json.loads(answer.stdout)
    return Go(
        program=Path(program),
        version=facts["GOVERSION"],
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        module_cache=Path(facts["GOMODCACHE"]),
    )


def version_tuple(version: str) -> tuple[int, ...]:
    """`go1.26.8` or `1.26` as numbers to compare; a suffix such as `rc1` or `-custom` is ignored."""
    found = re.match(r"(?:go)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def needed_go() -> tuple[int, ...]:
    """The oldest Go version that builds every module."""
    return max(module.go_version for module in MODULES)


def entry_name(module: GoModule, go: Go) -> str:
    """The cache entry of a module's programs, named after a hash of sources, flags, Go version and architecture."""
    digest = hashlib.sha256()
    sources = [module.folder / "go.mod", module.folder / "go.sum", *sorted(module.folder.glob("**/*.go"))]
    for source in sources:
        if source.exists() and not source.name.endswith("_test.go"):
            digest.update(
                f"{source.relative_to(module.folder)}\n{hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode()
            )
    digest.update(repr((go.version, go.architecture, _GO_FLAGS, _arguments(module), module.files)).encode())
    if module.companion is not None:
        digest.update(entry_name(module.companion, go).encode())
    return f"bin/{module.name}-{digest.hexdigest()[:16]}"


def build(module: GoModule, go: Go, build_cache: Path, folder: Path, log: Path, step: BuildStep) -> None:
    """Build the programs of `module` into the new folder `folder`; raises BuildError with the end of the log."""
    environment = environment_for(go, build_cache)
    fix = f"run the command again; it resumes with the packages compiled so far, in {build_cache}"
    needed: list[str] = []
    compiled: list[str] = []

    def show(packages: list[str], line: str) -> None:
        if line.startswith("go: "):  # "go: downloading …"
            step.detail(line.removeprefix("go: "))
        else:
            packages.append(line)
            if packages is compiled:
                step.detail(f"{len(compiled)} of {len(needed)} packages")

    def go_run(arguments: list[str], packages: list[str]) -> None:
        run_logged(
            [str(go.program), *arguments, module.package],
            log,
            folder=module.folder,
            environment=environment,
            on_line=lambda line: show(packages, line),
            fix=fix,
        )

    go_run(["list", "-deps", f"-tags={module.tags}"], needed)
    folder.mkdir(exist_ok=True)
    go_run(["build", "-v", "-o", f"{folder}/", *_arguments(module)], compiled)
    if module.renamed is not None:
        (folder / module.renamed[0]).rename(folder / module.renamed[1])
    for file in module.files:
        copied = folder / Path(file.path).name
        shutil.copyfile(source_folder(module, file.module, go, build_cache) / file.path, copied)
        copied.chmod(0o755 if file.executable else 0o644)
    if module.companion is not None:
        build(module.companion, go, build_cache, folder, log, step)


def source_folder(module: GoModule, path: str, go: Go, build_cache: Path) -> Path:
    """The folder of the required module `path` in Go's module cache; Go has checked it against go.sum."""
    answer = subprocess.run(
        [str(go.program), "list", "-m", "-f", "{{.Dir}}", path],
        check=True,
        capture_output=True,
        text=True,
        cwd=module.folder,
        env=environment_for(go, build_cache),
    )
    return Path(answer.stdout.strip())


_GO_FLAGS = "-mod=readonly -trimpath -buildvcs=false"


def environment_for(go: Go, build_cache: Path) -> dict[str, str]:
    """The user's environment (GOPROXY, GOPRIVATE and the like apply), with all that affects the result pinned."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOARCH": go.architecture,
        "GOAMD64": "v1",
        "GOARM64": "v8.0",
        "GOCACHE": str(build_cache),
        "GOFLAGS": _GO_FLAGS,
        "GOGC": "400",  # fewer garbage collections in the compiler: a fifth less time (measured), more memory
        "GOOS": "linux",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _arguments(module: GoModule) -> list[str]:
    return [f"-tags={module.tags}", f"-ldflags={module.linker_flags}"]
