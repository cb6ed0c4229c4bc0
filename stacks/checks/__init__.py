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
    ingress,
    matches,
    mesh,
    names,
    pods,
    reach,
    samples,
    security,
    sticky,
    strategies,
    targets,
    telemetry,
)
from stacks.checks.view import View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding

CHECKS = (
    samples.check,
    mesh.check,
    hosting.check,
    pods.check,
    strategies.check,
    targets.check,
    reach.check,
    matches.check,
    actions.check,
    sticky.check,
    gateways.check,
    ingress.check,
    hosts.check,
    names.check,
    security.check,
    telemetry.check,
)


def check(
    values: Mapping[str, Any],
    settings: Settings | None,
    stack: str | None = None,
    written: Mapping[str, Any] | None = None,
) -> Iterator[Finding]:
    """Yield the mistakes across keys of a stack's values, after samples were merged into them.

    `settings` are the same values if they are valid as a whole; `stack` is the stack's name, None if it is not known.
    `written` are the values without what strategies decide; if it is None, they decide nothing.
    """
    view = View(values, settings, stack, values if written is None else written)
    for one in CHECKS:
        yield from one(view)
