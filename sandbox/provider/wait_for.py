"""The annotation pulumi.com/waitFor: ``condition=Ready``, ``jsonpath={.status.phase}=Running``, a JSON list of those.

The expressions are those of ``kubectl wait --for``; of JSONPath, fields, indices, ``[*]`` and ``[?(@.field=="text")]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sandbox.provider import objects
from sandbox.provider.readiness import READY, Verdict, condition

_STEP = re.compile(
    r"""\.(?P<field>[\w-]+(?:\\\.[\w-]+)*)"""
    r"""|\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|\[(?P<index>-?\d+|\*)\]"""
    r"""|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*['"]?(?P<value>[^'")]+)['"]?\)\]"""
)


class WaitForError(Exception):
    """The annotation is no expression that can be waited for."""


def verdict(obj: Mapping[str, Any], annotation: str) -> Verdict:
    """Return whether all expressions of the annotation hold for ``obj``. Raises ``WaitForError``."""
    missing = tuple(text for text in expressions(annotation) if not _holds(obj, text))
    if not missing:
        return READY
    return Verdict(False, f"Waiting for {missing[0]}", tuple(f"{text} is not met" for text in missing))


def expressions(annotation: str) -> list[str]:
    """Return the annotation's expressions. Raises ``WaitForError``."""
    try:
        parsed = json.loads(annotation)
    except ValueError:
        parsed = annotation
    found = [str(text) for text in parsed] if isinstance(parsed, list) else [annotation]
    if not found:
        raise WaitForError(f"{objects.WAIT_FOR}: at least one condition must be specified")
    for text in found:
        if not text.startswith(("jsonpath=", "condition=")):
            raise WaitForError(f'{objects.WAIT_FOR}: expected a "jsonpath=" or "condition=" prefix, got {text!r}')
    return found


def _holds(obj: Mapping[str, Any], expression: str) -> bool:
    kind, _, rest = expression.partition("=")
    if kind == "condition":
        name, _, wanted = rest.partition("=")
        status = str(condition(obj, name).get("status", ""))
        return status.lower() == (wanted or "true").lower()
    path, has_value, wanted = _split_jsonpath(rest)
    found = _evaluate(obj, path)
    return any(_text(value) == wanted for value in found) if has_value else bool(found)


def _split_jsonpath(text: str) -> tuple[str, bool, str]:
    """Split ``{.status.phase}=Running``; the equals sign may also be inside of the braces' filter."""
    if text.startswith("{"):
        end = text.rfind("}")
        path, rest = text[1:end], text[end + 1 :]
    else:
        path, _, value = text.partition("=")
        rest = f"={value}" if value else ""
    return path, rest.startswith("="), rest.removeprefix("=").strip("'\"")


def _evaluate(obj: Any, path: str) -> list[Any]:
    values = [obj]
    text = path if path.startswith((".", "[")) else f".{path}"
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise WaitForError(f"{objects.WAIT_FOR}: the JSONPath {path!r} is not understood at {text[position:]!r}")
        values = [found for value in values for found in _step(value, match)]
        position = match.end()
    return values


def _step(value: Any, match: re.Match[str]) -> list[Any]:
    groups = match.groupdict()
    field = groups["quoted"] or (groups["field"] or "").replace("\\.", ".")
    if field:
        return [value[field]] if isinstance(value, Mapping) and value.get(field) is not None else []
    if not isinstance(value, list):
        return list(value.values()) if groups["index"] == "*" and isinstance(value, Mapping) else []
    if groups["key"]:
        return [v for v in value if _text(objects.dig(v, *groups["key"].split("."))) == groups["value"]]
    if groups["index"] == "*":
        return value
    index = int(groups["index"])
    return [value[index]] if -len(value) <= index < len(value) else []


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
