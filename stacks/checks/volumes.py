"""Checks of volumes and of where a container mounts them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.view import View, block, entries
from stacks.settings.model import ServiceSettings, Settings, VersionSettings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from stacks.settings.volumes import Volume

OF_ISTIO = (
    "istio-envoy", "istio-data", "istio-podinfo", "istio-token", "istiod-ca-cert", "istio-ca-crl", "workload-socket",
    "credential-socket", "workload-certs",
)  # fmt: skip
"""Volumes that Istio's injection adds (Istio: manifests/charts/istio-control/istio-discovery/files)."""
OF_FILES = "config-"
"""Beginning of the names of the volumes that configFiles become."""
OF_PROXY = ("/etc/istio", "/var/run/secrets/istio", "/var/run/secrets/tokens", "/var/lib/istio")
READ_BY_OTHERS = 0o004


def check(view: View) -> Iterator[Finding]:
    """Yield mounts without a volume, paths that two of them take, and volumes with a name that is taken."""
    for service in view.services.values():
        for version, given in service.deployed.items():
            place = (*service.location, "versions", version)
            yield from _volumes(block(given), place)
            yield from _mounts(block(given), place)


def _volumes(given: Mapping[str, Any], place: Location) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, volume in enumerate(entries(given.get("volumes"))):
        name, location = block(volume).get("name"), (*place, "volumes", index, "name")
        if not isinstance(name, str):
            continue
        if seen.setdefault(name, index) != index:
            what = f"{key_path((*place, 'volumes', seen[name]))} has the same name"
            yield Finding(location, what, "volumes of different names", "give one of the two another name", shown(name))
        if name in OF_ISTIO or _is_of_files(name):
            whose = "Istio adds a volume" if name in OF_ISTIO else "configFiles become volumes"
            yield Finding(
                location, f"{whose} of this name", "any other name", f"write {name.split('-')[-1]}-files, for example",
                shown(name),
            )  # fmt: skip


def _is_of_files(name: str) -> bool:
    return name.removeprefix(OF_FILES).isdecimal() and name.startswith(OF_FILES)


def _mounts(given: Mapping[str, Any], place: Location) -> Iterator[Finding]:
    volumes = [block(one).get("name") for one in entries(given.get("volumes"))]
    names = [name for name in volumes if isinstance(name, str)]
    files = block(given.get("configFiles"))
    folders = {posixpath.normpath(str(folder)): str(folder) for folder in files}
    taken: dict[str, int] = {}
    for index, mount in enumerate(entries(given.get("volumeMounts"))):
        location = (*place, "volumeMounts", index)
        name, path = block(mount).get("name"), block(mount).get("mountPath")
        if isinstance(name, str) and name not in names:
            near = nearest(name, names)
            yield Finding(
                (*location, "name"),
                f"there is no volume {name!r}{f'; the nearest is {near!r}' if near else ''}",
                f"one of {', '.join(names)}" if names else "the name of an entry of volumes, of which there is none",
                f"write {near}" if near else f"add {{name: {name}, …}} to {key_path((*place, 'volumes'))}",
                shown(name),
            )
        if isinstance(path, str):
            yield from _path(posixpath.normpath(path), path, index, taken, folders, files, place)


