"""Matches of one rule that cover each other: whether the narrower one still decides what is done to a request.

Envoy gets a route for each match, and compares them in order. `rewrite.uri` and `redirect.prefixRewrite` replace what
the met match compared of the path, so of two prefixes in one rule the longer one removes more (Envoy:
RouteAction.prefix_rewrite, RedirectAction.prefix_rewrite). All other actions are the same for all matches of a rule.
"""

from __future__ import annotations

from traffic.model import Match, Rule, StringMatch
from traffic.reach import implies, without_regex

WHOLE = None
"""How much of the path is replaced by a match that compares all of it."""


def replacement(rule: Rule) -> str | None:
    """Return what replaces the part of the path that a match of the rule matched; None if nothing does."""
    rewritten = rule.rewrite.uri if rule.rewrite else None
    return rewritten or (rule.redirect.prefix_rewrite if rule.redirect else None)


def idle_by(rule: Rule, index: int) -> int | None:
    """Return the index of a match without which the one at `index` has no effect; None if there is none.

    That match covers it, and the rule does the same with the requests of both. Of two equivalent matches, the later one
    has no effect.
    """
    match = rule.match[index]
    for at, other in enumerate(rule.match):
        if at == index or not implies(match, other) or not _alike(rule, match, other):
            continue
        if at < index:
            return at
        # Without the match, its requests would meet the ones between before `other`.
        between = rule.match[index + 1 : at]
        if not implies(other, match) and all(_alike(rule, match, one) for one in between):
            return at
    return None


def taken_by(rule: Rule, index: int) -> int | None:
    """Return the index of an earlier match that takes all requests of the one at `index`, and replaces less or more.

    None if there is none. The rule would do something else with these requests if the match were first.
    """
    match = rule.match[index]
    return next(
        (at for at, other in enumerate(rule.match[:index]) if implies(match, other) and not _alike(rule, match, other)),
        None,
    )


def _alike(rule: Rule, match: Match, other: Match) -> bool:
    """Whether the rule does the same with a request of `match`, whichever of the two it meets."""
    if replacement(rule) is None:
        return True
    one, two = _replaced(match), _replaced(other)
    if one == two:
        return True
    exact = without_regex(match.uri).exact if match.uri else None
    if exact is None:
        return False
    whole = len(exact)
    return (whole if one is WHOLE else one) == (whole if two is WHOLE else two)


def _replaced(match: Match) -> int | None:
    """How many characters of the path the rule replaces for this match."""
    uri = match.uri or StringMatch(prefix="/")
    return WHOLE if uri.prefix is None else len(uri.prefix)
