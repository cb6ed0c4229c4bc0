"""The constraints of a CRD's schema: JSON Schema as OpenAPI 3.0 and Kubernetes write it, checked by jsonschema.

The messages are those of the API server, but that of a union (`oneOf`) also names the fields that are set. See
"Specifying a structural schema" in Kubernetes' page "Extend the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import re2
from jsonschema import Draft4Validator, ValidationError
from jsonschema.validators import extend

from kube.crd_schemas.fields import is_integer
from kube.crd_schemas.schemas import FieldPath, Schema, text
from kube.crd_schemas.values import printed

INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
INT32 = 2**31
HIDING_RULES = {"required", "type", "enum", "maxLength", "maxItems", "maxProperties", INT_OR_STRING}
"""The constraints whose violation keeps the API server from evaluating CEL rules."""
BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

Errors = Iterator[ValidationError]


@dataclass(frozen=True)
class Violation:
    """A constraint that the value at `path` violates; prints as the API server's error.

    `hides_rules`: the API server evaluates no CEL rule then.
    """

    path: FieldPath
    message: str
    hides_rules: bool

    def __str__(self) -> str:
        return f"{text(self.path)}: {self.message}"


def violations(admitted: Mapping[str, Any], schema: Schema) -> list[Violation]:
    """Return what the schema refuses in an object."""
    found = (
        Violation(tuple(error.absolute_path), _message(error), error.validator in HIDING_RULES)
        for error in VALIDATOR(schema).iter_errors(admitted)
        if not (error.instance is None and error.schema.get("nullable"))
    )
    return list(dict.fromkeys(found))


def _required(validator: Any, required: list[str], instance: Any, _: Schema) -> Errors:
    """One error for each missing field, at its own path."""
    if validator.is_type(instance, "object"):
        yield from (ValidationError("", path=[name]) for name in required if name not in instance)


def _pattern(validator: Any, pattern: str, instance: Any, _: Schema) -> Errors:
    """By the engine whose syntax Go's regular expressions have."""
    if validator.is_type(instance, "string") and not re2.search(pattern, instance):
        yield ValidationError("")


def _format(validator: Any, name: str, instance: Any, _: Schema) -> Errors:
    """The formats in Istio's specs; the third, `double`, is that of every number."""
    if name == "byte" and validator.is_type(instance, "string"):
        matches = BASE64.fullmatch(instance)
    elif name == "int32" and validator.is_type(instance, "integer"):
        matches = -INT32 <= instance < INT32
    else:
        return
    if not matches:
        yield ValidationError("")


def _int_or_string(validator: Any, is_set: bool, instance: Any, _: Schema) -> Errors:
    if is_set and not (validator.is_type(instance, "integer") or validator.is_type(instance, "string")):
        yield ValidationError("")


def _list_type(validator: Any, name: str, instance: Any, schema: Schema) -> Errors:
    """The items of a `map` have different keys, and those of a `set` are different."""
    if name == "atomic" or not validator.is_type(instance, "array"):
        return
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen = set()
    for index, item in enumerate(instance):
        if name == "map" and not isinstance(item, Mapping):
            continue  # the error is the item's own
        identity = item if name == "set" else {key: item[key] for key in keys if key in item}
        if printed(identity) in seen:
            yield ValidationError(f"Duplicate value: {printed(identity)}", path=[index])
        seen.add(printed(identity))


VALIDATOR: Any = extend(  # type: ignore[no-untyped-call]
    Draft4Validator,  # the draft that OpenAPI 3.0 is made from: exclusiveMinimum is a boolean
    {
        "required": _required,
        "pattern": _pattern,
        "format": _format,
        INT_OR_STRING: _int_or_string,
        LIST_TYPE: _list_type,
    },
    type_checker=Draft4Validator.TYPE_CHECKER.redefine("integer", lambda _, value: is_integer(value)),
)


def _message(error: ValidationError) -> str:
    """What the API server says after the path."""
    given: Any = error.instance
    expected: Any = error.validator_value
    place = text(tuple(error.absolute_path))
    match error.validator:
        case "required":
            return "Required value"
        case "enum":
            return f"Unsupported value: {printed(given)}: supported values: {', '.join(map(printed, expected))}"
        case "maxLength":
            return f"Too long: may not be more than {expected} bytes"
        case "maxItems" | "maxProperties":
            return f"Too many: {len(given)}: must have at most {expected} items"
        case "type" | "x-kubernetes-int-or-string":
            wanted = expected if isinstance(expected, str) else "integer,string"
            return f'Invalid value: "{_type(given)}": {place} in body must be of type {wanted}: "{_type(given)}"'
        case "format" if expected == "int32":
            return f"Invalid value: {printed(given)}: {place} must be of type integer with format int32"
        case "format":
            return f"Invalid value: {printed(given)}: {place} in body must be of type {expected}: {printed(given)}"
        case "minItems" | "minProperties":
            return f"Invalid value: {len(given)}: {place} in body {_bound(error)}"
        case "oneOf" | "anyOf" | "not":
            return f"Invalid value: {_combination(error)}"
        case "x-kubernetes-list-type":
            return error.message
        case _:
            return f"Invalid value: {printed(given)}: {place} in body {_bound(error)}"


def _bound(error: ValidationError) -> str:
    """What a value should be, for the constraints with a bound."""
    bound, schema = error.validator_value, cast(Schema, error.schema)
    exclusive = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}.get(str(error.validator), "")
    equal = "" if schema.get(exclusive) else " or equal to"
    return {
        "minLength": f"should be at least {bound} chars long",
        "pattern": f"should match '{bound}'",
        "minimum": f"should be greater than{equal} {bound}",
        "maximum": f"should be less than{equal} {bound}",
        "multipleOf": f"should be a multiple of {bound}",
        "minItems": f"should have at least {bound} items",
        "minProperties": f"should have at least {bound} properties",
        "uniqueItems": "shouldn't contain duplicates",
    }.get(str(error.validator), str(error.message))


def _combination(error: ValidationError) -> str:
    if error.validator == "not":
        return "must not validate the schema (not)"
    if error.validator == "anyOf":
        return "must validate at least one schema (anyOf)"
    parts, instance = cast(list[Schema], error.validator_value), cast(Any, error.instance)
    alternatives = [name for part in parts for name in part.get("required", ())]
    given = [name for name in alternatives if isinstance(instance, Mapping) and name in instance]
    count = sum(VALIDATOR(part).is_valid(instance) for part in parts)
    found = f"{count} valid alternatives: {', '.join(given)}" if count else "none valid"
    return f"must validate one and only one schema (oneOf). Found {found}"


def _type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")
