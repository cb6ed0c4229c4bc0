"""Checks across keys: of a rule with its versions and with the rules before it, of services with one another.

Each looks at what is well-formed and passes over the rest: that is reported by itself, and must not hide what is
wrong elsewhere. `warnings` are about what may be meant.
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
)


def check(values: Mapping[str, Any], settings: Settings | None) -> Iterator[Finding]:
    """Yield the mistakes across keys of a stack's values, after samples were laid under `services`.

    `settings` are the same values, where they are well-formed as a whole.
    """
    view = View(values, settings)
    for one in CHECKS:
        yield from one(view)
