"""YAML as a tree of nodes with line numbers, and as plain values.

libyaml parses the text if PyYAML has it, ten times as fast as Python. ruamel.yaml resolves plain scalars as in YAML
1.2, as Pulumi does: `yes` and `12:30` are text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

MAP, SEQ, STR, MERGE = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "merge"))

DEEPEST = 200

Node = Any
Key = str | int
"""A key of a mapping, or an index of a list."""


class NotYamlError(Exception):
    """The text is not YAML, or not YAML that settings can have: `line` and `column` (from 1) if they are known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


def compose(text: str) -> Node:
    """Return the tree of a text, None if it is empty. Raises NotYamlError."""
    try:
        return yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "it cannot be parsed"
        raise NotYamlError(reason, mark.line + 1 if mark else None, mark.column + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotYamlError(str(error).splitlines()[0] if str(error) else "it cannot be parsed") from None


def line_of(node: Node) -> int:
    """Return the line (from 1) in which a node begins."""
    line: int = node.start_mark.line
    return line + 1


def pairs(node: Node) -> Iterator[tuple[Key, Node, Node]]:
    """Yield the key, the node with its position, and the value node of each entry of a mapping or list, in order."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (key.value if isinstance(key, yaml.ScalarNode) else "?"), key, value
    elif isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            yield index, entry, entry


def merged_pairs(node: Node) -> Iterator[tuple[Key, Node, Node]]:
    """Yield the entries as `pairs` does, with those that `<<` merges into a mapping. Raises NotYamlError."""
    if not isinstance(node, yaml.MappingNode) or not any(key.tag == MERGE for key, _ in node.value):
        yield from pairs(node)
        return
    found: dict[Key, tuple[Key, Node, Node]] = {}
    for key, value in node.value:
        if key.tag == MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, yaml.MappingNode) or source is node:
                    raise NotYamlError("`<<` can only merge mappings", line_of(source))
                for entry in merged_pairs(source):
                    found.setdefault(entry[0], entry)
    own = {entry[0]: entry for entry in pairs(node) if entry[1].tag != MERGE}
    yield from {**found, **own}.values()


def value_of(node: Node) -> Any:
    """Return the value of a tree: mappings, lists, text, numbers, booleans, dates. Raises NotYamlError."""
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.tag == STR else _scalar(node)
    if node.tag not in (MAP, SEQ):
        raise NotYamlError(f"the tag {node.tag.removeprefix('tag:yaml.org,2002:')!r} is not supported", line_of(node))
    if isinstance(node, yaml.SequenceNode):
        return [value_of(entry) for entry in node.value]
    return {_key(mark): value_of(value) for _, mark, value in merged_pairs(node)}


def _key(node: Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return value_of(node)
    kind = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    raise NotYamlError(f"{kind} cannot be a key", line_of(node))


def _scalar(node: yaml.ScalarNode) -> Any:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.nodes import ScalarNode

    try:
        return _ruamel().constructor.construct_object(ScalarNode(node.tag, node.value))
    except (MarkedYAMLError, ValueError) as error:
        reason = error.problem if isinstance(error, MarkedYAMLError) else str(error)
        raise NotYamlError(reason or "it cannot be parsed", line_of(node)) from None


@lru_cache(maxsize=1)
def _ruamel() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)


@lru_cache(maxsize=4096)
def _meaning(value: str) -> str:
    """The tag of a plain scalar."""
    from ruamel.yaml.nodes import ScalarNode

    tag = _ruamel().resolver.resolve(ScalarNode, value, (True, False))
    return str(tag)


@lru_cache(maxsize=1)
def _loader() -> Any:
    """PyYAML's loader, with ruamel's tag resolution."""
    base = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader

    class Loader(base):  # type: ignore[misc, valid-type]
        depth = 0

        def descend_resolver(self, node: Any, index: Any) -> None:
            # libyaml recurses in C, and a tree that is too deep would crash the process.
            self.depth += 1
            if self.depth > DEEPEST:
                raise NotYamlError(f"it is nested more than {DEEPEST} levels deep", line_of(node))

        def ascend_resolver(self) -> None:
            self.depth -= 1

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return _meaning(value) if implicit[0] else STR
            return MAP if kind is yaml.MappingNode else SEQ

    return Loader
