"""The weights of a rule as they were, in the form in which the stack's file has them now.

Only the numbers that differ are written, so that comments and what a destination says beside its weight are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from canary.undo.change import Edit

if TYPE_CHECKING:
    from stacks.settings.problems import Location
    from traffic.model import Rule

T = TypeVar("T")


def as_given(rule: Rule) -> Any:
    """Return a rule's `to` as plain values, as in a file."""
    return rule.model_dump(mode="json", by_alias=True, exclude_defaults=True, include={"to"}).get("to")


def edits_of(location: Location, now: Rule, before: Rule) -> tuple[Edit, ...]:
    """Return the edits with which the rule with its `to` at `location` gets the weights of `before`."""
    present, former = as_given(now), as_given(before)
    if not (isinstance(present, dict) and isinstance(former, dict)):
        return (Edit(location, former),)
    own, others = now.shares, before.shares
    if not former.keys() <= present.keys() or any(own[name].headers != others[name].headers for name in former):
        return (Edit(location, in_order(former, present)),)
    weights = before.weights
    numbers = _numbers(present, {name: weights.get(name, 0) for name in present})
    return tuple(
        Edit((*location, name, "weight") if isinstance(given, Mapping) else (*location, name), numbers[name])
        for name, given in present.items()
        if _weight(given) != numbers[name]
    )


def in_order(former: Mapping[str, T], present: Mapping[str, Any]) -> dict[str, T]:
    """Return `former` in the order of `present`: Pulumi's history has the keys of mappings in alphabetical order."""
    return {name: former[name] for name in dict.fromkeys((*(name for name in present if name in former), *former))}


def _numbers(present: Mapping[str, Any], percent: Mapping[str, float]) -> dict[str, float]:
    """The percentages in proportion to the present sum; as percentages where they are no whole numbers of it."""
    from traffic.proportions import SUMS, exactly, total_of

    total = total_of({name: _weight(given) for name, given in present.items()})
    if total == SUMS[0]:
        return dict(percent)
    parts = {name: exactly(weight) * int(total) / SUMS[0] for name, weight in percent.items()}
    if any(part.denominator != 1 for part in parts.values()):
        return dict(percent)
    return {name: part.numerator for name, part in parts.items()}


def _weight(given: Any) -> float:
    weight: float = given["weight"] if isinstance(given, Mapping) else given
    return weight
