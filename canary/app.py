"""Runs the `canary` command. The command line itself is imported after a verb of a rollout has done its first write."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canary.command_line import app as app

AT_ONCE = ("abort", "promote", "resume")
"""The verbs of `canary rollout` that write before the command line is imported."""


def __getattr__(name: str) -> Any:
    """Return the command line `app`, which takes longer to import than an abort takes."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from canary.command_line import app as command_line

    return command_line


def main() -> None:
    """Run the command line, and exit without the interpreter's own shutdown, which takes up to half a second."""
    written = None
    if sys.argv[1:2] == ["rollout"] and sys.argv[2:3] and sys.argv[2] in AT_ONCE:
        from canary.rollout.first_write import first_write

        written = first_write(sys.argv[2], sys.argv[3:])
    from canary.command_line import app

    try:
        app(obj=written)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
