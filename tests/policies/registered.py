"""What stacks register, as the rules see it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies import configuration
from policies.engine import Finding, findings
from policies.resource import Resource, from_recorded
from stacks.recording import record
from stacks.settings.loading import load

ROOT = Path(__file__).parents[2]
Values = dict[str, Any]


def values_of(stack: str) -> Values:
    """The values of a committed stack's file, which a test may change."""
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))["config"]
    return {key.removeprefix("istio-canary:"): value for key, value in config.items()}


def registered(values: Mapping[str, Any], stack: str = "prod") -> list[Resource]:
    """What is registered for a stack with these values."""
    settings = load(copy.deepcopy(dict(values)))
    return from_recorded(record(settings, stack))


@cache
def committed(stack: str) -> tuple[Resource, ...]:
    """What is registered for a committed stack."""
    return tuple(registered(values_of(stack), stack))


def changed(resources: Sequence[Resource], name: str, change: Callable[[Any], object]) -> list[Resource]:
    """The resources with the properties of one object changed, which is named `<Kind> <namespace>/<name>`."""
    kind, _, path = name.partition(" ")
    (one,) = [r for r in resources if r.is_kubernetes and (r.kind, r.path) == (kind, path)]
    props = copy.deepcopy(dict(one.props))
    change(props)
    return [Resource(r.urn, r.type, r.name, props) if r is one else r for r in resources]


def found(
    rule: str, resources: Sequence[Resource], before: Sequence[Resource] | None = None, **parameters: Any
) -> list[Finding]:
    """What one rule finds, with these settings of it."""
    config = configuration.parse({"all": "disabled", rule: {"enforcementLevel": "mandatory", **parameters}}, "test")
    return findings(resources, config, before)
