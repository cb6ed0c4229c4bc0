"""A failure the user can act on: message, exit code and fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from canary.exit_codes import ExitCode


@dataclass
class CommandError(Exception):
    """Ends a command with exit code `code`. `fix` is the command or change that helps; `details` are further lines."""

    message: str
    code: ExitCode = ExitCode.FAILED
    fix: str = ""
    details: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = [self.message, *self.details]
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the document printed by `--json`."""
        error = {"code": int(self.code), "kind": self.code.name.lower(), "message": self.message}
        if self.details:
            error["details"] = list(self.details)
        if self.fix:
            error["fix"] = self.fix
        return {"error": error}


@contextmanager
def cluster_needed() -> Iterator[None]:
    """End the command if the block finds that the cluster cannot be reached (ClusterUnreachableError)."""
    from kube.kubeconfig import ClusterUnreachableError

    try:
        yield
    except ClusterUnreachableError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
