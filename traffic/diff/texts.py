"""Texts at the boundaries of comparisons: those that satisfy them, and those that just do not; readable ones first."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from traffic.candidates import text
from traffic.model import StringMatch
from traffic.simulate import text_matches

SAMPLES = 4
"""Texts that are generated for each regular expression."""
OTHER = "any"


def texts(wants: Sequence[StringMatch], beginning: str = "") -> list[str]:
    """Return texts for each combination of comparisons that hold, as far as they are found.

    Every text begins with `beginning`. A regular expression that Python cannot parse gives none.
    """
    comparisons = list(dict.fromkeys(wants))
    exact = [want.exact for want in comparisons if want.exact is not None]
    prefixes = [want.prefix for want in comparisons if want.prefix is not None]
    matching = [found for want in comparisons if want.regex is not None for found in samples(want)]
    longer = [f"{one}{more}" for one in (*prefixes, *exact) for more in ("/x" if beginning else "-x", "x")]
    joined = [f"{one}{two}" for one in (*prefixes, *matching) for two in (*prefixes, *matching, *exact) if one != two]
    found = [*exact, f"{beginning}{OTHER}", *prefixes, *matching, *longer, *joined]
    found += [f"{one}{more}" for one in prefixes if "%" in one[-2:] for more in ("1", "20")]  # the end of an escape
    shorter = [one[:-1] for one in (*exact, *prefixes) if len(one) > 1]
    return list(dict.fromkeys(one for one in (*found, *shorter) if one.startswith(beginning)))


def other_case(values: Iterable[str]) -> list[str]:
    """Return the texts in upper or, where they have none in lower, in lower case."""
    return [value.upper() if value != value.upper() else value.lower() for value in values]


def samples(want: StringMatch) -> list[str]:
    """Return texts that satisfy a regular expression, short ones first; none if Python cannot parse it."""
    return list(_samples(want))


@lru_cache(maxsize=4096)
def _samples(want: StringMatch) -> tuple[str, ...]:
    # Not for secrets: a fixed seed makes the result reproducible.
    rng = random.Random(0)  # noqa: S311
    try:
        made = [text([want], rng, plain=True) for _ in range(SAMPLES)]
    except re.error:
        return ()
    fitting = [one for one in made if text_matches(want, one)]
    short = [shortened(one, lambda value: text_matches(want, value)) for one in fitting]
    return tuple(sorted(dict.fromkeys((*short, *fitting)), key=len))


def shortened(value: str, fits: Callable[[str], bool]) -> str:
    """Return `value` with as few and as plain characters as still fit."""
    size = max(1, len(value) // 2)
    while size:
        at = 0
        while at < len(value):
            shorter = value[:at] + value[at + size :]
            at, value = (at, shorter) if fits(shorter) else (at + size, value)
        size //= 2
    for at, letter in enumerate(value):
        for plain in _plainer(letter):
            if fits(value[:at] + plain + value[at + 1 :]):
                value = value[:at] + plain + value[at + 1 :]
                break
    return value


def _plainer(letter: str) -> Iterator[str]:
    yield from () if letter in "a1" else ("a", "1")
