"""The images that the sandbox's cluster runs: their contents and their cache entries.

They replace the official images under the official names: the same programs at the same paths, run by the same users
(see Istio's Dockerfiles for pilot and proxyv2, and those of CoreDNS, http-echo, Prometheus, Jaeger and Kubernetes'
pause).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder import oci
from sandbox.builder.cache import Cache
from sandbox.builder.charts import HUB
from sandbox.builder.commands import BuildError
from sandbox.builder.go_modules import ISTIO_VERSION, JAEGER_VERSION, MODULES, PROMETHEUS_VERSION
from sandbox.builder.oci import File, Folder, Link, Recipe
from sandbox.builder.packages import TOOL_PATH

DISK_MEGABYTES = 500
APPS_HUB = "docker.io/istio-canary"  # of the services in apps/
APPS_VERSION = "1.0.0"
SAMPLE_SERVICES = (
    "hello-minikube",
    "java-service",
    "go-service",
    "frontend",
    "asset-manager",
    "asset-bff",
    "asset-consumer",
    "web-api",
    "articles",
    "authors",
)
"""The services of the program `samples`, each the program's first argument and the name of an image."""
JAVA_UPDATE = "UPDATE2_0"  # the second release of java-service, and its image's tag
PAUSE_IMAGE = "docker.io/local/pause:1"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USERS = b"root:x:0:0:root:/root:/sbin/nologin\nistio-proxy:x:1337:1337:istio-proxy:/:/sbin/nologin\n"
_AUTHORITIES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
_XTABLES = (
    "/usr/lib/x86_64-linux-gnu/xtables",
    "/usr/lib/aarch64-linux-gnu/xtables",
    "/usr/lib64/xtables",
    "/usr/lib/xtables",
)

Binary = Callable[[str], Path]


@dataclass(frozen=True)
class Image:
    """An image in the cache: its reference, and the archive that containerd imports."""

    reference: str
    tar: Path


def recipes(binary: Binary, architecture: str, bootstrap: Path) -> tuple[Recipe, ...]:
    """Every image of the sandbox. `bootstrap` is Istio's template of Envoy's bootstrap configuration."""
    http_echo = f"docker.io/hashicorp/http-echo:{_version('http-echo').removeprefix('v')}"
    return (
        _one_program(PAUSE_IMAGE, architecture, binary("pause"), user="65535:65535"),
        _one_program(coredns_image(), architecture, binary("coredns"), user="65532:65532"),
        _one_program(http_echo, architecture, binary("http-echo"), user="65532:65532"),
        *_apps(binary, architecture),
        _prometheus(binary, architecture),
        _jaeger(binary, architecture),
        *istio(ISTIO_VERSION, binary, architecture, bootstrap),
    )


def istio(version: str, binary: Binary, architecture: str, bootstrap: Path) -> tuple[Recipe, Recipe]:
    """The images of one release of Istio: istiod's, and that of gateways and sidecars."""
    return _pilot(version, binary, architecture), _proxy(version, binary, architecture, bootstrap)


def coredns_image() -> str:
    """The reference of the CoreDNS image, with the version that go.mod requires."""
    return f"registry.k8s.io/coredns/coredns:{_version('coredns')}"


def _version(name: str) -> str:
    return next(module.version for module in MODULES if module.name == name)


def _apps(binary: Binary, architecture: str) -> Iterable[Recipe]:
    """The project's own services. Those of the samples are one program: their images differ in the entrypoint only."""
    yield _one_program(f"{APPS_HUB}/echo:{APPS_VERSION}", architecture, binary("echo"), "65532:65532")
    samples = binary("samples")
    for service in SAMPLE_SERVICES:
        yield _one_program(f"{APPS_HUB}/{service}:{APPS_VERSION}", architecture, samples, "65532:65532", service)
    update = ("java-service", f"-release={JAVA_UPDATE}")
    yield _one_program(f"{APPS_HUB}/java-service:{JAVA_UPDATE}", architecture, samples, "65532:65532", *update)


def _one_program(reference: str, architecture: str, program: Path, user: str, *arguments: str) -> Recipe:
    path = f"/{program.name}"
    return Recipe(
        reference=reference,
        architecture=architecture,
        contents=[File(path, program, 0o755)],
        entrypoint=(path, *arguments),
        user=user,
        environment={"PATH": _PATH},
    )


def _prometheus(binary: Binary, architecture: str) -> Recipe:
    return Recipe(
        reference=f"docker.io/prom/prometheus:v{PROMETHEUS_VERSION}",
        architecture=architecture,
        contents=[File("/bin/prometheus", binary("prometheus"), 0o755), Folder("/prometheus", owner=65534)],
        entrypoint=("/bin/prometheus",),
        user="65534:65534",
        environment={"PATH": _PATH},
    )


def _jaeger(binary: Binary, architecture: str) -> Recipe:
    path = "/cmd/jaeger/jaeger-linux"
    return Recipe(
        reference=f"docker.io/jaegertracing/jaeger:{JAEGER_VERSION}",
        architecture=architecture,
        contents=[File(path, binary("jaeger"), 0o755), Folder("/tmp", 0o1777)],  # noqa: S108  in the image
        entrypoint=(path,),
        user="10001:10001",
        environment={"PATH": _PATH, "JAEGER_LISTEN_HOST": "0.0.0.0"},  # noqa: S104  in its pod
    )


