"""Parts that all specs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traffic.fields import Model
from traffic.model import RouteKind, StringMatch

Spec = dict[str, Any]


def routes_in(spec: Mapping[str, Any]) -> list[Any]:
    """Return the routes of a VirtualService's spec, whatever they tell apart: requests, or connections."""
    found: list[Any] = []
    for kind in RouteKind:
        listed = spec.get(kind.value)
        found += listed if isinstance(listed, list) else []
    return found


def non_default_fields(model: Model) -> Spec:
    """Return the fields that are not at their default, under Istio's names; the defaults are Istio's own."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def string_match(value: StringMatch) -> Spec:
    """Return Istio's StringMatch: the kind that is set; an empty one means that the header is present."""
    for kind in ("exact", "prefix", "regex"):
        text = getattr(value, kind)
        if text is not None:
            return {kind: text}
    return {}


def percentage(value: float) -> Spec:
    """Return Istio's Percent, with whole numbers without `.0`."""
    return {"value": int(value) if value.is_integer() else value}
