"""How the rules of two routes differ: added, removed, moved to another place in the order, changed.

Rules are the same if they match the same requests. Of the others, those with the same name or the same actions are
taken as one rule whose match was changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from traffic.diff.values import ValueChange, rule_changes
from traffic.model import Route, Rule


class RuleChangeKind(StrEnum):
    """What became of a rule."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"


@dataclass(frozen=True)
class RuleChange:
    """One rule that differs: its index in each route, None where it is not, and the values that differ.

    A rule that has moved and whose values differ too is `moved`, with its `changes`.
    """

    kind: RuleChangeKind
    before: int | None
    after: int | None
    rule: Rule
    changes: tuple[ValueChange, ...] = ()


def changed_rules(before: Route, after: Route) -> tuple[RuleChange, ...]:
    """Return the rules that differ, in the order of `after`, those removed last."""
    pairs = _pairs(before, after)
    kept = _in_order([pairs[index] for index in sorted(pairs)])
    found: list[RuleChange] = []
    partner = {new: old for old, new in pairs.items()}
    for index, rule in enumerate(after):
        old = partner.get(index)
        if old is None:
            found.append(RuleChange(RuleChangeKind.ADDED, None, index, rule))
            continue
        changes = rule_changes(before[old], rule)
        if index not in kept:
            found.append(RuleChange(RuleChangeKind.MOVED, old, index, rule, changes))
        elif changes:
            found.append(RuleChange(RuleChangeKind.CHANGED, old, index, rule, changes))
    removed = (index for index in range(len(before)) if index not in pairs)
    return (*found, *(RuleChange(RuleChangeKind.REMOVED, index, None, before[index]) for index in removed))


def _pairs(before: Route, after: Route) -> dict[int, int]:
    """The index of the rule after, by that before: equal ones first, then by match, by name and by actions."""
    pairs: dict[int, int] = {}
    for same in (_whole, _matches, _name, _actions):
        _pair(before, after, same, pairs)
    return pairs


def _pair(before: Route, after: Route, same: Callable[[Rule], Hashable], pairs: dict[int, int]) -> None:
    taken = set(pairs.values())
    for old in (index for index in range(len(before)) if index not in pairs):
        key = same(before[old])
        free = (index for index, rule in enumerate(after) if index not in taken and key == same(rule))
        new = next(free, None) if key is not None else None
        if new is not None:
            pairs[old] = new
            taken.add(new)


def _whole(rule: Rule) -> Hashable:
    return rule.model_dump_json()


def _matches(rule: Rule) -> Hashable:
    return frozenset(match.model_dump_json() for match in rule.match)


def _name(rule: Rule) -> Hashable:
    return rule.name


def _actions(rule: Rule) -> Hashable:
    """What the rule does; None without a match: such a rule takes what is left, wherever that is."""
    return rule.model_dump_json(exclude={"match", "name"}) if rule.match else None


def _in_order(indexes: Iterable[int]) -> set[int]:
    """The longest increasing subsequence: the rules that kept their order; all others have moved."""
    tails: list[int] = []
    chains: list[list[int]] = []
    for index in indexes:
        at = bisect_left(tails, index)
        chain = [*(chains[at - 1] if at else []), index]
        tails[at : at + 1], chains[at : at + 1] = [index], [chain]
    return set(chains[-1]) if chains else set()
