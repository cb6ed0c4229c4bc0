"""Checks of where Istio's charts and images come from, and of which release they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stacks.checks.view import Release, View, at, block
from stacks.settings.hosting import OFFICIAL_CHARTS, OFFICIAL_OCI_CHARTS, RETIRED
from stacks.settings.problems import Finding, Location, key_path, shown

CHARTS: Location = ("mesh", "charts")
VERSION: Location = ("mesh", "version")
HUB: Location = ("mesh", "hub")
VALUES: Location = ("mesh", "values")
TAG_OF_CHART: Location = (*VALUES, "istiod", "global", "tag")

OVERRIDDEN: Mapping[Location, Location] = {
    HUB: (*VALUES, "istiod", "global", "hub"),
    ("mesh", "outboundTrafficPolicy"): (*VALUES, "istiod", "meshConfig", "outboundTrafficPolicy", "mode"),
    ("mesh", "pushDebounce"): (*VALUES, "istiod", "env", "PILOT_DEBOUNCE_AFTER"),
    ("mesh", "gateway", "serviceType"): (*VALUES, "gateway", "service", "type"),
}
"""Settings, and the chart values that are merged over them."""

RETIRED_HOST = re.compile(
    # At the beginning of a reference alone: mirrors have the host that they mirror in their path.
    rf"(?:(?<=://)|(?<![\w./-]))(?:{'|'.join(map(re.escape, RETIRED))})(?![\w-]|\.\w)",
    re.IGNORECASE,
)


def check(view: View) -> Iterator[Finding]:
    """Yield what names a host that Istio has left, values that override settings, and charts of another release."""
    for location, text in _references(view):
        found = RETIRED_HOST.search(text)
        if found:
            yield _retired(location, text, found[0])
    if view.mesh.get("install") is not False:
        yield from _check_overridden(view)
        for release in view.releases:
            yield from _check_tag(release)
    for release in view.releases if view.installs_mesh else ():
        if release.charts_folder is not None:
            yield from _check_release(release, release.charts_folder)


def _references(view: View) -> Iterator[tuple[Location, str]]:
    """Every text that may name an image or a chart repository, with its location."""
    for key in ("charts", "hub", "values"):
        yield from _texts(("mesh", key), view.mesh.get(key))
    for service in view.services.values():
        for version, given in service.versions.items():
            yield from _texts((*service.location, "versions", version, "image"), block(given).get("image"))


def _texts(location: Location, value: Any) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _texts((*location, key), below)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts((*location, index), below)


def _retired(location: Location, text: str, host: str) -> Finding:
    new = RETIRED[host.lower()]
    allowed, fix = f"{new}, or a mirror of it", f"write {new} instead of {host}"
    if location == CHARTS:
        allowed = f"{OFFICIAL_CHARTS}, {OFFICIAL_OCI_CHARTS}, or a mirror of them"
        fix = f"write {OFFICIAL_OCI_CHARTS if text.startswith('oci://') else OFFICIAL_CHARTS}"
    return Finding(
        location,
        f"Istio has published nothing at {host} since 1.31, and retires it in December 2026",
        allowed,
        fix,
        shown(text),
    )


def _check_overridden(view: View) -> Iterator[Finding]:
    for setting, value in OVERRIDDEN.items():
        given, around = at(view.values, setting), block(at(view.values, value[:-1]))
        if given is None or value[-1] not in around:
            continue
        over = around[str(value[-1])]
        if given == over and setting != HUB:
            continue
        yield Finding(
            setting,
            f"{key_path(value)} overrides it, with {shown(over)}",
            f"one of {key_path(setting)} and {key_path(value)}",
            f"keep one of the two: remove {key_path(setting)} ({shown(given)}) or {key_path(value)} ({shown(over)})",
            shown(given),
        )


def _check_tag(release: Release) -> Iterator[Finding]:
    """The tag may name a variant of the release, such as 1.31.4-distroless."""
    version, tag, place, at_tag = release.version, release.tag, key_path(release.location), key_path(release.at_tag)
    if tag is None or not isinstance(version, str) or str(tag) == version or str(tag).startswith(f"{version}-"):
        return
    yield Finding(
        release.location,
        f"{at_tag} overrides it, with {shown(tag)}: the images would not be of the charts' release",
        f"the same release in {place} and {at_tag}",
        f"keep one of the two: remove {at_tag} ({shown(tag)}), "
        f"or write its release instead of {shown(version)} in {place}"
        if len(release.location) == 2 or release.at_tag[1] == "revisions"
        else f"write values: {{global: {{tag: {version}}}}} in {key_path(release.location[:-1])}, or remove {at_tag}",
        shown(version),
    )


def _check_release(of: Release, folder: Path) -> Iterator[Finding]:
    """Of a folder, Helm takes the charts whatever version it is asked for."""
    asked = of.version
    charts = {chart: _release(folder / chart / "Chart.yaml") for chart in ("base", "istiod", "gateway")}
    releases = sorted({release for release in charts.values() if release is not None})
    if any(release != asked for release in releases):
        yield Finding(
            of.location,
            f"the charts in {folder} are not of this release, and Helm installs what is there: "
            + ", ".join(f"{chart} is {release}" for chart, release in charts.items() if release is not None),
            "the release of the charts in the folder, the same for all of them",
            f"write {releases[0]}, or name the folder of another release in {key_path(of.at_charts)}"
            if len(releases) == 1
            else f"put the charts of one release into {folder}",
            shown(asked),
        )


def _release(file: Path) -> str | None:
    """The version of a chart; None where the chart cannot be read, which Helm says better."""
    try:
        version = block(yaml.safe_load(file.read_text(encoding="utf-8"))).get("version")
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return version if isinstance(version, str) else None
