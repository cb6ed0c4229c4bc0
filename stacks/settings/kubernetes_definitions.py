"""The schemas of Kubernetes in the JSON schema of a stack's file, so that editors complete a pod template too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stacks.settings.kubernetes_values import MARK

Schema = dict[str, Any]


def add_kubernetes(settings: Schema) -> None:
    """Refer to the schemas of Kubernetes where a setting has one, and add them to the definitions."""
    from kube.kubernetes_schemas import schemas

    definitions: Schema = settings["$defs"]
    wanted = list(_marked(settings))
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = _of_kubernetes(schemas()[name])
            wanted += _references(definitions[name])


def _marked(node: Any) -> Iterator[str]:
    """The schemas of Kubernetes that are named; each mark becomes a reference."""
    if isinstance(node, dict):
        if MARK in node:
            name = node.pop(MARK)
            node.pop("type")
            node["$ref"] = f"#/$defs/{name}"
            yield name
        for part in node.values():
            yield from _marked(part)
    elif isinstance(node, list):
        for part in node:
            yield from _marked(part)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix("#/$defs/")
        for part in node.values():
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


def _of_kubernetes(schema: Schema) -> Schema:
    """A schema of Kubernetes as JSON schema; every field and key may be null, which removes what lies below."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    converted: Schema = {key: schema[key] for key in ("type", "enum") if key in schema}
    if "oneOf" in schema:
        converted["anyOf"] = [_of_kubernetes(part) for part in schema["oneOf"]]
    if "properties" in schema:
        fields = schema["properties"]
        converted["properties"] = {name: _or_null(_of_kubernetes(field)) for name, field in fields.items()}
        converted["additionalProperties"] = False
    if "items" in schema:
        converted["items"] = _of_kubernetes(schema["items"])
    if "additionalProperties" in schema:
        converted["additionalProperties"] = _or_null(_of_kubernetes(schema["additionalProperties"]))
    # The containers of a PodSpec are required, and there is one already.
    required = [name for name in schema.get("required", ()) if name != "containers"]
    return {**converted, **({"required": required} if required else {})}


def _or_null(schema: Schema) -> Schema:
    if "enum" not in schema and isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
