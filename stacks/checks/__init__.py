"""Checks across keys: of a rule against its versions and earlier rules, and of services against one another.

Each checks what is well-formed and skips the rest, which is reported separately and must not hide mistakes elsewhere.
`warnings` are about what may be intended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from stacks.checks import (
    actions,
    addresses,
    autoscaling,
    claims,
    clusters,
    connections,
    engines,
    gateways,
    hosting,
    hosts,
    ingress,
    matches,
    mesh,
    mesh_values,
    names,
    outside,
    pod_templates,
    pods,
    protocols,
    reach,
    redirects,
    revisions,
    rollout_groups,
    rollout_runner,
    rollouts,
    samples,
    secrets,
    security,
    shares,
    sticky,
    strategies,
    targets,
    telemetry,
    volumes,
)
from stacks.checks.view import View
from stacks.settings.model import Sample, Settings
from stacks.settings.problems import Finding, Location

CHECKS = (
    samples.check,
    clusters.check,
    mesh.check,
    mesh_values.check,
    hosting.check,
    revisions.check,
    pods.check,
    autoscaling.check,
    pod_templates.check,
    protocols.check,
    connections.check,
    strategies.check,
    outside.check,
    targets.check,
    shares.check,
    reach.check,
    matches.check,
    actions.check,
    redirects.check,
    rollouts.check,
    rollout_groups.check,
    engines.check,
    rollout_runner.check,
    sticky.check,
    gateways.check,
    ingress.check,
    hosts.check,
    names.check,
    security.check,
    claims.check,
    addresses.check,
    secrets.check,
    telemetry.check,
    volumes.check,
)


def check(
    values: Mapping[str, Any],
    settings: Settings | None,
    stack: str | None = None,
    written: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    unlisted: AbstractSet[Sample] = frozenset(),
) -> Iterator[Finding]:
    """Yield the mistakes across keys of a stack's values, after samples were merged into them.

    `settings` are the same values if they are valid as a whole; `stack` is the stack's name, None if it is not known.
    `written` are the values without what strategies decide, `given` those without samples; if one is None, it is the
    same as `values`. `unlisted` are samples whose entries are reported as not in `samples`.
    """
    view = View(values, settings, stack, values if written is None else written, values if given is None else given)
    view.unlisted = unlisted
    removed: set[Location] = set()
    for one in CHECKS:
        for finding in one(view):
            # However much refers to it, a `null` is one mistake.
            if finding.location not in removed:
                yield finding
            if view.is_removed(finding.location):
                removed.add(finding.location)
