"""The mesh of another stack, as that stack's file says it: laid under the values of a stack that refers to it.

So a change of routes can be reviewed without a state: `check`, `diff`, `explain` and `render` read files alone. A run
compares it with what is deployed (`stacks.mesh_of_stack`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stacks.settings.problems import NAMESPACE, Finding, SettingsError, key_path, shown
from stacks.settings.stack_file import StackFile, read_stack_file

REFERENCE = "stackReference"
OF_INSTALLER = ("install", REFERENCE, "charts", "hub", "pushDebounce")
"""Keys of a mesh that concern only the stack that installs it."""
OF_TELEMETRY = ("metrics", "scrapeInterval")
OF_REVISION = ("charts", "hub", "values")


def reference_of(values: Mapping[str, Any]) -> str | None:
    """Return the full name of the stack that a stack's values name for their mesh, None if they name none."""
    named = _block(values.get("mesh")).get(REFERENCE)
    return named if isinstance(named, str) and named.count("/") == 2 else None


def with_mesh_of_stack(values: Mapping[str, Any], source: StackFile | None, found: list[Finding]) -> dict[str, Any]:
    """Return the values over the mesh of the stack that they refer to, if its file is beside `source`.

    What the values say themselves goes before. Mistakes of the reference are added to `found`.
    """
    merged, named = dict(values), reference_of(values)
    if named is None:
        return merged
    own = _block(values.get("mesh"))
    merged["mesh"] = {"install": False, **own}
    if own.get("install") is True:
        found.append(_both(named))
    other = values_of(named, source)
    if other is None:
        return merged
    mesh = _block(other.get("mesh"))
    if mesh.get("install") is False or REFERENCE in mesh:
        found.append(_no_mesh(named))
        return merged
    merged["mesh"] = {**_shared(mesh), **merged["mesh"]}
    if "gateway" in mesh and "gateway" in own:
        merged["mesh"]["gateway"] = {**_block(mesh["gateway"]), **_block(own["gateway"])}
    merged["telemetry"] = _telemetry(_block(other.get("telemetry")), mesh, values.get("telemetry"))
    return merged


def file_of_reference(named: str, folder: Path) -> Path:
    """Return where the file of the stack with this full name is, if it is a stack of the project in `folder`."""
    return folder / f"Pulumi.{named.rpartition('/')[2]}.yaml"


def values_of(named: str, source: StackFile | None) -> Mapping[str, Any] | None:
    """Return the values of the other stack's file; None if it is of another project, or not here, or not readable."""
    if source is None or named.split("/")[1] != NAMESPACE:
        return None
    try:
        other = read_stack_file(file_of_reference(named, source.path.parent))
    except SettingsError:
        return None
    return {key.removeprefix(f"{NAMESPACE}:"): value for key, value in other.values.items()}


def _shared(mesh: Mapping[str, Any]) -> dict[str, Any]:
    shared = {key: value for key, value in mesh.items() if key not in OF_INSTALLER}
    revisions = _block(mesh.get("revisions"))
    if revisions:
        shared["revisions"] = {
            name: {key: value for key, value in _block(one).items() if key not in OF_REVISION}
            for name, one in revisions.items()
        }
    return shared


def _telemetry(other: Mapping[str, Any], mesh: Mapping[str, Any], own: Any) -> Any:
    """How the mesh is measured: the other stack's Prometheus is one that exists."""
    if own is not None and not isinstance(own, dict):
        return own
    taken = {key: other[key] for key in OF_TELEMETRY if key in other}
    prometheus = _block(other.get("prometheus"))
    namespace = other.get("namespace") or mesh.get("namespace", "istio-system")
    url = prometheus.get("url") or (f"http://prometheus.{namespace}:9090" if prometheus.get("enabled") else None)
    if url is not None:
        taken["prometheus"] = {"url": url}
    return {**taken, **(own or {})}


def _both(named: str) -> Finding:
    return Finding(
        ("mesh", "install"),
        f"the stack {named} installs the mesh ({key_path(('mesh', REFERENCE))}), and this one would install another",
        f"one of {key_path(('mesh', 'install'))}: true and {key_path(('mesh', REFERENCE))}",
        "remove install",
        "true",
    )


def _no_mesh(named: str) -> Finding:
    stack = named.rpartition("/")[2]
    return Finding(
        ("mesh", REFERENCE),
        f"the stack {named} installs no mesh, says its file Pulumi.{stack}.yaml",
        "a stack with mesh.install: true, its default",
        f"name the stack that installs the mesh, or remove install: false from Pulumi.{stack}.yaml",
        shown(named),
    )


def _block(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
