"""Who asks for something, for the record."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """Return who runs this process: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
