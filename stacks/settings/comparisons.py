"""Comparisons in a match that say of a value that it is absent or empty, and how a rule says the same."""

from __future__ import annotations

from stacks.settings.problems import Location

OTHER = {"headers": "withoutHeaders", "withoutHeaders": "headers"}
"""The keys of a match that say the opposite of a header."""
WITH_PRESENT = (*OTHER, "queryParams")
"""The keys of a match whose values can be `{present: true}`."""
NOTHING = {
    "exact": "write {regex: '^$'}, which matches the empty value",
    "prefix": "write {present: true} for any value",
}


def absent(location: Location) -> str:
    """Return the fix for `present: false`, which says of a header, cookie or parameter that the request has none."""
    around, name = location[-3:-1]
    if str(around) in OTHER:
        return f"write {OTHER[str(around)]}: {{{name}: {{present: true}}}} instead of it in this match"
    return f"write a rule before this one for the requests that have {name}, and leave {name} out here"


def comparison_with_nothing(location: Location) -> str | None:
    """Return the fix for a comparison with the empty text, None if the location is not that of a comparison."""
    if len(location) < 3 or location[-3] not in WITH_PRESENT:
        return None
    return NOTHING.get(str(location[-1]))
