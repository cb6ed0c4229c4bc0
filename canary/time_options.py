"""Durations and moments on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from metrics.durations import DURATION, prometheus_seconds

LONGEST = "10y"


def duration(option: str, text: str) -> float:
    """Return a duration as Prometheus writes it, such as 1h30m or 7d, in seconds; raises CommandError."""
    if not text or not re.fullmatch(DURATION, text):
        what = f"{option} is not a duration"
    elif (seconds := prometheus_seconds(text)) == 0:
        what = f"{option} is zero"
    elif seconds > prometheus_seconds(LONGEST):
        what = f"{option} is more than {LONGEST}"
    else:
        return seconds
    allowed = f"whole numbers with the units y, w, d, h, m, s and ms, in this order, more than zero, up to {LONGEST}"
    raise invalid(what, text, allowed, "write 30m, for example")


def moment(option: str, text: str) -> float:
    """Return a moment in RFC 3339 as seconds since 1970; raises CommandError that names `option`."""
    allowed = "a date and a time with its offset from UTC (RFC 3339)"
    try:
        parsed = datetime.fromisoformat(text)
        if "T" not in text.upper() and " " not in text:
            raise ValueError("a date without a time")
    except ValueError:
        example = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:00Z")
        raise invalid(f"{option} is not a moment", text, allowed, f"write {example}, for example") from None
    if parsed.tzinfo is None:
        raise invalid(f"{option} has no offset from UTC", text, allowed, f"write {text}Z for UTC")
    return parsed.timestamp()


def invalid(what: str, given: str, allowed: str, fix: str) -> CommandError:
    """Return the error for the value of an option."""
    return CommandError(what, ExitCode.CONFIG, fix=fix, details=(f"given:   {given}", f"allowed: {allowed}"))


def utc(seconds: float) -> str:
    """Return a moment as people read it: `2025-06-01 12:00:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def rfc3339(seconds: float) -> str:
    """Return a moment as programs read it: `2025-06-01T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def words(seconds: float) -> str:
    """Return a duration in its largest units: `1 h 30 min`, `31 s`."""
    rest = round(seconds, 3)
    parts = []
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        whole, rest = divmod(rest, length)
        if whole:
            parts.append(f"{whole:g} {name}")
    if rest or not parts:
        parts.append(f"{round(rest, 3):g} s")
    return " ".join(parts)
