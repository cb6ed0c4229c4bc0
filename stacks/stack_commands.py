"""The commands that the program's messages name, completed with the stack, so that they can be copied.

Whoever writes a message names the command alone, such as `canary rollout abort website`: most do not know the stack.
"""

from __future__ import annotations

import re

import pulumi

COMMAND = re.compile(r"`(canary (?:up|refresh|status|rollout (?!run\b)[a-z]+)\b(?![^`]*--stack)[^`]*)`")
"""A command in a text that takes `--stack` and has none."""


def with_stack(text: str, stack: str) -> str:
    """Return a text whose commands name the stack: `canary rollout abort website --stack dev`."""
    return COMMAND.sub(lambda found: f"`{found[1]} --stack {stack}`", text)


def told(text: str) -> str:
    """Return a text of the program as the engine is to show it: its commands name the stack of this run."""
    return with_stack(text, pulumi.get_stack())
