"""Which rules of a route no request can meet, because earlier rules take all that they ask for.

What is found is certain; a rule that only several earlier ones together cover is not found.
"""

from __future__ import annotations

from traffic.model import Match, Route, Rule, StringMatch
from traffic.simulate import text_matches

EVERY_REQUEST = Match.model_construct()
"""The match of a rule without `match`: it has no condition."""


def covered_by(route: Route, index: int) -> int | None:
    """Return the index of an earlier rule that takes every request of the rule at `index`, or None."""
    for earlier in range(index):
        if covers(route[earlier], route[index]):
            return earlier
    return None


def is_catch_all(rule: Rule) -> bool:
    """Whether the rule takes every request."""
    return any(_implies(EVERY_REQUEST, match) for match in _matches(rule))


def covers(earlier: Rule, later: Rule) -> bool:
    """Whether every request of `later` is taken by `earlier`."""
    return all(any(_implies(narrow, wide) for wide in _matches(earlier)) for narrow in _matches(later))


def _matches(rule: Rule) -> tuple[Match, ...]:
    return rule.match or (EVERY_REQUEST,)


def _implies(narrow: Match, wide: Match) -> bool:
    """Whether a request that meets `narrow` always meets `wide`."""
    return (
        all(_narrower(narrow.headers.get(name), want) for name, want in wide.headers.items())
        and all(_excludes(narrow, name, want) for name, want in wide.without_headers.items())
        and (wide.uri is None or _is_any_path(wide) or _narrower_path(narrow, wide))
        and (wide.method is None or _narrower(narrow.method, wide.method))
    )


def _narrower(narrow: StringMatch | None, wide: StringMatch) -> bool:
    """Whether every text that `narrow` takes is taken by `wide`."""
    if narrow is None:
        return False
    if narrow == wide or wide.present:
        return True
    if narrow.exact is not None:
        return text_matches(wide, narrow.exact)
    return narrow.prefix is not None and wide.prefix is not None and narrow.prefix.startswith(wide.prefix)


def _excludes(narrow: Match, name: str, forbidden: StringMatch) -> bool:
    """Whether no request that meets `narrow` has `forbidden` in its header `name`."""
    excluded = narrow.without_headers.get(name)
    if excluded is not None and excluded.present:
        # The header is missing then, which counts as empty except where only its presence does.
        return bool(forbidden.present) or not text_matches(forbidden, "")
    if excluded is not None and _narrower(forbidden, excluded):
        return True
    given = narrow.headers.get(name)
    return given is not None and given.exact is not None and not text_matches(forbidden, given.exact)


def _is_any_path(match: Match) -> bool:
    return match.uri is not None and (match.uri.prefix == "/" or match.uri.regex in (".*", "/.*"))


def _narrower_path(narrow: Match, wide: Match) -> bool:
    if narrow.uri is None or wide.uri is None or (narrow.ignore_uri_case and not wide.ignore_uri_case):
        return False
    if wide.ignore_uri_case and wide.uri.regex is None:
        return _narrower(_lower(narrow.uri), _lower(wide.uri))
    return _narrower(narrow.uri, wide.uri)


def _lower(text: StringMatch) -> StringMatch:
    if text.exact is not None:
        return StringMatch(exact=text.exact.lower())
    return StringMatch(prefix=text.prefix.lower()) if text.prefix is not None else text
