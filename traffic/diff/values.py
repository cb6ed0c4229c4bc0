"""Differences of plain values, such as settings as JSON, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from traffic.model import RouteDestination, Rule


@dataclass(frozen=True)
class ValueChange:
    """A value that differs: its key path, such as `resources.limits.cpu`, and both values, None where it is unset."""

    path: str
    before: Any
    after: Any

    def below(self, path: str) -> ValueChange:
        """Return the change with `path` before its own."""
        return ValueChange(f"{path}{'' if self.path.startswith('[') or not self.path else '.'}{self.path}",
                           self.before, self.after)  # fmt: skip

    @property
    def mirrored(self) -> ValueChange:
        """The change in the other direction."""
        return replace(self, before=self.after, after=self.before)


@dataclass(frozen=True)
class WeightChange(ValueChange):
    """The weight of a destination that differs, in percent; 0 where a rule does not name it."""

    destination: str = ""


def value_changes(before: Any, after: Any) -> tuple[ValueChange, ...]:
    """Return how two plain values differ: mappings key by key, lists of mappings of equal length entry by entry."""
    return tuple(_changes(before, after, ""))


def rule_changes(before: Rule, after: Rule) -> tuple[ValueChange, ...]:
    """Return how two rules differ; weights are percentages by destination, 0 where a rule does not name it."""
    if before.to is None or after.to is None:
        return value_changes(_plain(before, set()), _plain(after, set()))
    shares = (*_weights(before, after), *_headers(before, after))
    return (*shares, *value_changes(_plain(before, {"to"}), _plain(after, {"to"})))


def plain_words(value: Any) -> str:
    """Return a plain value on one line, without what is empty in it: `attempts: 2, retryOn: 5xx`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_nested(one)}" for key, one in value.items() if not _is_empty(one))
    if isinstance(value, list):
        return ", ".join(map(_nested, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def _nested(value: Any) -> str:
    words = plain_words(value)
    if isinstance(value, Mapping):
        return f"{{{words}}}"
    return f"[{words}]" if isinstance(value, list) else words


def _is_empty(value: Any) -> bool:
    return value is None or value in ({}, [], "")


def _plain(rule: Rule, hidden: set[str]) -> dict[str, Any]:
    return rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, exclude=hidden)


def _weights(before: Rule, after: Rule) -> tuple[WeightChange, ...]:
    olds, news = before.weights, after.weights
    pairs = ((name, olds.get(name, 0), news.get(name, 0)) for name in dict.fromkeys((*olds, *news)))
    return tuple(WeightChange(f"to.{name}", old, new, name) for name, old, new in pairs if old != new)


def _headers(before: Rule, after: Rule) -> Iterator[ValueChange]:
    """What destinations change by themselves."""
    olds, news = before.shares, after.shares
    for name in dict.fromkeys((*olds, *news)):
        old, new = (plain_headers(side.get(name)) for side in (olds, news))
        yield from (change.below(f"to.{name}.headers") for change in value_changes(old, new))


def plain_headers(share: RouteDestination | None) -> dict[str, Any]:
    """Return what a destination changes by itself as plain values."""
    if share is None or share.headers is None:
        return {}
    return share.headers.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def _changes(before: Any, after: Any, path: str) -> Iterator[ValueChange]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _are_alike(before, after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changes(old, new, f"{path}[{index}]")
    else:
        yield ValueChange(path, before, after)


def _are_alike(before: Any, after: Any) -> bool:
    lists = isinstance(before, list) and isinstance(after, list) and len(before) == len(after)
    return lists and all(isinstance(entry, Mapping) for entry in (*before, *after))
