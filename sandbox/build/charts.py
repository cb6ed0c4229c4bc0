"""Istio's Helm charts, taken from the source of the Istio that istiod is built from.

The source holds them as they are before a release: with the version 1.0.0 and the images of a developers' registry. A
release writes its own into them, and so does `write`; the names base, istiod and gateway are those of the official
chart repository.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox.build.commands import BuildError

HUB = "docker.io/istio"  # the registry of Istio's release images
_SOURCES = {"base": "base", "istiod": "istio-control/istio-discovery", "gateway": "gateway"}


def write(istio_source: Path, version: str, folder: Path) -> None:
    """Write the charts of release `version` into the new folder `folder`, one folder a chart."""
    for name, source in _SOURCES.items():
        chart = folder / name
        # Only the contents are copied: Go's module cache is read-only.
        shutil.copytree(istio_source / "manifests" / "charts" / source, chart, copy_function=shutil.copyfile)
        for path in (chart, *chart.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        _replace(
            chart / "Chart.yaml",
            {"\nversion: 1.0.0": f"\nversion: {version}", "\nappVersion: 1.0.0": f"\nappVersion: {version}"},
        )
    _replace(
        folder / "istiod" / "values.yaml",
        {
            "\n    hub: registry.istio.io/testing\n": f"\n    hub: {HUB}\n",
            "\n    tag: latest\n": f"\n    tag: {version}\n",
        },
    )


def _replace(file: Path, replacements: dict[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in replacements.items():
        if text.count(old) != 1:
            raise BuildError(f"{file.parent.name}/{file.name} of Istio's source has no single line {old.strip()!r}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
