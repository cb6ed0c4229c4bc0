"""Conditions on cookies as one regular expression for the header, which Istio matches only once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import permutations

from traffic.model.string_match import StringMatch

MOST_COOKIES = 3
"""Cookies in one match: RE2 has no look-ahead, so that every order of them is written out."""


def cookies_pattern(wants: Mapping[str, StringMatch]) -> str:
    """Return the RE2 pattern for a `cookie` header in which each cookie satisfies what is wanted, in any order."""
    orders = [";(.*;)?\\s*".join(_pair(name, wants[name]) for name in order) for order in permutations(wants)]
    found = orders[0] if len(orders) == 1 else f"({'|'.join(orders)})"
    return f"(.*;\\s*)?{found}(;.*)?"


def _pair(name: str, want: StringMatch) -> str:
    value = (
        want.regex
        if want.regex is not None
        else f"{re.escape(want.prefix)}[^;]*"
        if want.prefix is not None
        else re.escape(want.exact)
        if want.exact is not None
        else "[^;]*"
    )
    return f"{re.escape(name)}=({value})"
