"""What a chart renders to: a checksum that changes with it, and the names of its objects.

Rendering the charts of a mesh takes a second, so what came out is kept in the user's cache by everything that goes
in: helm, the chart's files, values and flags. Only charts on this machine are kept: a repository may serve another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.provider import helm, objects
from sandbox.provider.kinds import kind_of


@dataclass(frozen=True)
class Rendering:
    """A chart's version, the SHA-256 of its rendered manifests, and its objects' names by "Kind.group/apiVersion"."""

    version: str
    checksum: str
    resource_names: dict[str, list[str]]


def render(program: helm.Helm, inputs: Mapping[str, Any]) -> Rendering:
    """Render the chart of a Release's inputs without a cluster. Raises ``helm.HelmError``."""
    chart = helm.chart_of(inputs)
    args = helm.template_args(inputs, chart)
    values = inputs.get("values") or {}
    kept = _cache_file(Path(chart.reference), args, values)
    if kept is not None and kept.is_file():
        with suppress(ValueError, TypeError, OSError):
            return Rendering(**json.loads(kept.read_text()))
    manifest = program.run(args, values=values, chart=chart)
    made = Rendering(
        version=_version(program, chart, inputs),
        checksum=hashlib.sha256(manifest.encode()).hexdigest(),
        resource_names=resource_names(documents(manifest)),
    )
    if kept is not None:
        _keep(kept, made)
    return made


def documents(manifest: str) -> list[dict[str, Any]]:
    """Return the objects of rendered manifests."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [d for d in yaml.load_all(manifest, Loader=loader) if isinstance(d, dict) and d.get("kind")]


def resource_names(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Group the names of objects as a Release's ``resourceNames`` does."""
    names: dict[str, set[str]] = {}
    for obj in found:
        kind = kind_of(obj)
        qualified = f"{kind.name}.{kind.group}" if kind.group else kind.name
        names.setdefault(f"{qualified}/{kind.api_version}", set()).add(objects.qualified_name(obj))
    return {key: sorted(group) for key, group in sorted(names.items())}


def _version(program: helm.Helm, chart: helm.Chart, inputs: Mapping[str, Any]) -> str:
    metadata = Path(chart.reference) / "Chart.yaml"
    text = metadata.read_text() if metadata.is_file() else ""
    if not text and inputs.get("version"):
        return str(inputs["version"])
    text = text or program.run(["show", "chart", chart.reference, *chart.flags], chart=chart)
    return str((yaml.safe_load(text) or {}).get("version", ""))


def _cache_file(chart: Path, args: Sequence[str], values: object) -> Path | None:
    if not chart.is_absolute() or not chart.exists():
        return None
    digest = hashlib.sha256(json.dumps([list(args), values], sort_keys=True, default=str).encode())
    program = Path(shutil.which("helm") or "")
    with suppress(OSError):
        found = program.resolve().stat()
        digest.update(f"{program.resolve()} {found.st_size} {found.st_mtime_ns}".encode())
    for path in sorted(p for p in (chart.rglob("*") if chart.is_dir() else [chart]) if p.is_file()):
        digest.update(f"\0{path}\0".encode())
        digest.update(path.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "istio-canary" / "charts-rendered" / f"{digest.hexdigest()}.json"


def _keep(path: Path, made: Rendering) -> None:
    """Write the cache file whole or not at all; without a cache everything works as well."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(made.__dict__))
        temporary.replace(path)
