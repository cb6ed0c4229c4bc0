"""The error for a configuration or a state file that cannot be used."""

from __future__ import annotations


class PolicyError(Exception):
    """A mistake in what a person gave: what is wrong and where, what is allowed, and the fix."""

    def __init__(self, what: str, allowed: str, fix: str) -> None:
        super().__init__(f"{what}\n  allowed: {allowed}\n  fix: {fix}")
        self.what, self.allowed, self.fix = what, allowed, fix
