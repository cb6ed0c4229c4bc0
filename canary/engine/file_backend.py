"""Pulumi's backend in a folder, and what a killed run may leave in it.

The engine writes the attributes of each file into a second one, in place and not atomically (gocloud.dev/blob/fileblob,
attrs.go). A run killed at that moment leaves it empty or cut short, and then nothing can read the file beside it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

T = TypeVar("T")
FOLDERS = ("stacks", "locks")
"""Where the engine keeps the states and the locks, in `.pulumi` of the backend's folder."""
READ_ATTEMPTS = 10
READ_PAUSE = 0.1
"""Seconds before a file that another run was writing is read again."""
END_OF_FILE = re.compile(r"(^|: )(unexpected )?EOF$", re.MULTILINE)


def backend_folder(url: str | None, env: Mapping[str, str]) -> Path | None:
    """Return the folder of the backend at `url`, such as file:///srv/state or file://~; None for another kind."""
    if url is None or not url.startswith("file://"):
        return None
    path = unquote(url.removeprefix("file://").partition("?")[0])
    home = env.get("HOME", "")
    return Path(home + path[1:] if path == "~" or path.startswith("~/") else path)


def repeated_while_written(attempt: Callable[[], T], error: Callable[[T], str], folder: Path | None = None) -> T:
    """Call `attempt` again while it fails because another run was writing a file of the backend; return its result.

    `error` returns the CLI's stderr of a failed attempt, else "". Reading does not wait for the stack's lock. If a
    killed run has left such a file in `folder`, the backend's, it is removed, and one more attempt is made.
    """
    for _ in range(READ_ATTEMPTS):
        result = attempt()
        if END_OF_FILE.search(error(result).strip()) is None:
            return result
        time.sleep(READ_PAUSE)
    return attempt() if folder is not None and remove_unfinished_attributes(folder) else result


def remove_unfinished_attributes(folder: Path) -> tuple[Path, ...]:
    """Remove the attributes that a killed run has not finished, and return their files.

    They hold no state: the engine takes a file without any for one of an unknown content type. What was written within
    the last second may still be being written, and stays.
    """
    removed = []
    for name in FOLDERS:
        for path in (folder / ".pulumi" / name).rglob("*.attrs"):
            with suppress(FileNotFoundError):
                if _is_json(path) or time.time() - path.stat().st_mtime < READ_ATTEMPTS * READ_PAUSE:
                    continue
                path.unlink()
                removed.append(path)
    return tuple(removed)


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False
