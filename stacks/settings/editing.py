"""Changes one value of a stack's file, and nothing else: comments, order and layout stay as they are.

The value is replaced in the text, at the place where the parser found it. The result is parsed again and compared, so
that a file which cannot be edited like this (one that shares values by aliases, for example) is refused, not damaged.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from stacks.settings.problems import NAMESPACE, Location, key_path
from stacks.settings.yaml_tree import Key, Node, NotYamlError, compose, merged_pairs, value_of


class NotEditableError(Exception):
    """The value cannot be changed in the text of the file."""


def with_value(text: str, location: Location, value: Any) -> str:
    """Return the text of a stack's file with `value` at `location`; missing keys are added.

    Raises NotEditableError if the file is not YAML, or if other values would change too.
    """
    path = ("config", f"{NAMESPACE}:{location[0]}", *location[1:])
    try:
        root = compose(text)
        wanted = _changed(value_of(root), path, value)
        draft = _draft(text, root, path, value)
        if _is(draft, wanted):
            return draft
    except (NotYamlError, LookupError, TypeError):
        pass
    raise NotEditableError(f"{key_path(location)} cannot be changed without changing other values of the file")


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _changed(values: Any, path: tuple[Key, ...], value: Any) -> Any:
    changed = copy.deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[path[-1]] = value
    return changed


def _is(text: str, wanted: Any) -> bool:
    try:
        found = value_of(compose(text))
    except NotYamlError:
        return False
    return repr(found) == repr(wanted)  # with the order of keys; and in Python, 1 == True


def _draft(text: str, root: Node, path: tuple[Key, ...], value: Any) -> str:
    """The text with the value: in the place of the present one, or as a new entry after the others, if it can be."""
    node, mark, depth = root, root, 0
    for key in path:
        below = next(((at, child) for name, at, child in merged_pairs(node) if name == key), None)
        if below is None:
            break
        (mark, node), depth = below, depth + 1
    if depth == len(path):
        start, end = _offset(text, node.start_mark), _end(text, node)
        # A list may begin in the column of its key, where another value may not.
        is_beside = mark.start_mark.line < node.start_mark.line and mark.start_mark.column == node.start_mark.column
        return f"{text[:start]}{'  ' if is_beside else ''}{flow(value)}{text[end:]}"
    missing = path[depth:]
    if not isinstance(node, yaml.MappingNode) or any(isinstance(key, int) for key in missing):
        raise LookupError(path)
    for key in reversed(missing[1:]):
        value = {key: value}
    if node.flow_style:
        end, entry = _offset(text, node.end_mark) - 1, flow({missing[0]: value})[1:-1]
        return f"{text[:end]}{', ' if node.value else ''}{entry}{text[end:]}"
    entry = f"{flow(missing[0])}: {flow(value)}"
    indent = " " * node.start_mark.column
    end = _end(text, node)
    if not text[:end].endswith("\n"):  # as text of several lines does
        end = text.index("\n", end) + 1 if "\n" in text[end:] else len(text)
    line_end = "" if text[:end].endswith("\n") else "\n"
    return f"{text[:end]}{line_end}{indent}{entry}\n{text[end:]}"


def _end(text: str, node: Node) -> int:
    """Where the node's own text ends: a block ends with its last value, not before the next key."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return _offset(text, node.end_mark)


def _offset(text: str, mark: Any) -> int:
    start = 0
    for _ in range(mark.line):
        start = text.index("\n", start) + 1
    return start + int(mark.column)
