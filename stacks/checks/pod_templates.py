"""Checks of `podTemplate`."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.kubernetes import findings_of
from stacks.checks.view import View, block
from stacks.settings.kubernetes_values import POD_TEMPLATE_SPEC
from stacks.settings.problems import Finding


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the pod templates."""
    for service in view.services.values():
        yield from findings_of(
            block(service.given.get("podTemplate")), POD_TEMPLATE_SPEC, (*service.location, "podTemplate")
        )
