"""How `canary` ends, for scripts. The numbers are part of the interface and never change."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    """Done, and what was asked for holds."""
    FAILED = 1
    """The engine or the cluster refused, or something broke on the way."""
    CONFIG = 2
    """The stack's settings or the command line are wrong; nothing was touched."""
    SPLIT = 3
    """`verify`: the measured split is not, or not provably, what the config says."""
    LOCKED = 4
    """Another run holds the stack's lock."""
    UNREACHABLE = 5
    """The cluster or its gateway does not answer."""
    MACHINE = 6
    """This machine cannot run a sandbox as it is; nothing was changed."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or a signal; the stack is usable."""
