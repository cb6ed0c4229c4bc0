"""A failure that a person can act on: what happened, how the command ends, and the fix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from canary.exit_codes import ExitCode


@dataclass
class CommandError(Exception):
    """Ends a command with `code`. `fix` names the command or the change that helps; `details` are more lines."""

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
        """Return what `--json` prints on stdout."""
        error = {"code": int(self.code), "kind": self.code.name.lower(), "message": self.message}
        if self.details:
            error["details"] = list(self.details)
        if self.fix:
            error["fix"] = self.fix
        return {"error": error}
