"""The detailed difference between what is in the cluster and what is asked for.

First a JSON merge patch (RFC 7386) from the old to the new object, then each leaf of the patch becomes one entry
keyed by its property path, as the detailed diff of Pulumi's provider protocol wants it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.provider import replacement
from sandbox.provider.values import Unknown

Path = tuple[str | int, ...]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


@dataclass(frozen=True)
class Change:
    """One entry: ``kind`` is add, delete or update; ``replaces`` says that the resource has to be made anew."""

    kind: str
    replaces: bool = False
    input_diff: bool = False


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch that makes ``new`` of ``old``: null deletes, a list is replaced as a whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            nested = merge_patch(old[key], value)
            if nested:
                patch[key] = nested
        elif not same(old[key], value):
            patch[key] = value
    return patch


def same(left: Any, right: Any) -> bool:
    """Say whether two JSON values are equal; true is not 1."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def changes(
    patch: Mapping[str, Any],
    old: Mapping[str, Any],
    new_inputs: Mapping[str, Any],
    old_inputs: Mapping[str, Any],
    rules: Sequence[str],
) -> dict[str, Change]:
    """Return the changes of ``patch``, laid over ``old``, that come of inputs; ``rules`` are the paths that replace."""
    found: dict[str, Change] = {}
    _Walk(rules, found).of_map((), patch, old, new_inputs, old_inputs, in_list=False)
    return found


class _Walk:
    def __init__(self, rules: Sequence[str], found: dict[str, Change]) -> None:
        self._rules = rules
        self._found = found

    def of_map(self, path: Path, patch: Any, old: Any, new_input: Any, old_input: Any, *, in_list: bool) -> None:
        """Go through a patch's keys; within a list, where a patch holds whole elements, also through removed ones."""
        for key, value in patch.items():
            self._of_value(
                (*path, key), value, _get(old, key), _get(new_input, key), _get(old_input, key), in_list=in_list
            )
        if in_list:
            for key, value in old.items():
                if key not in patch:
                    self._of_value((*path, key), None, value, _get(new_input, key), _get(old_input, key), in_list=True)

    def _of_list(self, path: Path, patch: list[Any], old: list[Any], new_input: Any, old_input: Any) -> None:
        for i in range(max(len(patch), len(old))):
            self._of_value(
                (*path, i),
                patch[i] if i < len(patch) else None,
                old[i] if i < len(old) else MISSING,
                _at(new_input, i),
                _at(old_input, i),
                in_list=True,
            )

    def _of_value(self, path: Path, value: Any, old: Any, new_input: Any, old_input: Any, *, in_list: bool) -> None:
        if new_input is MISSING and (value is not None or old_input is MISSING):
            return  # the server's own doing on both sides: no input asks for it
        if isinstance(value, Unknown):
            self._add(path, value, "add" if old is MISSING else "update")
        elif value is None:
            self._add(path, value, "delete")
        elif old is MISSING:
            self._add(path, value, "add")
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            self.of_map(path, value, old, new_input or {}, old_input or {}, in_list=in_list)
        elif isinstance(value, list) and isinstance(old, list):
            self._of_list(path, value, old, new_input, old_input)
        elif not same(value, old):
            self._add(path, value, "update")

    def _add(self, path: Path, value: Any, kind: str) -> None:
        replaces = replacement.matches(path, value, self._rules)
        self._found[property_path(path)] = Change(kind, replaces, input_diff=kind == "delete")


def _get(holder: Any, key: str) -> Any:
    return holder.get(key, MISSING) if isinstance(holder, Mapping) else MISSING


def _at(holder: Any, index: int) -> Any:
    return holder[index] if isinstance(holder, list) and index < len(holder) else None


def property_path(path: Sequence[str | int]) -> str:
    """Return ``path`` in Pulumi's spelling: ``spec.containers[0].image``, ``metadata.annotations["a.b/c"]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(c in step for c in '."[]'):
            quoted = step.replace('"', '\\"')
            text += f'["{quoted}"]'
        else:
            text += f".{step}" if text else step
    return text


_STEP = re.compile(r"""\.?(?:\[(?:(\d+)|(\*)|"((?:[^"\\]|\\.)*)")\]|([^.\[]+))""")


def parse_property_path(text: str) -> Path:
    """Return the steps of a property path; ``*`` stands for any. Raises ``ValueError``."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no property path")
        number, star, quoted, plain = match.groups()
        steps.append(int(number) if number else star or (quoted or "").replace('\\"', '"') or plain)
        position = match.end()
    return tuple(steps)


def covers(ignored: Path, path: Path) -> bool:
    """Say whether ``path`` is at or below ``ignored``."""
    return len(ignored) <= len(path) and all(a in ("*", b) for a, b in zip(ignored, path, strict=False))


def without_ignored(found: Mapping[str, Change], ignored: Sequence[str]) -> dict[str, Change]:
    """Return the changes that no ``ignoreChanges`` path covers."""
    paths = [parse_property_path(text) for text in ignored]
    return {
        key: change
        for key, change in found.items()
        if not any(covers(path, parse_property_path(key)) for path in paths)
    }
