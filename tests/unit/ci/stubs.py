"""Programs that stand in for `canary`, `pulumi` and the clouds' command lines where a script's own logic is tested."""

from __future__ import annotations

import os
from pathlib import Path


def stub(folder: Path, name: str, *, out: str = "", err: str = "", code: int = 0) -> None:
    """Put a program `name` into `folder` that prints `out` and `err`, records its arguments, and exits with `code`."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.out").write_text(out)
    (folder / f"{name}.err").write_text(err)
    program = folder / name
    program.write_text(
        "#!/usr/bin/env bash\n"
        f'printf "%s\\n" "{name} $*" >> "{folder}/calls"\n'
        f'cat "{folder}/{name}.out"; cat "{folder}/{name}.err" >&2\n'
        f"exit {code}\n"
    )
    program.chmod(0o755)


def calls(folder: Path) -> list[str]:
    """The command lines that the stubs of `folder` were called with, in their order."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def env_with(folder: Path, **variables: str) -> dict[str, str]:
    """An environment with the stubs of `folder` first on PATH, and `variables`."""
    return {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
