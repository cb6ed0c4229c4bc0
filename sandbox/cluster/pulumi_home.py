"""Links to Pulumi's CLI and Kubernetes provider, where Pulumi's installer and `pulumi plugin install` put them.

`$PULUMI_HOME/bin/pulumi` is the CLI, which finds its language host beside the program that the link points to;
`$PULUMI_HOME/plugins/resource-kubernetes-v<version>` has the provider. Existing installations are not changed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox.builder.artifacts import Built
from sandbox.builder.cache import default_root
from sandbox.builder.go_modules import PROVIDER_VERSION

PROVIDER = "pulumi-resource-kubernetes"


def pulumi_home() -> Path:
    """$PULUMI_HOME, by default ~/.pulumi (Pulumi: "Environment variables")."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def install(built: Built) -> None:
    """Link the CLI and the provider, each unless one is installed already."""
    _install(pulumi_home() / "bin" / "pulumi", built.binary("pulumi"))
    _install(_plugin_folder() / PROVIDER, built.binary(PROVIDER))


def uninstall() -> None:
    """Remove the links that `install` created."""
    for link in (pulumi_home() / "bin" / "pulumi", _plugin_folder() / PROVIDER):
        if _is_link_to_cache(link):
            link.unlink()
    if _plugin_folder().is_dir() and not any(_plugin_folder().iterdir()):
        shutil.rmtree(_plugin_folder())


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
