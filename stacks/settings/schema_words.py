"""What the settings' JSON schema allows at a location, and that in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from stacks.settings.cluster import MARKED as CLUSTERS
from stacks.settings.model import Settings
from stacks.settings.plain_values import SECRET
from stacks.settings.problems import Location, shown

Schema = dict[str, Any]


def example_of(schema: Schema) -> str:
    examples = schema.get("examples") or [schema.get("default")]
    usable = examples[0] not in (None, "", [], {})
    return f"write {shown(examples[0])}, for example" if usable else f"write {shape(schema, short=True)}"


def allowed(schema: Schema) -> str:
    description = schema.get("description", "").rstrip(".")
    return f"{shape(schema)} ({description})" if description else shape(schema)


def kind_of(value: Any) -> str:
    kinds: Sequence[tuple[type | tuple[type, ...], str]] = (
        (bool, shown(value)),
        (int, "a number"),
        (float, "a number with a decimal point"),
        (str, "text"),
        (dict, "a mapping"),
        (list, "a list"),
    )
    return next((words for types, words in kinds if isinstance(value, types)), "something else")


def shape(schema: Schema, short: bool = False) -> str:
    return " or ".join(dict.fromkeys(_one_shape(option, short) for option in options_of(schema)))


def _one_shape(schema: Schema, short: bool) -> str:
    if "enum" in schema or "const" in schema:
        options = [shown(option).strip('"') for option in schema.get("enum", [schema.get("const")])]
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        number = "a whole number" if kind == "integer" else "a number"
        return number if short else f"{number}{_bounds(schema)}"
    if kind == "object":
        known = schema.get("properties", {})
        return "a mapping" if short or not known else f"a mapping with the keys {', '.join(known)}"
    words = {"string": "text", "boolean": "true or false", "array": "a list"}
    return words.get(str(kind), "a value")


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    return f" from {low} to {high}" if high is not None else f" of {low} or more" if low is not None else ""


@lru_cache(maxsize=1)
def _root() -> Schema:
    return Settings.model_json_schema()


def schema_of(location: Location) -> Schema:
    """Return the JSON schema for a location, in which the kind of a cluster may be marked; empty where anything is
    allowed.
    """
    schema = _root()
    for part in location:
        if part in CLUSTERS:
            schema = _root()["$defs"][CLUSTERS[str(part)].__name__]
            continue
        steps = (step_into(option, part) for option in options_of(schema))
        schema = next((step for step in steps if step is not None), {})
    return schema


def may_be_encrypted(location: Location) -> bool:
    """Return whether the value at a location may be one that Pulumi has encrypted."""
    return any(list(option.get("properties", ())) == [SECRET] for option in options_of(schema_of(location)))


def step_into(schema: Schema, part: str | int) -> Schema | None:
    if isinstance(part, int):
        return schema.get("items")
    if part in schema.get("properties", {}):
        found: Schema = schema["properties"][part]
        return found
    patterns = schema.get("patternProperties", {})
    more = next(iter(patterns.values()), schema.get("additionalProperties"))
    return more if isinstance(more, dict) else None


def options_of(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, with references resolved and without null, which only means "unset"."""
    if "$ref" in schema:
        return options_of(_root()["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices is None:
        return [schema]
    found = [option for choice in choices for option in options_of(choice) if option.get("type") != "null"]
    return found or [{}]
