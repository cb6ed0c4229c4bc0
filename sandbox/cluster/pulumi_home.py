"""Links to Pulumi's CLI and Kubernetes provider, where Pulumi's installer and `pulumi plugin install` put them.

`$PULUMI_HOME/bin/pulumi` is the CLI, which finds its language host beside the program that the link points to;
`$PULUMI_HOME/plugins/resource-kubernetes-v<version>` has the provider. Beside the CLI is `helm`, which renders the
charts that the provider installs. Existing installations are not changed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox.builder.artifacts import Built
from sandbox.builder.cache import default_root
from sandbox.builder.go_modules import PROVIDER_VERSION

PROVIDER = "pulumi-resource-kubernetes"
PROGRAMS = ("pulumi", "helm")
"""The programs in `$PULUMI_HOME/bin`."""


def pulumi_home() -> Path:
    """$PULUMI_HOME, by default ~/.pulumi (Pulumi: "Environment variables")."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def install(built: Built) -> None:
    """Link the programs and the provider, each unless one is installed already."""
    for link in _links():
        _install(link, built.binary(link.name))


def uninstall() -> None:
    """Remove the links that `install` created."""
    for link in _links():
        if _is_link_to_cache(link):
            link.unlink()
    if _plugin_folder().is_dir() and not any(_plugin_folder().iterdir()):
        shutil.rmtree(_plugin_folder())


def _links() -> list[Path]:
    return [*(pulumi_home() / "bin" / name for name in PROGRAMS), _plugin_folder() / PROVIDER]


def _plugin_folder() -> Path:
    return pulumi_home() / "plugins" / f"resource-kubernetes-v{PROVIDER_VERSION}"


def _install(link: Path, program: Path) -> None:
    if link.exists() and not _is_link_to_cache(link):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    replace_link(link, program)


def _is_link_to_cache(link: Path) -> bool:
    return link.is_symlink() and link.readlink().is_relative_to(default_root())


def replace_link(link: Path, target: Path) -> None:
    """Point `link` to `target` atomically."""
    if link.is_symlink() and link.readlink() == target:
        return
    temporary = link.with_name(link.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
