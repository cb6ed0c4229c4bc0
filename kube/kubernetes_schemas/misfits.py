"""What does not fit a schema of Kubernetes, with the fix."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from kube.kubernetes_schemas.schemas import REFERENCE, Schema, alternatives_of, resolved

Path: TypeAlias = tuple[str | int, ...]

QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?")
QUANTITY_NAME, INT_OR_STRING = "Quantity", "IntOrString"
BITS = {"int32": 31, "int64": 63}
WORDS = {"string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number",
         "array": "a list", "object": "a mapping"}  # fmt: skip
OPTIONAL = {"io.k8s.api.core.v1.PodSpec": ("containers",)}
"""Required fields that what lies below already has."""


@dataclass(frozen=True)
class Misfit:
    """What does not fit: where it is below the checked value, what is wrong, what is allowed, and the fix."""

    path: Path
    what: str
    allowed: str
    fix: str
    value: Any = None


def misfits(value: Any, name: str) -> Iterator[Misfit]:
    """Yield what in `value` does not fit the schema with this name; `null` fits every field and key, and removes it."""
    yield from _check(value, {REFERENCE: name}, ())


def _check(value: Any, schema: Schema, path: Path) -> Iterator[Misfit]:
    name = schema.get(REFERENCE, "")
    schema = resolved(schema)
    if name.endswith((QUANTITY_NAME, INT_OR_STRING)):
        yield from _check_number_or_text(value, name.endswith(QUANTITY_NAME), path)
    elif schema.get("type") == "object":
        if isinstance(value, Mapping):
            yield from _check_object(value, schema, name, path)
        else:
            yield _wrong_kind(value, schema, path)
    elif schema.get("type") == "array":
        yield from _check_list(value, schema, path)
    else:
        yield from _check_scalar(value, schema, path)


def _check_object(value: Mapping[str, Any], schema: Schema, name: str, path: Path) -> Iterator[Misfit]:
    fields, others = schema.get("properties"), schema.get("additionalProperties")
    for key, one in value.items():
        known = (fields or {}).get(key, others)
        if known is None and fields is not None:
            yield _unknown(key, one, fields, path)
        elif known is not None and one is not None:
            yield from _check(one, known, (*path, key))
    for key in schema.get("required", ()):
        if key not in OPTIONAL.get(name, ()) and value.get(key) is None:
            wanted = (fields or {})[key]
            yield Misfit((*path, key), "this key is missing", _shape(wanted), f"add `{key}:`")
    yield from _check_alternatives(value, name, path)


def _check_alternatives(value: Mapping[str, Any], name: str, path: Path) -> Iterator[Misfit]:
    alternatives = alternatives_of(name)
    given = [one for one in alternatives if value.get(one) is not None]
    if len(given) > 1:
        yield Misfit(
            path,
            f"{' and '.join(given)} exclude one another",
            f"one of {', '.join(alternatives)}",
            f"remove {given[1] if len(given) == 2 else 'all but one'}",
            dict(value),
        )


def _check_list(value: Any, schema: Schema, path: Path) -> Iterator[Misfit]:
    items = schema.get("items", {})
    if not isinstance(value, list):
        fits = value is not None and not any(_check(value, items, ()))
        fix = f"write it as a list: [{_shown(value)}]" if fits else "write a list"
        yield replace(_wrong_kind(value, schema, path), fix=fix)
        return
    for index, item in enumerate(value):
        yield from _check(item, items, (*path, index))


def _check_scalar(value: Any, schema: Schema, path: Path) -> Iterator[Misfit]:
    kind, enum = schema.get("type"), schema.get("enum")
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if not fits.get(str(kind), True):
        yield _wrong_kind(value, schema, path)
    elif enum is not None and value not in enum:
        near = _nearest(str(value), enum)
        what = f"{_shown(value)} is not one of the choices{f'; the nearest is {near}' if near else ''}"
        yield Misfit(path, what, _shape(schema), f"write {near or ' or '.join(enum)}", value)
    elif schema.get("format") in BITS and not -(2 ** BITS[schema["format"]]) <= value < 2 ** BITS[schema["format"]]:
        yield Misfit(path, f"{value} is too large", f"a whole number of {schema['format']}", "write less", value)
    elif schema.get("format") == "byte" and not _is_base64(value):
        yield Misfit(path, "this is not base64", "text in base64", "encode it: base64 --wrap=0", value)


def _check_number_or_text(value: Any, is_quantity: bool, path: Path) -> Iterator[Misfit]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_quantity:
        if not is_number and not (isinstance(value, str) and QUANTITY.fullmatch(value)):
            yield Misfit(
                path,
                "this is not a Kubernetes quantity",
                "a number with an optional unit: 500m or 0.5 (CPU), 64Mi or 1G (bytes)",
                "write 100m for a tenth of a CPU, 64Mi for 64 mebibytes",
                value,
            )
    elif not isinstance(value, str) and not (is_number and isinstance(value, int)):
        allowed = "a whole number or text"
        yield Misfit(path, f"this is {_kind(value)}, but must be {allowed}", allowed, f"write {allowed}", value)


def _unknown(key: str, value: Any, fields: Mapping[str, Schema], path: Path) -> Misfit:
    """A field that there is not: under the nearest name or in a mapping beside it, if its value fits there."""
    near = _nearest(key, fields)
    inside = next((name for name, field in fields.items() if _has(field, key, value)), None)
    what, fix = "there is no such field", "remove it"
    if near is not None:
        what = f"{what}; the nearest is `{near}`"
        if not any(_check(value, fields[near], ())):
            fix = f"rename it to `{near}`"
    if inside is not None and not fix.startswith("rename"):
        what, fix = f"there is no such field here; `{inside}` has it", f"put it into `{inside}`"
    return Misfit((*path, key), what, f"the fields {', '.join(fields)}", fix, value)


def _has(schema: Schema, key: str, value: Any) -> bool:
    """Whether an object of this schema has the field, and the value fits it."""
    field = resolved(schema).get("properties", {}).get(key)
    return field is not None and not any(_check(value, field, ()))


def _wrong_kind(value: Any, schema: Schema, path: Path) -> Misfit:
    if value is None:
        return Misfit(path, "the key has no value", _shape(schema), "give it a value, or remove it")
    kind = str(resolved(schema).get("type"))
    return Misfit(
        path, f"this is {_kind(value)}, but must be {WORDS[kind]}", _shape(schema), _converted(value, kind), value
    )


def _converted(value: Any, kind: str) -> str:
    if kind == "string" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{_shown(value)}"'
    if kind in ("integer", "number") and isinstance(value, str) and re.fullmatch("-?[0-9]+", value):
        return f"remove the quotes: {value}"
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind == "boolean":
        return "write true or false, without quotes"
    return f"write {WORDS[kind]}"


def _shape(schema: Schema) -> str:
    name = schema.get(REFERENCE, "")
    schema = resolved(schema)
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema.get("properties"):
        return f"a mapping with the fields {', '.join(schema['properties'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"a mapping whose values are {_shape(inner)}" if inner else "a mapping"
    if schema.get("type") == "array":
        return "a list"
    if name.endswith(QUANTITY_NAME):
        return "a Kubernetes quantity"
    return WORDS.get(str(schema.get("type")), "a whole number or text" if "oneOf" in schema else "a value")


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else _shown(value)
    kinds = {int: "a number", float: "a number with a decimal point", str: "text", list: "a list"}
    return kinds.get(type(value), "a mapping")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _nearest(name: str, known: Any) -> str | None:
    by_lower = {str(one).lower(): str(one) for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
