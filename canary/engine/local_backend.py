"""The backend of our own: where Pulumi is logged in nowhere, the state is kept in a folder of this machine.

Its passphrase is made here, so the salt that goes with it must not go into the stack's file, which is shared: the
engine gets a copy of the file that lies beside the state. A file that has a salt or a secrets provider already is
its owner's business, and is left as it is.
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
SECRETS_ARE_SETTLED = re.compile(r"^(encryptionsalt|secretsprovider):", re.MULTILINE)


@dataclass(frozen=True)
class OwnState:
    """What the engine gets instead of the stack's own file: `config_file`, in `folder` with a copy of Pulumi.yaml."""

    folder: Path
    config_file: Path
    env: Mapping[str, str]


def own_state(project: Project, stack: str, home: Path) -> OwnState | None:
    """Return the copies under `home` for `stack`, brought up to date; None where its file settles its secrets."""
    source = project.stack_file(stack)
    text = source.read_text(encoding="utf-8")
    if SECRETS_ARE_SETTLED.search(text):
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
    return OwnState(folder, config_file, {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)})


def _write(path: Path, text: str, replace: bool = True) -> None:
    """Write whole or not at all, readable by the owner alone; two runs at once do not meet in the middle."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    if replace:
        draft.replace(path)
        return
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
