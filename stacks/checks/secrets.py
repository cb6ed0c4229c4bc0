"""Checks of where the text of an encrypted variable may get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stacks.checks.view import View, block, entries
from stacks.settings.encrypted import ENCRYPTED, kind_of_text
from stacks.settings.problems import Finding, Location, shown

REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\(([^)]+)\)")
"""A variable that Kubernetes replaces in command and args; `$$(NAME)` is the text itself."""


def check(view: View) -> Iterator[Finding]:
    """Yield programs whose name is a secret: a container runtime that cannot start one says its name to everyone."""
    for service in view.services.values():
        for version, given in service.versions.items():
            place = (*service.location, "versions", version)
            secret = {name for name, value in block(block(given).get("env")).items() if _is_secret(value)}
            yield from _program(given, secret, place)


def _is_secret(value: Any) -> bool:
    return kind_of_text(value) == ENCRYPTED or "secretKeyRef" in block(block(value).get("valueFrom"))


def _program(given: Any, secret: set[str], place: Location) -> Iterator[Finding]:
    key = "command" if entries(block(given).get("command")) else "args"
    words = entries(block(given).get(key))
    first = words[0] if words and isinstance(words[0], str) else ""
    # Arguments begin with the program only where the image has no entrypoint.
    used = REFERENCE.findall(first) if key == "command" or first.startswith("$(") else []
    for name in used:
        if name in secret:
            yield Finding(
                (*place, key, 0),
                f"the program that is started has the secret {name} in its name, which the error of a container that "
                "does not start has in plain text, and so the state",
                f"a first word of {key} without secrets",
                "write the program first, and the secret in a word after it",
                shown(first),
            )
