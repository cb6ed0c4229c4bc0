"""Strategic merge of Kubernetes' own types (Kubernetes: "Update API Objects in Place Using kubectl patch")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kube.kubernetes_schemas.schemas import ITEMS_BY, REFERENCE, Schema, alternatives_of, field_of, schemas


def laid_over(base: Mapping[str, Any], over: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return `over` laid over `base`, both of the type with this schema.

    Mappings are merged key by key, and lists whose items have a key, such as the name of a container, item by item: new
    items come last. Other values are replaced, and null removes what is below. Of fields that exclude one another, such
    as httpGet and tcpSocket of a probe, only those of `over` stay. What is neither a mapping nor a list, such as an
    output of Pulumi, is taken as it is.
    """
    merged: dict[str, Any] = _merged(base, over, {REFERENCE: name})
    return merged


def _merged(base: Any, over: Any, schema: Schema) -> Any:
    if isinstance(over, Mapping):
        return _object(base if isinstance(base, Mapping) else {}, over, schema)
    if isinstance(over, list):
        return _list(base if isinstance(base, Sequence) and not isinstance(base, str) else (), over, schema)
    return over


def _object(base: Mapping[str, Any], over: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    excluding = alternatives_of(schema.get(REFERENCE, ""))
    chosen = [name for name in excluding if over.get(name) is not None]
    merged = {key: value for key, value in base.items() if not chosen or key not in excluding or key in chosen}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value, field_of(schema, key))
    return merged


def _list(base: Sequence[Any], over: list[Any], schema: Schema) -> list[Any]:
    key, items = schema.get(ITEMS_BY), schema.get("items", {})
    if key is None or _are_plain(items):
        return [_merged(None, item, items) for item in over]
    merged = list(base)
    for item in over:
        place = next((index for index, one in enumerate(merged) if _key(one, key) == _key(item, key)), None)
        if place is None:
            merged.append(_merged(None, item, items))
        else:
            merged[place] = _merged(merged[place], item, items)
    return merged


def _are_plain(items: Schema) -> bool:
    """Return whether the items of a list are no objects, and so have no key."""
    return REFERENCE not in items or "properties" not in schemas()[items[REFERENCE]]


def _key(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else None
