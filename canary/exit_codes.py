"""The exit codes of `canary`, for scripts. The numbers are part of the interface and never change."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    """Success."""
    FAILED = 1
    """The engine or the cluster reported an error."""
    CONFIG = 2
    """The stack's settings or the command line are invalid; nothing was changed."""
    SPLIT = 3
    """`verify`: the measured split is not as configured, or could not be measured in full."""
    LOCKED = 4
    """Another run holds the stack's lock."""
    UNREACHABLE = 5
    """The cluster, its gateway or its Prometheus does not answer."""
    MACHINE = 6
    """This machine does not meet the sandbox's requirements; nothing was changed."""
    ABORTED = 7
    """`rollout`: all requests are back at the version before: by a person, a limit, a deadline or the pods."""
    HELD = 8
    """`rollout start`: it has not ended: paused, it waits, or --timeout is over. Nothing is lost; run it again."""
    POLICY = 9
    """`check`: a mandatory policy is violated."""
    DIFFERENCES = 10
    """`diff --exit-code`: there are differences."""
    INTERRUPTED = 130
    """Interrupted by Ctrl-C or a signal; the stack is in a usable state."""
