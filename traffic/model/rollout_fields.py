"""The small types of a rollout's strategy: weights, limits, hours, time zones and URLs, each with its message."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from traffic.fields import DURATION, duration, wrong
from traffic.proportions import DECIMALS, SMALLEST, exactly, number_words

AUTO = "auto"
EXAMPLE = "write https://hooks.example.com/canary, for example"
TIME, HAND = "time", "hand"
HOURS = r"([01][0-9]|2[0-3]):[0-5][0-9]"
PERCENT_TEXT = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,4})?) ?%"
LOCAL_HOST = r"localhost|127(\.[0-9]{1,3}){3}|::1|[^.]+(\.[^.]+)+\.(svc|svc\.cluster\.local)"
"""Hosts that a URL may name without TLS: this machine, and Services of the cluster."""


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
    """Return what ends a step; a proof needs statistics, which do not exist yet."""
    if value == "proof":
        raise wrong(
            "there are no statistical gates yet, which a proof would need",
            f"{TIME} (the step's `for`) or {HAND} (a person promotes each step)",
            f"write promote: {HAND}, or promote: {TIME} with limits",
        )
    return value


def percent_text(value: Any) -> Any:
    """Return `value` if it is a percentage with its sign, such as `2%`."""
    allowed = f"a percentage from 0% to 100% with at most {DECIMALS} decimals"
    if isinstance(value, str) and re.fullmatch(PERCENT_TEXT, value):
        return value
    number = re.fullmatch(r"\s*([0-9]+(\.[0-9]+)?)\s*%?\s*", str(value)) if not isinstance(value, bool) else None
    fits = number is not None and re.fullmatch(PERCENT_TEXT, f"{number[1]}%")
    raise wrong(
        "this is not a percentage", allowed, f"write {number[1]}%" if number and fits else "write 2%, for example"
    )


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


def time_zone(value: str) -> str:
    """Return `value` if it is a time zone of the IANA database."""
    import difflib
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: a name that is a folder of the database, such as Europe.
        cities = {zone.lower().rpartition("/")[2]: zone for zone in sorted(available_timezones())}
        bare = re.sub(r"\s+", "_", value.strip().lower())
        close = difflib.get_close_matches(bare.rpartition("/")[2], cities, n=1, cutoff=0.8)
        near = cities[close[0]] if close else None
        raise wrong(
            f"{value!r} is not a time zone{f'; the nearest is {near}' if near else ''}",
            "a name of the IANA database, such as Europe/Berlin or UTC",
            f"write {near or 'UTC'}",
        ) from None
    return value


def reached_url(value: str) -> str:
    """Return `value` if it is a URL with TLS, or one of this machine or of a Service of the cluster."""
    allowed = (
        "a URL that begins with https://, or with http:// for localhost, 127.0.0.1 or a Service of the cluster "
        "(<name>.<namespace>.svc); without a user and password"
    )
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong(
            f"this is not a URL: {error}", allowed, "write https://hooks.example.com/canary, for example"
        ) from None
    if re.search(r"\s", value) or not host or parts.scheme not in ("http", "https"):
        raise wrong("this is not a URL of HTTP", allowed, EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise wrong("the URL has a user or a password, which everybody who reads the file sees", allowed, "remove them")
    if parts.scheme == "http" and not re.fullmatch(LOCAL_HOST, host):
        raise wrong(f"{host} would be reached without TLS", allowed, f"write https://{value[len('http://') :]}")
    return value


def step_deadline(value: str) -> str:
    """Return `value` if it is a duration or `auto`."""
    return value if value == AUTO else duration(value)


def _texts(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


StepWeight = Annotated[
    float,
    Field(ge=0, le=100),
    AfterValidator(step_weight),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
]
PercentText = Annotated[str, BeforeValidator(percent_text), _texts(PERCENT_TEXT)]
Hour = Annotated[str, BeforeValidator(hour), _texts(HOURS)]
EndHour = Annotated[str, BeforeValidator(end_hour), _texts(f"{HOURS}|24:00")]
TimeZone = Annotated[str, Field(min_length=1), AfterValidator(time_zone), WithJsonSchema({"type": "string"})]
ReachedUrl = Annotated[
    str, Field(min_length=1), AfterValidator(reached_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
StepDeadline = Annotated[
    str,
    AfterValidator(step_deadline),
    WithJsonSchema({"type": "string", "pattern": f"^({AUTO}|{DURATION})$"}),
]
