"""The small types of a rollout's strategy: weights, limits, hours and deadlines, each with its message.

A record in the cluster has them, too, and must be readable on every machine. So what depends on the machine, such as
its time zones, is no part of these types, but checked in the stack's file (`stacks/checks/rollout_places.py`).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from traffic.fields import DURATION, duration, wrong
from traffic.proportions import DECIMALS, SMALLEST, exactly, number_words

AUTO = "auto"
TIME, HAND = "time", "hand"
HOURS = r"([01][0-9]|2[0-3]):[0-5][0-9]"
PERCENT_TEXT = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,4})?) ?%"
NEARLY_PERCENT = r"\s*\+?([0-9]+([.,][0-9]{1,4})?)[0-9]*\s*(%|percent|points?)?\s*"
"""A percentage as others write it, and in it the number that is meant: with as many decimals as are read."""


def step_weight(value: float) -> float:
    """Return `value` if it is a percentage above 0 that weights can say."""
    allowed = f"a number above 0, up to 100, with at most {DECIMALS} decimals"
    if value == 0:
        raise wrong("a step at 0 moves no request", allowed, "remove the step, or write 10, for example")
    if (exactly(value) / exactly(SMALLEST)).denominator != 1:
        rounded = min(max(round(value, DECIMALS), SMALLEST), 100)
        what = f"{Decimal(str(value)):f} has more than {DECIMALS} decimals"
        raise wrong(what, allowed, f"write {number_words(rounded)}")
    return value


def what_ends_a_step(value: Any) -> Any:
    """Return what ends a step; a proof needs gates, which have a key of this name, too."""
    if value == "proof":
        raise wrong(
            "a proof needs gates, which compare the new version with the old one",
            f"{TIME} (the step's `for`) or {HAND} (a person promotes each step); proof in gates",
            "write gates: {promote: proof} instead",
        )
    return value


def percent_text(value: Any) -> Any:
    """Return `value` if it is a percentage with its sign, such as `2%`."""
    allowed = f"a percentage from 0% to 100% with at most {DECIMALS} decimals"
    if isinstance(value, str) and re.fullmatch(PERCENT_TEXT, value):
        return value
    found = None if isinstance(value, bool) else re.fullmatch(NEARLY_PERCENT, str(value).lower())
    number = "" if found is None else found[1].replace(",", ".")
    fits = re.fullmatch(PERCENT_TEXT, f"{number}%")
    fix = f"write {number}%" if fits else "write 2%, for example"
    if type(value) is float and 0 < value < 1 and fits:
        fix = f"write {value * 100:.4g}% if the share {value} is meant, or {value}%"
    raise wrong("this is not a percentage", allowed, fix)


def hour(value: Any) -> Any:
    """Return `value` if it is a time of the day, HH:MM."""
    return _hour(value, HOURS, "a time in quotes from '00:00' to '23:59'")


def end_hour(value: Any) -> Any:
    """Return `value` if it is a time of the day, or 24:00."""
    return _hour(value, f"{HOURS}|24:00", "a time in quotes from '00:01' to '24:00'")


def _hour(value: Any, form: str, allowed: str) -> Any:
    if isinstance(value, str) and re.fullmatch(form, value):
        return value
    text = f"{value // 60:02}:{value % 60:02}" if type(value) is int and value > 24 else str(value)
    found = re.fullmatch(r"([0-9]{1,2})(?::([0-9]{2}))?(?::00)?", text)
    meant = f"{int(found[1]):02}:{found[2] or '00'}" if found and not isinstance(value, bool) else ""
    fix = f"write '{meant}'" if re.fullmatch(form, meant) else "write '09:00', for example"
    raise wrong("this is not a time of the day", allowed, fix)


def step_deadline(value: str) -> str:
    """Return `value` if it is a duration or `auto`."""
    return value if value == AUTO else duration(value)


def _texts(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


StepWeight = Annotated[
    float,
    Field(ge=0, le=100),
    AfterValidator(step_weight),
    WithJsonSchema({"type": "number", "minimum": SMALLEST, "maximum": 100}),
]
PercentText = Annotated[str, BeforeValidator(percent_text), _texts(PERCENT_TEXT)]
Hour = Annotated[str, BeforeValidator(hour), _texts(HOURS)]
EndHour = Annotated[str, BeforeValidator(end_hour), _texts(f"{HOURS}|24:00")]
StepDeadline = Annotated[
    str,
    AfterValidator(step_deadline),
    WithJsonSchema({"type": "string", "pattern": f"^({AUTO}|{DURATION})$"}),
]