def _pilot(version: str, binary: Binary, architecture: str) -> Recipe:
    return Recipe(
        reference=f"{HUB}/pilot:{version}",
        architecture=architecture,
        contents=[
            File("/usr/local/bin/pilot-discovery", binary("pilot-discovery"), 0o755),
            File("/etc/passwd", _USERS),
            Folder("/tmp", 0o1777),  # noqa: S108  in the image
            *_certificates(),
        ],
        entrypoint=("/usr/local/bin/pilot-discovery",),
        user="1337:1337",
        environment={"PATH": _PATH},
    )


def _proxy(version: str, binary: Binary, architecture: str, bootstrap: Path) -> Recipe:
    envoy = binary("envoy")
    iptables = _iptables_program()
    return Recipe(
        reference=f"{HUB}/proxyv2:{version}",
        architecture=architecture,
        contents=[
            File("/usr/local/bin/pilot-agent", binary("pilot-agent"), 0o755),
            File("/usr/local/bin/envoy", envoy, 0o755),
            File("/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", bootstrap),
            File(f"/usr/sbin/{iptables.name}", iptables, 0o755),
            *_iptables_links(iptables),
            *(File(str(module), module) for module in _xtables_modules()),
            *(File(str(library), library, 0o755) for library in libraries([envoy, iptables])),
            File("/etc/passwd", _USERS),
            Folder("/etc/istio/proxy", owner=1337),
            Folder("/var/lib/istio/data", owner=1337),
            Folder("/run"),
            Folder("/tmp", 0o1777),  # noqa: S108  in the image
            *_certificates(),
        ],
        entrypoint=("/usr/local/bin/pilot-agent",),
        user="1337:1337",
        environment={"PATH": _PATH},
    )


def _certificates() -> Iterable[File]:
    """The CA certificates that this machine trusts: a static program brings none."""
    bundle = next((path for path in _AUTHORITIES if path.exists()), None)
    if bundle is not None:
        yield File("/etc/ssl/certs/ca-certificates.crt", bundle)


def _iptables_program() -> Path:
    """The program behind this machine's iptables command: its backend, nf_tables or legacy, is one the kernel has."""
    command = shutil.which("iptables", path=TOOL_PATH)
    program = Path(command).resolve() if command else None
    if program is None or re.fullmatch(r"xtables-(nft|legacy)-multi", program.name) is None:
        raise BuildError(
            f"the command iptables {f'is {program}' if program else 'is not installed'}\n"
            "    allowed: a link to xtables-nft-multi or xtables-legacy-multi\n"
            "    fix:     install the package iptables: apt-get install iptables"
        )
    return program


def _iptables_links(program: Path) -> Iterable[Link]:
    """The command names of the program, with and without its backend."""
    kind = program.name.split("-")[1]
    for family in ("iptables", "ip6tables"):
        for action in ("", "-save", "-restore"):
            yield Link(f"/usr/sbin/{family}{action}", program.name)
            yield Link(f"/usr/sbin/{family}-{kind}{action}", program.name)


def _xtables_modules() -> list[Path]:
    """The extensions that iptables loads, from where its package installs them.

    Those that Istio's rules use need no libraries beyond iptables' own.
    """
    return sorted(file for folder in _XTABLES for file in Path(folder).glob("*.so"))


def libraries(programs: Iterable[Path]) -> list[Path]:
    """The shared libraries of `programs` and the loader, as ldd(1) lists them."""
    answer = subprocess.run(["ldd", *map(str, programs)], check=False, capture_output=True, text=True)
    missing = re.findall(r"^\s*(\S+) => not found", answer.stdout, re.MULTILINE)
    if answer.returncode or missing:
        raise BuildError(
            "Envoy or iptables needs shared libraries that this machine lacks:"
            f" {' '.join(missing) or answer.stderr.strip()}\n"
            "    fix: use a Linux with glibc 2.31 or newer, such as Debian 11"
        )
    return sorted({Path(path) for path in re.findall(r"(/\S+) \(0x", answer.stdout)})


def entry_name(recipe: Recipe, cache: Cache) -> str:
    """The cache entry of an image, named after a hash of its contents and of oci.py, which writes it."""
    digest = hashlib.sha256(Path(oci.__file__).read_bytes())
    digest.update(repr((recipe.reference, recipe.architecture, recipe.entrypoint, recipe.user)).encode())
    digest.update(repr(sorted(recipe.environment.items())).encode())
    for entry in sorted(recipe.contents, key=lambda entry: entry.path):
        if isinstance(entry, File):
            digest.update(f"{entry.path} {entry.mode:o} {_identity(entry.content, cache)}\n".encode())
        else:
            digest.update(f"{entry!r}\n".encode())
    name = re.sub(r"[^a-z0-9.]+", "-", recipe.reference.rpartition("/")[2])
    return f"images/{name}-{digest.hexdigest()[:16]}.tar"


def _identity(content: Path | bytes, cache: Cache) -> str:
    if isinstance(content, Path) and content.is_relative_to(cache.root):
        return str(content.relative_to(cache.root))  # an entry's name is a hash of its inputs already
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()
