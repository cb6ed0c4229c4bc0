"""Property values as the Pulumi engine sends them, and plain JSON as the API server wants it.

The engine marshals a resource's properties into a protobuf ``Struct``. Secrets, unknowns, assets and outputs travel in
it as objects with a signature key or as sentinel strings; see "Property values" in Pulumi's developer documentation.
Here a property map is an ordinary ``dict`` in which a secret is a ``Secret`` and an unknown is ``UNKNOWN``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a wire constant, no secret
ASSET_SIGNATURE = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE_SIGNATURE = "0def7320c3a5731c473e5ecbe6d01bc7"
OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE_SIGNATURE = "5cf8f73096256a8f31e491e813e4eb8e"

UNKNOWN_SENTINELS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class PropertyError(Exception):
    """A property of a kind that this provider does not take (an asset, an archive)."""


class Unknown:
    """A value that is known only after the update; there is one: ``UNKNOWN``."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Unknown:
        return self


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that must stay encrypted in the state."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(...)"


def decode(struct: Struct | None) -> dict[str, Any]:
    """Return the property map in ``struct``; null properties are left out, as the official provider does."""
    if struct is None:
        return {}
    return {key: _decode(value, key) for key, value in struct.fields.items() if not _is_null(value)}


def _is_null(value: Value) -> bool:
    kind = value.WhichOneof("kind")
    return kind is None or kind == "null_value"


def _decode(value: Value, path: str) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWN_SENTINELS else value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "list_value":
            return [_decode(item, f"{path}[{i}]") for i, item in enumerate(value.list_value.values)]
        case "struct_value":
            return _decode_struct(value.struct_value, path)
        case _:
            return None


def _decode_struct(struct: Struct, path: str) -> Any:
    fields = struct.fields
    if SIGNATURE_KEY not in fields:
        return {k: _decode(v, f"{path}.{k}") for k, v in fields.items() if not _is_null(v)}
    signature = fields[SIGNATURE_KEY].string_value
    if signature == SECRET_SIGNATURE:
        return Secret(_decode(fields["value"], path))
    if signature == OUTPUT_SIGNATURE:
        inner = _decode(fields["value"], path) if "value" in fields else UNKNOWN
        return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
    if signature == RESOURCE_SIGNATURE:
        return _decode(fields["id"], path) if "id" in fields else fields["urn"].string_value
    if signature in (ASSET_SIGNATURE, ARCHIVE_SIGNATURE):
        kind = "asset" if signature == ASSET_SIGNATURE else "archive"
        raise PropertyError(f"{path}: an {kind} is given, and the sandbox's provider takes none")
    raise PropertyError(f"{path}: a value with the unknown signature {signature}")


def encode(properties: Mapping[str, Any], keep_secrets: bool = True) -> Struct:
    """Return ``properties`` for the engine, with null entries left out."""
    struct = Struct()
    _fill(struct, properties, keep_secrets)
    return struct


def _fill(struct: Struct, properties: Mapping[str, Any], keep_secrets: bool) -> None:
    for key, value in properties.items():
        if value is not None:
            _encode(struct.fields[key], value, keep_secrets)


def _encode(target: Value, value: Any, keep_secrets: bool) -> None:
    if isinstance(value, Secret):
        if not keep_secrets:
            _encode(target, value.value, keep_secrets)
            return
        fields = target.struct_value.fields
        fields[SIGNATURE_KEY].string_value = SECRET_SIGNATURE
        _encode(fields["value"], value.value, keep_secrets)
    elif value is None:
        target.null_value = 0  # type: ignore[assignment]
    elif isinstance(value, Unknown):
        target.string_value = UNKNOWN_STRING
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Mapping):
        target.struct_value.CopyFrom(Struct())
        _fill(target.struct_value, value, keep_secrets)
    else:
        target.list_value.CopyFrom(ListValue())
        for item in value:
            _encode(target.list_value.values.add(), item, keep_secrets)


def plain(value: Any, rename: Callable[[str], str] | None = None) -> Any:
    """Return a deep copy of ``value`` without secret wrappers, its keys renamed by ``rename``."""
    if isinstance(value, Secret):
        return plain(value.value, rename)
    if isinstance(value, Mapping):
        return {(rename(k) if rename else k): plain(v, rename) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(item, rename) for item in value]
    return value


def contains(value: Any, kind: type) -> bool:
    """Say whether a value of ``kind`` (``Secret`` or ``Unknown``) is anywhere in ``value``."""
    if isinstance(value, kind):
        return True
    if isinstance(value, Secret):
        return contains(value.value, kind)
    if isinstance(value, Mapping):
        return any(contains(item, kind) for item in value.values())
    if isinstance(value, list):
        return any(contains(item, kind) for item in value)
    return False


def contains_unknown(value: Any) -> bool:
    """Say whether ``value`` is or holds an unknown."""
    return contains(value, Unknown)


def copy_secrets(outputs: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    """Mark in ``outputs`` what is secret in ``inputs``, and all data of a Kubernetes Secret.

    Objects are gone through key by key so that one secret does not hide the whole object; a list with a secret
    anywhere in it becomes secret as a whole, because its order may differ between inputs and outputs.
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
        return
    for key, given in inputs.items():
        if key not in outputs:
            continue
        made = outputs[key]
        if isinstance(made, dict) and isinstance(given, Mapping):
            copy_secrets(made, given)
        elif not isinstance(made, Secret) and contains(given, Secret):
            outputs[key] = Secret(made)
