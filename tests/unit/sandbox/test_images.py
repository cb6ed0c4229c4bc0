"""The sandbox's images: valid OCI archives, reproducible, and complete for the programs that run in them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.builder import images, oci
from sandbox.builder.cache import Cache
from sandbox.builder.oci import File, Folder, Link, Recipe


def _recipe(program: Path, **changed: Any) -> Recipe:
    settings: dict[str, Any] = {
        "reference": "docker.io/example/tool:1.2.3",
        "architecture": "amd64",
        "contents": [
            File("/usr/local/bin/tool", program, 0o755),
            File("/etc/passwd", b"root:x:0:0\n"),
            Link("/usr/local/bin/alias", "tool"),
            Folder("/tmp", 0o1777),
            Folder("/var/lib/tool", owner=1337),
        ],
        "entrypoint": ("/usr/local/bin/tool",),
        "user": "1337:1337",
        "environment": {"PATH": "/usr/local/bin"},
    }
    return Recipe(**{**settings, **changed})


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(b"\x7fELF of a tool")
    return path


def _blob(archive: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    file = archive.extractfile("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"))
    assert file is not None
    content = file.read()
    assert len(content) == descriptor["size"], "a descriptor states its blob's size"
    assert hashlib.sha256(content).hexdigest() == descriptor["digest"].removeprefix("sha256:"), "and its digest"
    return content


def _open(archive: tarfile.TarFile) -> tuple[dict[str, Any], dict[str, Any], tarfile.TarFile]:
    """The index's image, its config and its layer."""
    file = archive.extractfile("index.json")
    assert file is not None
    image = json.load(file)["manifests"][0]
    manifest = json.loads(_blob(archive, image))
    config = json.loads(_blob(archive, manifest["config"]))
    layer = _blob(archive, manifest["layers"][0])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]], "the layer is not compressed"
    return image, config, tarfile.open(fileobj=io.BytesIO(layer))


def test_an_image_is_an_oci_archive_that_containerd_imports_under_its_reference(tmp_path: Path, program: Path) -> None:
    target = tmp_path / "image.tar"
    oci.write(_recipe(program), target)
    with tarfile.open(target) as archive:
        assert "oci-layout" in archive.getnames()
        image, config, layer = _open(archive)
    assert image["annotations"]["io.containerd.image.name"] == "docker.io/example/tool:1.2.3"
    assert config["config"]["User"] == "1337:1337"
    assert config["config"]["Entrypoint"] == ["/usr/local/bin/tool"]
    assert config["config"]["Env"] == ["PATH=/usr/local/bin"]
    members = {member.name: member for member in layer.getmembers()}
    assert members["usr/local/bin/tool"].mode == 0o755
    assert members["usr/local/bin/alias"].linkname == "tool"
    assert members["usr/local"].isdir(), "the parent folders of a file are in the layer too"
    assert members["tmp"].mode == 0o1777
    assert members["var/lib/tool"].uid == 1337
    assert list(members) == sorted(members), "a folder comes before its contents"


def test_the_same_contents_give_the_same_bytes(tmp_path: Path, program: Path) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    oci.write(_recipe(program), first)
    os.utime(program, (1, 1))
    program.chmod(0o600)
    recipe = _recipe(program)
    oci.write(_recipe(program, contents=list(reversed(recipe.contents))), second)
    assert first.read_bytes() == second.read_bytes(), "times, modes on this machine and order must not matter"


def test_two_entries_of_one_path_are_refused(tmp_path: Path, program: Path) -> None:
    contents = [File("/a", b"1"), File("a", b"2")]
    with pytest.raises(ValueError, match="one path"):
        oci.write(_recipe(program, contents=contents), tmp_path / "image.tar")
    assert not (tmp_path / "image.tar.layer").exists(), "no incomplete file may be left"


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("the reference", {"reference": "docker.io/example/tool:1.2.4"}),
        ("the user", {"user": "0:0"}),
        ("the architecture", {"architecture": "arm64"}),
        ("the environment", {"environment": {"PATH": "/bin"}}),
        ("a file's content", {"contents": [File("/etc/passwd", b"other")]}),
        ("a link's target", {"contents": [Link("/a", "b")]}),
        ("a folder's owner", {"contents": [Folder("/a", owner=7)]}),
    ],
)
def test_an_images_entry_has_another_name_when_something_in_it_changes(
    tmp_path: Path, program: Path, what: str, changed: dict[str, Any]
) -> None:
    cache = Cache(tmp_path / "cache")
    before = images.entry_name(_recipe(program), cache)
    assert before == images.entry_name(_recipe(program), cache), "the name must be stable"
    assert before.startswith("images/tool-1.2.3-")
    assert images.entry_name(_recipe(program, **changed), cache) != before, f"{what} must change the name"


