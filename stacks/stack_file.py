"""A stack's file `Pulumi.<stack>.yaml`: its values, and the line of every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stacks.problems import NAMESPACE, Location, Problem, SettingsError, key_path, nearest

TOP_LEVEL = ("config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt")
"""Keys that Pulumi knows in a stack's file."""


MOST_KEYS = 20_000
DEEPEST = 50


@dataclass(frozen=True)
class StackFile:
    """What a stack's file says: `values` are our keys below `config:`, without the namespace.

    `problems` are the mistakes of the file itself: keys that stand twice, keys of no known namespace.
    """

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as messages give it."""
        return self.path.name

    def line(self, location: Location) -> int | None:
        """Return the line (from 1) of a key, or of the nearest key around it that stands in the file."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return None


def read_stack_file(path: Path) -> StackFile:
    """Return a stack's file with the line of every key.

    Raises SettingsError where there is no such file, it is not YAML, or it has no `config:`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _no_such_stack(path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise _file_error(path, None, f"the file cannot be read: {reason}", "", "mend the file") from None
    root = _read(path, _yaml().compose, text)
    # Before values are made, since that writes what `<<` merges into the tree.
    mistakes = list(_mistakes(path, root))
    content = _read(path, _yaml().constructor.construct_document, root) if root is not None else None
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise _no_config(path, content)
    config = _config_node(root)
    problems = [*_top_level(path, root), *_stray_keys(path, config), *mistakes]
    values = {
        key.removeprefix(f"{NAMESPACE}:"): value
        for key, value in content["config"].items()
        if isinstance(key, str) and key.startswith(f"{NAMESPACE}:")
    }
    lines = {
        (key.removeprefix(f"{NAMESPACE}:"), *rest): line
        for (key, *rest), line in _all_lines(path, config).items()
        if isinstance(key, str) and key.startswith(f"{NAMESPACE}:")
    }
    return StackFile(path=path, values=values, lines=lines, problems=tuple(problems))


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    # Keys that stand twice are reported with all other problems, not by the first one's exception.
    yaml.allow_duplicate_keys = True
    return yaml


def _read(path: Path, step: Callable[[Any], Any], given: Any) -> Any:
    """Return what a step of reading YAML gives: the tree of nodes, which know their lines, or its plain values."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return step(given)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        column = f" (column {mark.column + 1})" if mark else ""
        said = error.problem or error.context or "it cannot be read"
        what = f"the file is not YAML{column}: {said}"
        raise _file_error(
            path,
            mark.line + 1 if mark else None,
            what,
            "YAML: keys and values with ': ' between them, indented by spaces",
            "look at this line and the one before it: indentation, a missing ':' or a quote that is not closed",
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it cannot be read"
        what = f"the file is not YAML: {reason}"
        raise _file_error(path, None, what, "YAML in UTF-8", "mend the file") from None


def _pairs(node: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """Key, node that marks its place, and value's node of each entry of a mapping or sequence."""
    if node is None or isinstance(node.value, str):
        return
    for index, entry in enumerate(node.value):
        if isinstance(entry, tuple):
            key, value = entry
            yield (key.value if isinstance(key.value, str) else "?"), key, value
        else:
            yield index, entry, entry


def _line(node: Any) -> int:
    line: int = node.start_mark.line
    return line + 1


def _all_lines(path: Path, config: Any) -> dict[Location, int]:
    """The line of every key; an alias may stand inside what it repeats, so there is a limit."""
    lines: dict[Location, int] = {}
    todo: list[tuple[Any, Location]] = [(config, ())]
    while todo:
        node, location = todo.pop()
        for key, mark, value in _pairs(node):
            lines[(*location, key)] = _line(mark)
            todo.append((value, (*location, key)))
        if len(lines) > MOST_KEYS or len(location) > DEEPEST:
            limits = f"at most {MOST_KEYS} keys and {DEEPEST} levels, with aliases (`*name`) written out"
            raise _file_error(path, _line(node), "the file is too large", limits, "take out aliases that repeat much")
    return lines


def _config_node(root: Any) -> Any:
    return next(value for key, _, value in _pairs(root) if key == "config")


def _walk(root: Any) -> Iterator[tuple[Location, Any]]:
    """Every node once, with its place in the file: what an alias repeats is one node."""
    todo: list[tuple[Location, Any]] = [((), root)]
    seen: set[int] = set()
    while todo:
        location, node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield location, node
            todo += [((*location, key), value) for key, _, value in _pairs(node)]


def _mistakes(path: Path, root: Any) -> Iterator[Problem]:
    """Keys that stand twice in their block, and numbers that YAML's readers do not agree on."""
    for location, node in _walk(root):
        first: dict[str, int] = {}
        for key, mark, value in _pairs(node):
            line, place = _line(mark), (*location, key)
            if isinstance(key, str) and key in first and key != "<<":
                what = f"the key stands twice, first in line {first[key]}"
                yield _mistake(path, place, line, what, "each key once in its block", "keep one of the two")
            if isinstance(key, str):
                first.setdefault(key, line)
            if isinstance(value.value, str) and not value.style and re.fullmatch(r"[-+]?0[0-9]+", value.value):
                what = (
                    f"{value.value} is a number to the base 8 for some readers of YAML, and to the base 10 for others"
                )
                remedy = f'leave the leading 0 out, or put it in quotes: "{value.value}"'
                yield _mistake(path, place, line, what, "numbers without a leading 0", remedy)


def _mistake(path: Path, location: Location, line: int, what: str, allowed: str, remedy: str) -> Problem:
    return Problem(_shown_path(location), what, "", allowed, remedy, file=path.name, line=line)


def _shown_path(location: Location) -> str:
    """The path of a key by its place in the file: our keys as elsewhere, others as they stand."""
    inside = location[1:]
    if location[0] == "config" and inside and str(inside[0]).startswith(f"{NAMESPACE}:"):
        return key_path((str(inside[0]).removeprefix(f"{NAMESPACE}:"), *inside[1:]))
    return ".".join(map(str, location))


def _top_level(path: Path, root: Any) -> Iterator[Problem]:
    for key, mark, _ in _pairs(root):
        if key in TOP_LEVEL:
            continue
        near = nearest(str(key), TOP_LEVEL)
        yield Problem(
            path=str(key),
            what=f"Pulumi knows no such key{f'; the nearest is `{near}`' if near else ''}",
            given="",
            allowed=", ".join(TOP_LEVEL),
            remedy=f"rename it to `{near}`" if near else f"settings stand below `config:` as `{NAMESPACE}:<key>`",
            file=path.name,
            line=_line(mark),
        )


def _stray_keys(path: Path, config: Any) -> Iterator[Problem]:
    """Keys below `config:` that were probably meant for us; those of providers are none of our business."""
    for key, mark, _ in _pairs(config):
        namespace, colon, name = str(key).partition(":")
        if colon and (namespace == NAMESPACE or nearest(namespace, [NAMESPACE]) is None):
            continue
        meant = f"{NAMESPACE}:{name if colon else namespace}"
        yield Problem(
            path=f"config.{key}",
            what=f"the namespace {namespace!r} is not ours" if colon else "the key has no namespace",
            given="",
            allowed=f"keys that begin with `{NAMESPACE}:`, and those of Pulumi's providers, such as `kubernetes:`",
            remedy=f"rename it to `{meant}`",
            file=path.name,
            line=_line(mark),
        )


def _no_such_stack(path: Path) -> SettingsError:
    stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    others = sorted(
        other.name.removeprefix("Pulumi.").removesuffix(".yaml") for other in path.parent.glob("Pulumi.*.yaml")
    )
    model = nearest(stack, others) or ("dev" if "dev" in others else others[0] if others else None)
    create = f"cp Pulumi.{model}.yaml {path.name} && pulumi stack init {stack}" if model else ""
    near = nearest(stack, others)
    return _file_error(
        path,
        None,
        f"there is no file for the stack {stack!r}{f'; did you mean {near!r}?' if near else ''}",
        f"the stacks that have a file: {', '.join(others)}" if others else f"a file {path.name} beside Pulumi.yaml",
        f"take one of those with --stack, or make a new stack: {create}" if create else f"write {path.name}",
    )


def _no_config(path: Path, content: Any) -> SettingsError:
    given = "the file is empty" if content is None else "the file has no `config:` with keys below it"
    return _file_error(
        path,
        None if content is None else 1,
        given,
        f"a block `config:` with keys such as `{NAMESPACE}:services`",
        f"write `config:` and below it, indented, for example `{NAMESPACE}:samples: [website]`",
    )


def _file_error(path: Path, line: int | None, what: str, allowed: str, remedy: str) -> SettingsError:
    return SettingsError([Problem("", what, "", allowed, remedy, file=path.name, line=line)], path.name)
