"""The JSON schema of a stack's file, from the settings' own types."""

from __future__ import annotations

import copy
from typing import Any

from stacks.samples import BLOCKS, SETTINGS
from stacks.settings.kubernetes_definitions import add_kubernetes
from stacks.settings.model import Settings
from stacks.settings.plain_values import SECRET, SECRET_KEYS
from stacks.settings.problems import NAMESPACE
from stacks.settings.stack_file import TOP_LEVEL

Schema = dict[str, Any]

OVERLAYS = {
    "ServiceSettings": "ServiceOverSample",
    "VersionSettings": "VersionOverSample",
    "SharedGateway": "GatewayOverSample",
    "NamespaceSettings": "NamespaceOverSample",
    "ExternalService": "EgressOverSample",
}
"""Settings merged over those of a sample do not need the sample's required keys."""


def stack_file_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of `Pulumi.<stack>.yaml`: `config:` with our keys, and Pulumi's own."""
    settings = Settings.model_json_schema()
    definitions: Schema = settings["$defs"]
    add_kubernetes(settings)
    for name, overlay in OVERLAYS.items():
        definitions[overlay] = _overlay(definitions[name])
    for block in BLOCKS:
        _lay_over_samples(block, settings["properties"][block])
    keys = {f"{NAMESPACE}:{name}": schema for name, schema in settings["properties"].items()}
    keys |= {f"{NAMESPACE}:{name}": _encrypted(description) for name, description in SECRET_KEYS.items()}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A stack of {NAMESPACE}: Pulumi.<stack>.yaml",
        "type": "object",
        "properties": {name: {} for name in TOP_LEVEL} | {"config": _config(keys)},
        "required": ["config"],
        "additionalProperties": False,
        "$defs": definitions,
    }
    cleaned: Schema = _clean(schema)
    return cleaned


def _encrypted(description: str) -> Schema:
    """A value that `pulumi config set --secret` has written."""
    return {
        "description": description,
        "type": "object",
        "properties": {SECRET: {"type": "string"}},
        "required": [SECRET],
        "additionalProperties": False,
    }


def _config(keys: Schema) -> Schema:
    return {
        "description": "The stack's settings; keys of other namespaces are those of Pulumi's providers.",
        "type": "object",
        "properties": keys,
        "propertyNames": {"anyOf": [{"enum": list(keys)}, {"pattern": f"^(?!{NAMESPACE}:)[^:]+:"}]},
    }


def _lay_over_samples(block: str, entries: Schema) -> None:
    """The entries of samples by name, which may be null, and all others by pattern."""
    known = sorted({name for sample in SETTINGS.values() for name in sample.get(block, {})})
    ((pattern, entry),) = entries.pop("patternProperties").items()
    overlay = {"$ref": f"#/$defs/{OVERLAYS[entry['$ref'].rpartition('/')[2]]}"}
    entries["properties"] = {name: {"anyOf": [overlay, {"type": "null"}]} for name in known}
    entries["patternProperties"] = {f"^(?!({'|'.join(known)})$){pattern.removeprefix('^')}": entry}


def _overlay(definition: Schema) -> Schema:
    overlay = copy.deepcopy(definition)
    overlay.pop("required", None)
    versions = overlay["properties"].get("versions")
    if versions is not None:
        versions.pop("minProperties", None)
        either = [{"$ref": f"#/$defs/{OVERLAYS['VersionSettings']}"}, {"type": "null"}]
        versions["patternProperties"] = {pattern: {"anyOf": either} for pattern in versions["patternProperties"]}
    return overlay


def _clean(node: Any, named: bool = False) -> Any:
    """Remove titles that repeat names and empty defaults; reject keys that match no pattern of a mapping."""
    if isinstance(node, list):
        return [_clean(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    cleaned = {
        key: _clean(value, named=key in ("properties", "$defs", "patternProperties"))
        for key, value in node.items()
        if named or not ((key == "title" and "$schema" not in node) or (key == "default" and value in (None, "", [])))
    }
    if not named and "patternProperties" in cleaned:
        cleaned.setdefault("additionalProperties", False)
    return cleaned
