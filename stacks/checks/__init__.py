"""Checks across keys: of a rule against its versions and earlier rules, and of services against one another.

Each checks what is well-formed and skips the rest, which is reported separately and must not hide mistakes elsewhere.
`warnings` are about what may be intended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks import (
    actions,
    gateways,
    hosting,
    hosts,
    matches,
    mesh,
    names,
    pods,
    reach,
    security,
    sticky,
    targets,
    telemetry,
)
from stacks.checks.view import View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding

CHECKS = (
    mesh.check,
    hosting.check,
    pods.check,
    targets.check,
    reach.check,
    matches.check,
    actions.check,
    sticky.check,
    gateways.check,
    hosts.check,
    names.check,
    security.check,
    telemetry.check,
)


def check(values: Mapping[str, Any], settings: Settings | None, stack: str | None = None) -> Iterator[Finding]:
    """Yield the mistakes across keys of a stack's values, after samples were merged into `services`.

    `settings` are the same values if they are valid as a whole; `stack` is the stack's name, None if it is not known.
    """
    view = View(values, settings, stack)
    for one in CHECKS:
        yield from one(view)
