"""The weights of a rollout's rules in VirtualServices as they are, read by the plan's places: without a stack file.

Imported by whatever aborts, so that it imports nothing that renders routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from rollout.decision import RoutesSeen
from rollout.observed_routes import destination_of, weights_of
from rollout.record import Record
from rollout.routes import RouteInCluster
from rollout.stored_routes import BACK


def weights_seen(
    record: Record, routes: Mapping[str, RouteInCluster], steps: Mapping[str, Any] | None = None
) -> tuple[RoutesSeen, ...]:
    """Return each of the record's VirtualServices with its weights of the rollout's rules.

    http routes that are those of a stored step have its weights; others are read at the plan's places. A rule that a
    VirtualService does not have counts as it is wanted; one that cannot be read there has no weights.
    """
    return tuple(
        RoutesSeen(
            weights=_weights(record, name, routes[name].http, steps or {}),
            annotation=routes[name].annotation,
            owner=routes[name].owner,
        )
        for name in record.vs_uids
        if name in routes
    )


def _weights(
    record: Record, name: str, http: Sequence[Mapping[str, Any]], steps: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    found = _of_step(record, name, http, steps)
    if found is not None:
        return found
    lengths = {len(step[name]) for step in steps.values() if name in step}
    if lengths and len(http) not in lengths:
        return {}  # somebody has added or removed rules: the places are those of others
    return _at_places(record, name, http)


def _of_step(
    record: Record, name: str, http: Sequence[Mapping[str, Any]], steps: Mapping[str, Any]
) -> dict[str, dict[str, float]] | None:
    """The weights of the step whose routes these are, the wanted one first; None if they are of none.

    A sticky rule has one route more while both versions have weight, so that only whole routes tell all places.
    """
    weights = {BACK: record.plan.back, **{str(index): one.weights for index, one in enumerate(record.plan.steps)}}
    found = [key for key in (record.routes_key, *weights) if (steps.get(key) or {}).get(name) == list(http)]
    if not found or found[0] not in weights:
        return None
    mine = weights[found[0]]
    return {key: mine[key] if name in record.plan.places.get(key, {name: ()}) else record.wanted[key] for key in mine}


def _at_places(record: Record, name: str, http: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for key, wanted in record.wanted.items():
        if key not in record.plan.places:
            continue  # an older plan does not tell: the routes stand only where they are those of a step
        indices = record.plan.places[key].get(name)
        if indices is None:
            found[key] = dict(wanted)
            continue
        read = [weights_of(http[index], record.service) for index in indices if index < len(http)]
        if len(read) == len(indices) and all(one == read[0] for one in read):
            found[key] = read[0]
    return found


def routes_back(record: Record, name: str, http: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a VirtualService's http routes with all requests of the rollout's rules at `from`, made of those that are.

    For an abort whose stored routes were deleted. Empty if the plan tells no places, or the routes are not as it says.
    """
    found = [deepcopy(dict(one)) for one in http]
    for key in record.plan.back:
        if key not in record.plan.places:
            return []
        for index in record.plan.places[key].get(name, ()):
            destination = _destination_back(record, found[index]) if index < len(found) else None
            if destination is None:
                return []
            found[index]["route"] = [destination]
    return found


def _destination_back(record: Record, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The destination of `from`, or that of the new version with the other's name everywhere."""
    old, new = record.from_.version, record.target.version
    by_version = {destination_of(one, record.service): one for one in entry.get("route") or ()}
    if old not in by_version and new not in by_version:
        return None
    destination = dict(by_version[old] if old in by_version else _renamed(by_version[new], new, old))
    destination.pop("weight", None)
    return destination


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(one, old, new) for key, one in value.items()}
    return new if value == old else value
