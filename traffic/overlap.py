"""Requests that meet two matches at once: if these lead to different versions, the order of the rules decides."""

from __future__ import annotations

import random
import re

from traffic.candidates import candidate, place
from traffic.model import Match, Rule, StringMatch
from traffic.reach import EVERY_REQUEST
from traffic.simulate import Request, conditions, text_matches
from traffic.simulate.conditions import lowered

TRIES = 40
LITERAL = re.compile(r"[-A-Za-z0-9_/ %,:;=@~]*")
"""Characters that are literal in a regular expression."""


def overlap(one: Rule, other: Rule) -> Request | None:
    """Return a request that meets a match of both rules, or None if none was found.

    A returned request is verified by the simulator, and repeats no header. None is not proof that there is no such
    request when regular expressions or forbidden headers are involved.
    """
    pairs = ((a, b) for a in one.match or (EVERY_REQUEST,) for b in other.match or (EVERY_REQUEST,))
    return next((request for a, b in pairs if (request := witness(a, b)) is not None), None)


def witness(one: Match, other: Match) -> Request | None:
    """Return a request that meets both matches, or None if none was found."""
    at = place((one, other))
    if at is None or _exclude_each_other(one, other):
        return None
    checks = (*conditions(one), *conditions(other))
    # Not for secrets: a fixed seed makes the result reproducible.
    rng = random.Random(0)  # noqa: S311
    try:
        for attempt in range(TRIES):
            request = candidate((one, other), (), at, rng, plain=attempt == 0)
            seen = request.seen
            if seen is not None and all(condition.holds(seen) for condition in checks):
                return request
    except re.error:
        pass  # Python cannot parse an RE2 regular expression, so no text can be generated for it.
    return None


def _exclude_each_other(one: Match, other: Match) -> bool:
    """Whether it is obvious that no request meets both, which is quick and settles most pairs of rules."""
    return (
        # Of two server names the more specific one decides, not the order.
        bool(one.sni_hosts and other.sni_hosts)
        or (one.port is not None and other.port is not None and one.port != other.port)
        or any(
            one.source_labels[key] != other.source_labels[key] for key in one.source_labels.keys() & other.source_labels
        )
        or any(_differ(a, b) for a, b in _both(one, other))
        or _paths_differ(one, other)
        or any(_forbids(a, b) for a, b in ((one, other), (other, one)))
    )


def _both(one: Match, other: Match) -> list[tuple[StringMatch, StringMatch]]:
    single = [(one.method, other.method), (one.scheme, other.scheme), (one.authority, other.authority)]
    named = [
        (a[name], b[name])
        for a, b in ((one.headers, other.headers), (one.cookies, other.cookies), (one.query_params, other.query_params))
        for name in a.keys() & b
    ]
    return [*((a, b) for a, b in single if a is not None and b is not None), *named]


def _differ(one: StringMatch, other: StringMatch, ignore_case: bool = False) -> bool:
    """Whether no text satisfies both."""
    if one.exact is not None:
        return not text_matches(other, one.exact, ignore_case)
    if other.exact is not None:
        return not text_matches(one, other.exact, ignore_case)
    beginnings = [_beginning(text) for text in (one, other)]
    if ignore_case:
        beginnings = [lowered(beginning) for beginning in beginnings]
    shorter, longer = sorted(beginnings, key=len)
    return not longer.startswith(shorter)


def _beginning(want: StringMatch) -> str:
    """The literal beginning of every text that satisfies `want`; for a regular expression, as far as it is obvious."""
    if want.regex is None:
        return want.prefix or ""
    if "|" in want.regex:
        return ""
    literal = LITERAL.match(want.regex)
    end = literal.end() if literal else 0
    # A quantifier can make the last character optional: `ab?` only begins with `a`.
    return want.regex[: end - 1] if want.regex[end : end + 1] in ("?", "*", "{") and end else want.regex[:end]


def _paths_differ(one: Match, other: Match) -> bool:
    if one.uri is None or other.uri is None:
        return False
    return _differ(one.uri, other.uri, one.ignore_uri_case or other.ignore_uri_case)


def _forbids(one: Match, other: Match) -> bool:
    """Whether `one` forbids what `other` requires."""
    for name in one.without_headers.keys() & other.headers:
        forbidden, want = one.without_headers[name], other.headers[name]
        if forbidden.present or (want.exact is not None and text_matches(forbidden, want.exact)):
            return True
    return False
