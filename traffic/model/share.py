"""The share of a destination in a rule with weights, alone or with what applies to this share only. Field names are
Istio's (https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from traffic.fields import Model, wrong
from traffic.model.actions import Headers
from traffic.proportions import DECIMALS, LARGEST, SMALLEST, exactly, number_words

WEIGHT_ALONE, WITH_HEADERS = "<weight>", "<share>"
"""Markers of the two forms of a share in the locations of validation errors; no key can have these names."""
ALLOWED = (
    f"a number from 0 to 100 with at most {DECIMALS} decimals, or a whole number up to {LARGEST}, in proportion to "
    "a sum of 1000, 10000, 100000 or 1000000"
)


def _weight(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong(_not_a_number(value), ALLOWED, _as_number(value))
    if not math.isfinite(value):
        raise wrong(f"{value} is not a share of the requests", ALLOWED, "write 10, for example")
    if value < 0:
        raise wrong(f"{value} is less than 0", ALLOWED, "write 0 for no requests")
    if value > LARGEST:
        raise wrong(f"{value} is more than {LARGEST}", ALLOWED, "write the percentage of the requests")
    if (exactly(value) / exactly(SMALLEST)).denominator != 1:
        # Neither none nor all of the requests.
        rounded = min(max(round(value, DECIMALS), SMALLEST), 100 - SMALLEST if value < 100 else value)
        what = f"{Decimal(str(value)):f} has more than {DECIMALS} decimals"
        raise wrong(what, ALLOWED, f"write {number_words(round(rounded, DECIMALS))}")
    return value


def _not_a_number(value: Any) -> str:
    if value is None:
        return "the key has no value"
    kinds = {bool: str(value).lower(), str: "text", list: "a list"}
    return f"this is {kinds.get(type(value), 'something else')}, but must be a number or a mapping"


def _as_number(value: Any) -> str:
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*", value) if isinstance(value, str) else None
    if found is None:
        return "write 10 for 10 % of the requests, for example"
    return f"write {found[1]}, without {'the percent sign' if found[2] else 'quotes'}"


Weight = Annotated[
    int | float, BeforeValidator(_weight), WithJsonSchema({"type": "number", "minimum": 0, "maximum": LARGEST})
]


class RouteDestination(Model):
    """A destination's share of the requests, and what is done to these alone."""

    weight: Weight = Field(
        examples=[10], description="Percentage of the requests, or a whole number in proportion to 1000, 10000 …"
    )
    headers: Headers | None = Field(
        default=None, description="Change headers of the requests that get this share, and of their responses."
    )


def _form(value: Any) -> str:
    return WITH_HEADERS if isinstance(value, (dict, RouteDestination)) else WEIGHT_ALONE


GivenShare = Annotated[
    Annotated[Weight, Tag(WEIGHT_ALONE)] | Annotated[RouteDestination, Tag(WITH_HEADERS)], Discriminator(_form)
]
"""A share as in a file: its weight, or a mapping with the weight and the headers."""
