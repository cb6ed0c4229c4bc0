"""The volumes of a version's pods: its configuration files, with secret ones among them, and those that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.secrets import SecretText, fingerprints_hash, immutable_secret

Metadata = Callable[[str], k8s.meta.v1.ObjectMetaArgs]
"""Returns the metadata of an object of the version, from the end of its name."""


@dataclass(frozen=True)
class Mounted:
    """A volume and where the container has it."""

    volume: k8s.core.v1.VolumeArgs
    mount: k8s.core.v1.VolumeMountArgs


def config_files(
    name: str,
    files: Mapping[str, Mapping[str, str | SecretText]],
    metadata: Metadata,
    opts: Callable[[], pulumi.ResourceOptions],
) -> list[Mounted]:
    """Build the ConfigMaps and Secrets of files by folder and name, and return the folders, each as one volume."""
    return [
        _folder(f"{name}{folder}", f"config-{index}", folder, files[folder], metadata, opts)
        for index, folder in enumerate(sorted(files))
    ]


def _folder(
    resource: str,
    volume: str,
    folder: str,
    files: Mapping[str, str | SecretText],
    metadata: Metadata,
    opts: Callable[[], pulumi.ResourceOptions],
) -> Mounted:
    plain = {name: text for name, text in files.items() if isinstance(text, str)}
    secret = {name: text for name, text in files.items() if isinstance(text, SecretText)}
    given: dict[str, pulumi.Output[str]] = {}
    if plain or not secret:
        config_map = k8s.core.v1.ConfigMap(
            resource, metadata=metadata(content_hash(folder, plain)), data=plain, immutable=True, opts=opts()
        )
        given["config_map"] = config_map.metadata.name
    if secret:
        made = immutable_secret(resource, metadata(fingerprints_hash(folder, secret)), secret, opts())
        given["secret"] = made.metadata.name
    mount = k8s.core.v1.VolumeMountArgs(name=volume, mount_path=folder, read_only=True)
    return Mounted(_volume(volume, given), mount)


def _volume(name: str, given: Mapping[str, pulumi.Output[str]]) -> k8s.core.v1.VolumeArgs:
    if len(given) == 2:
        sources = [
            k8s.core.v1.VolumeProjectionArgs(
                config_map=k8s.core.v1.ConfigMapProjectionArgs(name=given["config_map"]),
            ),
            k8s.core.v1.VolumeProjectionArgs(secret=k8s.core.v1.SecretProjectionArgs(name=given["secret"])),
        ]
        return k8s.core.v1.VolumeArgs(name=name, projected=k8s.core.v1.ProjectedVolumeSourceArgs(sources=sources))
    if "secret" in given:
        secret = k8s.core.v1.SecretVolumeSourceArgs(secret_name=given["secret"])
        return k8s.core.v1.VolumeArgs(name=name, secret=secret)
    config_map = k8s.core.v1.ConfigMapVolumeSourceArgs(name=given["config_map"])
    return k8s.core.v1.VolumeArgs(name=name, config_map=config_map)


def content_hash(folder: str, files: Mapping[str, str]) -> str:
    """Return a hash of a folder's files, ten hexadecimal digits."""
    text = json.dumps([folder, dict(files)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
