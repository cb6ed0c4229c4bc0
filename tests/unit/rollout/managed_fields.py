"""Who owns which field of an object, by the rules of Kubernetes' "Server-Side Apply"; lists are owned as a whole."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
Owner = tuple[str, str]
"""Manager and operation: Apply or Update."""
NOT_OWNED = ("apiVersion", "kind", "status")
OWNED_METADATA = ("annotations", "labels")


@dataclass(frozen=True)
class AppliedFields:
    """The object after an apply, and whose fields it took: `conflict with "kubectl-edit": .spec.http`."""

    item: dict[str, Any]
    conflicts: list[str]


def applied(live: Mapping[str, Any] | None, body: Mapping[str, Any], manager: str) -> AppliedFields:
    """Return the object after `manager` has applied `body` by force.

    Fields that it applied before and leaves out now are removed, unless others own them, too.
    """
    item = copy.deepcopy(dict(live)) if live is not None else _without_fields(body)
    owners, me = owners_of(item), (manager, "Apply")
    wanted = dict(_leaves(body))
    others = {owner: paths for owner, paths in owners.items() if owner != me}
    conflicts = []
    for path, value in wanted.items():
        if _value(item, path) != value:
            for owner, paths in others.items():
                if path in paths:
                    conflicts.append(f'conflict with "{owner[0]}": .{".".join(path)}')
                    paths.discard(path)
            _set(item, path, value)
    for path in owners.get(me, set()) - wanted.keys():
        if not any(path in paths for paths in others.values()):
            _remove(item, path)
    return AppliedFields(_owned(item, {**owners, me: set(wanted)}), conflicts)


def updated(live: Mapping[str, Any] | None, item: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """Return the object that `manager` has written without apply: what it changed belongs to it alone."""
    owners = owners_of(item)
    before, after = dict(_leaves(live or {})), dict(_leaves(item))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    for paths in owners.values():
        paths -= changed
    mine = owners.setdefault((manager, "Update"), set())
    mine |= changed & after.keys()
    return _owned(copy.deepcopy(dict(item)), owners)


def owners_of(item: Mapping[str, Any]) -> dict[Owner, set[Path]]:
    """Return the fields of each owner."""
    entries = item["metadata"].get("managedFields") or ()
    return {(one["manager"], one["operation"]): set(_paths(one["fieldsV1"])) for one in entries if "fieldsV1" in one}


def _owned(item: dict[str, Any], owners: Mapping[Owner, set[Path]]) -> dict[str, Any]:
    version = item.get("apiVersion", "v1")
    item["metadata"]["managedFields"] = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": version,
            "fieldsType": "FieldsV1",
            "fieldsV1": _fields(paths),
        }
        for (manager, operation), paths in owners.items()
        if paths
    ]
    return item


def _without_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: body["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}


def _leaves(item: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for key, value in item.items():
        if key == "metadata":
            for part in OWNED_METADATA:
                yield from _below((key, part), value.get(part) or {})
        elif key not in NOT_OWNED:
            yield from _below((key,), value)


def _below(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, one in value.items():
        yield from _below((*path, key), one)


def _fields(paths: Iterable[Path]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for path in sorted(paths):
        place = fields
        for part in path:
            place = place.setdefault(f"f:{part}", {})
    return fields


def _paths(fields: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for key, below in fields.items():
        if key == ".":
            continue
        path = (*above, key.removeprefix("f:"))
        if below:
            yield from _paths(below, path)
        else:
            yield path


def _value(item: Any, path: Path) -> Any:
    for part in path:
        item = (item or {}).get(part)
    return item


def _set(item: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        item = item.setdefault(part, {})
    item[path[-1]] = copy.deepcopy(value)


def _remove(item: dict[str, Any], path: Path) -> None:
    for part in path[:-1]:
        item = item.get(part, {})
    item.pop(path[-1], None)