def test_naming_an_image_does_not_read_programs_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    absent = tmp_path / "bin" / "tool-1234" / "tool"
    images.entry_name(_recipe(absent), cache)  # does not exist: only its entry's name is used


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Recipe]:
    monkeypatch.setattr(images, "_iptables_program", lambda: Path("/usr/sbin/xtables-nft-multi"))
    monkeypatch.setattr(images, "libraries", lambda programs: [Path("/lib64/ld-linux-x86-64.so.2")])
    made = images.recipes(lambda name: tmp_path / name, "amd64", tmp_path / "envoy_bootstrap.json")
    return {recipe.reference: recipe for recipe in made}


def test_the_images_have_the_references_that_charts_and_stacks_use(recipes: dict[str, Recipe]) -> None:
    assert set(recipes) == {
        "docker.io/local/pause:1",
        "registry.k8s.io/coredns/coredns:v1.14.5",
        "docker.io/hashicorp/http-echo:1.0.0",
        "docker.io/istio-canary/echo:1.0.0",
        "docker.io/istio-canary/hello-minikube:1.0.0",
        "docker.io/istio-canary/java-service:1.0.0",
        "docker.io/istio-canary/java-service:UPDATE2_0",
        "docker.io/istio-canary/go-service:1.0.0",
        "docker.io/istio-canary/frontend:1.0.0",
        "docker.io/istio-canary/asset-manager:1.0.0",
        "docker.io/istio-canary/asset-bff:1.0.0",
        "docker.io/istio-canary/asset-consumer:1.0.0",
        "docker.io/istio-canary/web-api:1.0.0",
        "docker.io/istio-canary/articles:1.0.0",
        "docker.io/istio-canary/authors:1.0.0",
        "docker.io/prom/prometheus:v3.14.0",
        "docker.io/jaegertracing/jaeger:2.13.0",
        "docker.io/istio/pilot:1.31.0",
        "docker.io/istio/proxyv2:1.31.0",
    }


def test_no_image_runs_as_root_by_default(recipes: dict[str, Recipe]) -> None:
    for recipe in recipes.values():
        assert not recipe.user.startswith("0"), f"{recipe.reference} runs as {recipe.user}"


def test_the_images_of_the_samples_hold_one_program_and_differ_in_the_entrypoint(
    recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    samples = {
        reference.rpartition("/")[2]: recipe
        for reference, recipe in recipes.items()
        if recipe.entrypoint[0] == "/samples"
    }
    assert {name: recipe.entrypoint[1:] for name, recipe in samples.items()} == {
        **{f"{service}:1.0.0": (service,) for service in images.SAMPLE_SERVICES},
        "java-service:UPDATE2_0": ("java-service", "-release=UPDATE2_0"),
    }
    for recipe in samples.values():
        assert recipe.contents == [File("/samples", tmp_path / "samples", 0o755)]
        assert recipe.user == "65532:65532"


def test_the_proxy_image_has_what_pilot_agent_and_istio_iptables_need(recipes: dict[str, Recipe]) -> None:
    paths = {entry.path for entry in recipes["docker.io/istio/proxyv2:1.31.0"].contents}
    for path in (
        "/usr/local/bin/envoy",
        "/usr/local/bin/pilot-agent",
        "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
        "/lib64/ld-linux-x86-64.so.2",
        "/usr/sbin/iptables",
        "/usr/sbin/iptables-save",
        "/usr/sbin/iptables-restore",
        "/usr/sbin/iptables-nft",
        "/usr/sbin/iptables-nft-save",
        "/usr/sbin/ip6tables-restore",
    ):
        assert path in paths, f"{path} is missing"
