"""The local backend: if Pulumi is not logged in, the state is kept in a folder on this machine.

Its passphrase is generated here, so the matching salt must not be written to the stack's file, which is shared. The
engine gets a copy of that file, stored beside the state. A file that already has a salt or a secrets provider is used
as it is.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from canary.project import Project

SALT = re.compile(r"^encryptionsalt:.*$", re.MULTILINE)
HAS_SECRETS_PROVIDER = re.compile(r"^(encryptionsalt|secretsprovider):", re.MULTILINE)


@dataclass(frozen=True)
class LocalBackend:
    """The engine's copy of the stack's file, `config_file`, in `folder` beside a copy of Pulumi.yaml, and its `env`."""

    folder: Path
    config_file: Path
    env: Mapping[str, str]


def local_backend(project: Project, stack: str, home: Path) -> LocalBackend | None:
    """Update the copies for `stack` under `home` and return them; None if its file names a salt or secrets provider."""
    source = project.stack_file(stack)
    text = source.read_text(encoding="utf-8")
    if HAS_SECRETS_PROVIDER.search(text):
        return None
    folder = home / "config" / project.name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    config_file = folder / source.name
    with suppress(FileNotFoundError):
        salt = SALT.search(config_file.read_text(encoding="utf-8"))
        text = text.rstrip("\n") + (f"\n{salt[0]}\n" if salt else "\n")
    _write(config_file, text)
    _write(folder / "Pulumi.yaml", (project.root / "Pulumi.yaml").read_text(encoding="utf-8"))
    passphrase = home / "passphrase"
    if not passphrase.exists():
        _write(passphrase, secrets.token_urlsafe(32), replace=False)
    return LocalBackend(folder, config_file, {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)})


def _write(path: Path, text: str, replace: bool = True) -> None:
    """Write atomically, readable only by the owner; without `replace` an existing file is kept."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    if replace:
        draft.replace(path)
        return
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
