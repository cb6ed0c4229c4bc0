"""Istio's Helm charts, taken from the source that istiod is built from.

In the source they have the version 1.0.0 and images of a development registry. `write` replaces both, as Istio's
release does. The names base, istiod and gateway are those of the official chart repository.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox.builder.commands import BuildError

HUB = "docker.io/istio"  # the registry of Istio's release images
_SOURCES = {"base": "base", "istiod": "istio-control/istio-discovery", "gateway": "gateway"}


def write(istio_source: Path, version: str, folder: Path) -> None:
    """Write the charts of release `version` into the new folder `folder`, one folder per chart.

    Raises BuildError when a chart in the source does not look as expected.
    """
    for name, source in _SOURCES.items():
        chart = folder / name
        # Without the modes: Go's module cache is read-only.
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
            raise BuildError(
                f"the chart file {file.parent.name}/{file.name} in Istio's source has the line {old.strip()!r}"
                f" {text.count(old)} times, not once\n    fix: adapt sandbox/builder/charts.py to this version of Istio"
            )
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
