"""What all specs are made of."""

from __future__ import annotations

from typing import Any

from traffic.fields import Model
from traffic.model import StringMatch

Spec = dict[str, Any]


def said(model: Model) -> Spec:
    """Return what the settings say under Istio's names; what is at its default is Istio's own default, too."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def string_match(value: StringMatch) -> Spec:
    """Return Istio's StringMatch: of several kinds the one that is given; an empty one says "it is there"."""
    for kind in ("exact", "prefix", "regex"):
        text = getattr(value, kind)
        if text is not None:
            return {kind: text}
    return {}


def percentage(value: float) -> Spec:
    """Return Istio's Percent, a whole number without its `.0`."""
    return {"value": int(value) if value.is_integer() else value}
