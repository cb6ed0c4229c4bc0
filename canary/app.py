"""Runs the `canary` command. The command line itself is imported after an abort has done its first writes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canary.command_line import app as app

ABORT = ["rollout", "abort"]


def __getattr__(name: str) -> Any:
    """Return the command line `app`, which takes longer to import than an abort does."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from canary.command_line import app as command_line

    return command_line


def main() -> None:
    """Run the command line, and exit without the interpreter's own shutdown, which takes up to half a second."""
    if sys.argv[1:3] == ABORT:
        from canary.rollout.abort_first import abort_first

        abort_first(sys.argv[3:])
    from canary.command_line import app

    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
