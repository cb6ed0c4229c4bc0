"""A stack's file `Pulumi.<stack>.yaml`: its values, and the line of every key."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from stacks.settings.plain_values import SECRET_KEYS
from stacks.settings.problems import NAMESPACE, Location, Problem, SettingsError, key_path, nearest
from stacks.settings.yaml_tree import Key, NotYamlError, compose, line_of, merged_pairs, pairs, value_of

TOP_LEVEL = ("config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt")
"""Top-level keys of Pulumi in a stack's file."""

MOST_KEYS = 300_000
DEEPEST = 50
PERMISSIONS = ("mode", "defaultMode")
"""Keys whose numbers are octal, for which text is read as well."""
OCTAL = re.compile(r"[-+]?0[0-9]+")


@dataclass(frozen=True)
class StackFile:
    """The content of a stack's file: `values` are our keys under `config:`, without the namespace.

    `problems` are the mistakes of the file itself: duplicate keys, keys without a known namespace.
    """

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    has_environment: bool = False
    """Whether the file imports an environment of Pulumi ESC, whose values Pulumi alone knows."""

    @property
    def name(self) -> str:
        """The file's name, as in messages."""
        return self.path.name

    @property
    def stack(self) -> str:
        """The stack's name."""
        return _stack_of(self.path)

    def lines_of(self, location: Location) -> tuple[int, int] | None:
        """Return the first and the last line (from 1) with a key of an entry, or None if it is not in the file."""
        lines = [line for place, line in self.lines.items() if place[: len(location)] == location]
        return (min(lines), max(lines)) if lines else None

    def line(self, location: Location) -> int | None:
        """Return the line (from 1) of a key, or of the nearest enclosing key that is in the file."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return None


def read_stack_file(path: Path) -> StackFile:
    """Return a stack's file with the line of every key.

    Raises SettingsError if there is no such file, it is not YAML, or it has no `config:`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _no_such_stack(path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _file_error(path, None, f"the file cannot be read: {reason}", "", "correct the file") from None
    return parse_stack_file(path, text)


def parse_stack_file(path: Path, text: str) -> StackFile:
    """Return the stack's file with this text, for example that of another revision; `path` names it in messages.

    Raises SettingsError if it is not YAML, or it has no `config:`.
    """
    try:
        with _no_collection():
            return _read(path, text)
    except NotYamlError as error:
        raise _not_yaml(path, error) from None
    except RecursionError:
        raise _not_yaml(path, NotYamlError("it is nested too deeply")) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """A tree is many small objects and no garbage, which the collector would scan repeatedly."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(path: Path, text: str) -> StackFile:
    root = compose(text)
    mistakes = list(_mistakes(path, root))
    config = next((value for key, _, value in pairs(root) if key == "config"), None)
    if not isinstance(config, yaml.MappingNode):
        raise _no_config(path, root)
    lines = _all_lines(path, config)
    problems = [*_top_level(path, root), *_stray_keys(path, config), *mistakes]
    values = {
        key.removeprefix(f"{NAMESPACE}:"): value_of(value)
        for key, _, value in merged_pairs(config)
        if isinstance(key, str) and key.startswith(f"{NAMESPACE}:")
    }
    ours = {
        (key.removeprefix(f"{NAMESPACE}:"), *rest): line
        for (key, *rest), line in lines.items()
        if isinstance(key, str) and key.startswith(f"{NAMESPACE}:")
    }
    return StackFile(
        path=path,
        values=values,
        lines=ours,
        problems=tuple(problems),
        has_environment=any(key == "environment" for key, _, _ in pairs(root)),
    )


def _all_lines(path: Path, config: Any) -> dict[Location, int]:
    """The line of every key; an alias may contain itself, so there is a limit."""
    lines: dict[Location, int] = {}
    todo: list[tuple[Any, Location]] = [(config, ())]
    while todo:
        node, location = todo.pop()
        for key, mark, value in merged_pairs(node):
            place = (*location, key)
            lines[place] = line_of(mark)
            if not isinstance(value, yaml.ScalarNode):
                todo.append((value, place))
        if len(lines) > MOST_KEYS or len(location) > DEEPEST:
            limits = f"at most {MOST_KEYS} keys and {DEEPEST} levels, with aliases (`*name`) expanded"
            raise _file_error(path, line_of(node), "the file is too large", limits, "remove large aliases")
    return lines


def _walk(root: Any) -> Iterator[tuple[Location, Any]]:
    """Every mapping and list once, with its location in the file: an alias is the same node."""
    todo: list[tuple[Location, Any]] = [((), root)]
    seen: set[int] = set()
    while todo:
        location, node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield location, node
            todo += [
                ((*location, key), value) for key, _, value in pairs(node) if not isinstance(value, yaml.ScalarNode)
            ]


def _mistakes(path: Path, root: Any) -> Iterator[Problem]:
    """Duplicate keys, and numbers that YAML parsers do not agree on."""
    for location, node in _walk(root):
        first: dict[Key, int] = {}
        for key, mark, value in pairs(node):
            if isinstance(key, str) and key in first and key != "<<":
                what = f"the key is given twice, first in line {first[key]}"
                fix = "remove one of the two"
                yield _mistake(path, (*location, key), line_of(mark), what, "each key once", fix)
            first.setdefault(key, line_of(mark))
            is_secret = location == ("config",) and str(key).removeprefix(f"{NAMESPACE}:") in SECRET_KEYS
            if isinstance(value, yaml.ScalarNode) and not (value.style or is_secret) and OCTAL.fullmatch(value.value):
                what = f"some YAML parsers read {value.value} as octal, others as decimal"
                quoted = f'put it in quotes: "{value.value}"'
                # Without the 0, permissions would be others: 400 is 0620.
                fix = quoted if key in PERMISSIONS else f"remove the leading 0, or {quoted}"
                yield _mistake(path, (*location, key), line_of(mark), what, "numbers without a leading 0", fix)


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """Give the lines of a stack's file to the problems of a SettingsError that the block raises without them."""
    try:
        yield
    except SettingsError as error:
        problems = [with_line(one, path) for one in error.problems]
        raise SettingsError(problems, error.source) from None


def with_line(problem: Problem, path: Path) -> Problem:
    """Return a problem of a stack's file with the line of its key, of which the file has at least the first part."""
    if problem.file != path.name or problem.line is not None:
        return problem
    try:
        source = read_stack_file(path)
    except SettingsError:
        return problem
    location = tuple(problem.path.removeprefix(f"{NAMESPACE}:").split("."))
    return replace(problem, line=source.line(location))


def _mistake(path: Path, location: Location, line: int, what: str, allowed: str, fix: str) -> Problem:
    return Problem(_shown_path(location), what, "", allowed, fix, file=path.name, line=line)


def _shown_path(location: Location) -> str:
    """The path of a key by its location in the file: our keys as `key_path`, others as in the file."""
    inside = location[1:]
    if location[0] == "config" and inside and str(inside[0]).startswith(f"{NAMESPACE}:"):
        return key_path((str(inside[0]).removeprefix(f"{NAMESPACE}:"), *inside[1:]))
    return ".".join(map(str, location))


def _top_level(path: Path, root: Any) -> Iterator[Problem]:
    for key, mark, _ in pairs(root):
        if key in TOP_LEVEL:
            continue
        near = nearest(str(key), TOP_LEVEL)
        yield Problem(
            path=str(key),
            what=f"Pulumi has no such key{f'; the nearest is `{near}`' if near else ''}",
            given="",
            allowed=", ".join(TOP_LEVEL),
            fix=f"rename it to `{near}`" if near else f"settings go under `config:` as `{NAMESPACE}:<key>`",
            file=path.name,
            line=line_of(mark),
        )


def _stray_keys(path: Path, config: Any) -> Iterator[Problem]:
    """Keys under `config:` that were probably meant to be ours; those of providers are ignored."""
    for key, mark, _ in pairs(config):
        namespace, colon, name = str(key).partition(":")
        if colon and (namespace == NAMESPACE or nearest(namespace, [NAMESPACE]) is None):
            continue
        meant = f"{NAMESPACE}:{name if colon else namespace}"
        yield Problem(
            path=f"config.{key}",
            what=f"the namespace {namespace!r} is not {NAMESPACE!r}" if colon else "the key has no namespace",
            given="",
            allowed=f"keys that begin with `{NAMESPACE}:`, and those of Pulumi's providers, such as `kubernetes:`",
            fix=f"rename it to `{meant}`",
            file=path.name,
            line=line_of(mark),
        )


def _stack_of(path: Path) -> str:
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _no_such_stack(path: Path) -> SettingsError:
    stack = _stack_of(path)
    others = sorted(map(_stack_of, path.parent.glob("Pulumi.*.yaml")))
    model = nearest(stack, others) or ("dev" if "dev" in others else others[0] if others else None)
    create = f"cp Pulumi.{model}.yaml {path.name} && pulumi stack init {stack}" if model else ""
    near = nearest(stack, others)
    return _file_error(
        path,
        None,
        f"there is no file for the stack {stack!r}{f'; did you mean {near!r}?' if near else ''}",
        f"the stacks that have a file: {', '.join(others)}" if others else f"a file {path.name} next to Pulumi.yaml",
        f"select one of those with --stack, or create a new stack: {create}" if create else f"write {path.name}",
    )


def _not_yaml(path: Path, error: NotYamlError) -> SettingsError:
    column = f" (column {error.column})" if error.column else ""
    what = f"the file is not YAML{column}: {error.reason}"
    if error.line is None:
        return _file_error(path, None, what, "YAML in UTF-8", "correct the file")
    return _file_error(
        path,
        error.line,
        what,
        "YAML: keys and values separated by ': ', indented with spaces",
        "check this line and the one before it for wrong indentation, a missing ':' or an unclosed quote",
    )


def _no_config(path: Path, root: Any) -> SettingsError:
    given = "the file is empty" if root is None else "the file has no `config:` with keys under it"
    return _file_error(
        path,
        None if root is None else 1,
        given,
        f"a mapping `config:` with keys such as `{NAMESPACE}:services`",
        f"add `config:` and, indented under it, `{NAMESPACE}:samples: [website]`, for example",
    )


def _file_error(path: Path, line: int | None, what: str, allowed: str, fix: str) -> SettingsError:
    return SettingsError([Problem("", what, "", allowed, fix, file=path.name, line=line)], path.name)
