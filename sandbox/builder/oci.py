"""Container images of one layer, written without any container tool.

An image is an archive as the OCI Image Layout Specification describes it, with the name under which containerd files it
(annotation io.containerd.image.name). The same contents give the same bytes: no time, owner's name or order of a
directory goes in.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class File:
    """A file of an image, with its content or the file on this machine that holds it."""

    path: str
    content: Path | bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link of an image."""

    path: str
    target: str


@dataclass(frozen=True)
class Folder:
    """A folder of an image that is empty, or whose mode or owner is not the usual one."""

    path: str
    mode: int = 0o755
    owner: int = 0


Entry = File | Link | Folder


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an image holds and how it runs. `reference` is the full name, registry and tag included."""

    reference: str
    architecture: str
    contents: Sequence[Entry]
    entrypoint: tuple[str, ...]
    user: str = "0:0"
    environment: Mapping[str, str] = field(default_factory=dict)


def write(recipe: Recipe, target: Path) -> None:
    """Write the image as an OCI archive to the file `target`."""
    layer = target.with_name(target.name + ".layer")
    try:
        _write_layer(recipe.contents, layer)
        with layer.open("rb") as file:
            layer_digest = hashlib.file_digest(file, "sha256").hexdigest()
        config = _json(_config(recipe, layer_digest))
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(_CONFIG, _sha256(config), len(config)),
                "layers": [_descriptor(_LAYER, layer_digest, layer.stat().st_size)],
            }
        )
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(archive, "index.json", _json(_index(recipe, manifest)))
            for blob in (manifest, config):
                _add(archive, f"blobs/sha256/{_sha256(blob)}", blob)
            _add(archive, f"blobs/sha256/{layer_digest}", layer)
    finally:
        layer.unlink(missing_ok=True)


def _config(recipe: Recipe, layer_digest: str) -> dict[str, Any]:
    return {
        "created": "1970-01-01T00:00:00Z",
        "architecture": recipe.architecture,
        "os": "linux",
        "config": {
            "User": recipe.user,
            "Env": [f"{name}={value}" for name, value in recipe.environment.items()],
            "Entrypoint": list(recipe.entrypoint),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }


def _index(recipe: Recipe, manifest: bytes) -> dict[str, Any]:
    image = _descriptor(_MANIFEST, _sha256(manifest), len(manifest))
    image["platform"] = {"architecture": recipe.architecture, "os": "linux"}
    image["annotations"] = {
        "io.containerd.image.name": recipe.reference,
        "org.opencontainers.image.ref.name": recipe.reference.rpartition(":")[2],
    }
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [image]}


def _write_layer(contents: Sequence[Entry], target: Path) -> None:
    named = {entry.path.strip("/"): entry for entry in contents}
    if len(named) != len(contents):
        raise ValueError("two entries of an image have one path")
    parents = {str(parent) for path in named for parent in PurePosixPath(path).parents} - {"."}
    entries = {**{path: Folder(path) for path in parents}, **named}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(entries):  # a folder comes before what is in it
            entry = entries[path]
            if isinstance(entry, File):
                _add(archive, path, entry.content, entry.mode)
                continue
            member = tarfile.TarInfo(path)
            if isinstance(entry, Link):
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
            else:
                member.type, member.mode = tarfile.DIRTYPE, entry.mode
                member.uid = member.gid = entry.owner
            archive.addfile(member)


def _add(archive: tarfile.TarFile, path: str, content: Path | bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.mode = mode
    if isinstance(content, bytes):
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        return
    member.size = content.stat().st_size
    with content.open("rb") as file:
        archive.addfile(member, file)


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
