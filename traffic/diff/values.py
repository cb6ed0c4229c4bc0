"""Differences of plain values, such as settings as JSON, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from traffic.model import Rule


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
        return ValueChange(self.path, self.after, self.before)


def value_changes(before: Any, after: Any) -> tuple[ValueChange, ...]:
    """Return how two plain values differ: mappings key by key, lists of mappings of equal length entry by entry."""
    return tuple(_changes(before, after, ""))


def rule_changes(before: Rule, after: Rule) -> tuple[ValueChange, ...]:
    """Return how two rules differ; weights are percentages by destination, 0 where a rule does not name it."""
    weights = () if before.to is None or after.to is None else _weights(before, after)
    hidden = {"to"} if before.to is not None and after.to is not None else set()
    return (*weights, *value_changes(_plain(before, hidden), _plain(after, hidden)))


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


def _weights(before: Rule, after: Rule) -> tuple[ValueChange, ...]:
    names = dict.fromkeys((*before.weights, *after.weights))
    pairs = ((name, before.weights.get(name, 0), after.weights.get(name, 0)) for name in names)
    return tuple(ValueChange(f"to.{name}", old, new) for name, old, new in pairs if old != new)


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