def _path(
    normal: str,
    path: str,
    index: int,
    taken: dict[str, int],
    folders: Mapping[str, str],
    files: Mapping[str, Any],
    place: Location,
) -> Iterator[Finding]:
    location = (*place, "volumeMounts", index, "mountPath")
    folder, name = posixpath.split(normal)
    if taken.setdefault(normal, index) != index:
        other = key_path((*place, "volumeMounts", taken[normal]))
        yield Finding(location, f"{other} has the same path", "a path of its own for each mount",
                      "give one of the two another path", shown(path))  # fmt: skip
    elif normal in folders:
        other = key_path((*place, "configFiles", folders[normal]))
        yield Finding(location, f"{other} is mounted at the same path", "a path of its own for each mount",
                      "choose another folder, or move the files into one of the two", shown(path))  # fmt: skip
    elif name in block(files.get(folders.get(folder, ""))):
        other = key_path((*place, "configFiles", folders[folder], name))
        yield Finding(location, f"it would hide {other}", "a path that is no file of configFiles",
                      "remove one of the two", shown(path))  # fmt: skip
    elif normal == "/" or any(f"{normal}/".startswith(f"{one}/") for one in OF_PROXY):
        whose = "the image's own files are there" if normal == "/" else "Istio's proxy has its files there"
        yield Finding(location, whose, f"a folder other than / and {', '.join(OF_PROXY)}",
                      "write /data, for example", shown(path))  # fmt: skip


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield volumes that are not used, files that cannot be read, and claims that several pods mount."""
    for name, service in settings.services.items():
        for version, given in service.deployed.items():
            place = ("services", name, "versions", version)
            mounted = {mount.name for mount in given.volume_mounts}
            for index, volume in enumerate(given.volumes):
                location = (*place, "volumes", index)
                if volume.name not in mounted:
                    yield Finding(
                        location,
                        f"nothing mounts the volume {volume.name}",
                        "volumes that volumeMounts name",
                        f"add {{name: {volume.name}, mountPath: …}} to {key_path((*place, 'volumeMounts'))}, or remove "
                        "the volume",
                    )
                yield from _unreadable(given, volume, location)
    yield from _claims(settings)


def _unreadable(given: VersionSettings, volume: Volume, location: Location) -> Iterator[Finding]:
    """Files of a Secret or ConfigMap belong to root, and to no group of the container's user."""
    user = given.security_context.run_as_user
    source = next(
        (key for key in ("secret", "configMap", "projected") if getattr(volume, _FIELDS[key]) is not None), None
    )
    if user == 0 or source is None:
        return
    mode = getattr(volume, _FIELDS[source]).default_mode
    if mode is not None and not mode & READ_BY_OTHERS:
        yield Finding(
            (*location, source, "defaultMode"),
            f"the files belong to root, and the container's user {user} cannot read them with permissions {mode:04o}",
            "permissions to read for others, as nobody else is in the container",
            f'write "{mode | 0o444:04o}", or remove the key, for "0644"',
            shown(f"{mode:04o}"),
        )


_FIELDS = {"secret": "secret", "configMap": "config_map", "projected": "projected"}


def _claims(settings: Settings) -> Iterator[Finding]:
    """A claim with the access mode ReadWriteOnce is for the pods of one node; its mode is only known in the cluster."""
    pods: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], Location] = {}
    for name, service in settings.services.items():
        for version, given in service.deployed.items():
            for index, volume in enumerate(given.volumes):
                claim = volume.persistent_volume_claim
                if claim is None or claim.read_only:
                    continue
                key = (service.namespace, claim.claim_name)
                pods[key] = pods.get(key, 0) + _most_pods(service, given)
                place = ("services", name, "versions", version, "volumes", index)
                first.setdefault(key, (*place, "persistentVolumeClaim", "claimName"))
    for (namespace, claim_name), count in pods.items():
        if count > 1:
            yield Finding(
                first[namespace, claim_name],
                f"up to {count} pods mount the claim at a time, new ones of a change beside old ones; with the access "
                "mode ReadWriteOnce, those on another node do not start",
                "a claim with the access mode ReadWriteMany or ReadOnlyMany, or one pod at a time",
                "none needed if its access mode is one of these; else write replicas: 1 and the strategy recreate in "
                "one version, or give each version a claim of its own",
                shown(claim_name),
            )


def _most_pods(service: ServiceSettings, given: VersionSettings) -> int:
    """How many pods of a version there may be, counting one that a rolling update adds."""
    most = given.autoscaling.max_replicas if given.autoscaling else given.replicas or 0
    return most + (0 if given.strategy.type.value == "Recreate" or not most else 1)
