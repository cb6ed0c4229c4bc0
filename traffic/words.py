"""Rules and conditions in words, the same in all output."""

from __future__ import annotations

from traffic.model import MESH, Match, Rule, StringMatch
from traffic.simulate import Condition, Kind, Miss, conditions

OTHERWISE = "default"
"""Name of a rule without matches."""


def rule_words(rule: Rule) -> str:
    """Return a rule's matches in words; `default` for a rule without any."""
    return " or ".join(map(match_words, rule.match)) or OTHERWISE


def match_words(match: Match) -> str:
    """Return the conditions of a match in words."""
    return " and ".join(map(condition_words, conditions(match)))


def condition_words(condition: Condition) -> str:
    """Return a condition in words: `qa = canary-test`, `path begins with /api`."""
    subject, want = _subject(condition), condition.want
    if condition.kind is Kind.GATEWAYS:
        return " or ".join(map(_place, want)) if isinstance(want, tuple) else ""
    if not isinstance(want, StringMatch):
        return f"{subject} = {_listed(want)}"
    if condition.kind is Kind.WITHOUT_HEADERS:
        return f"{subject} {_compared(want, IS_NOT)}"
    return f"{subject} {_compared(want, IS)}{', ignoring case' if condition.ignore_case else ''}"


def miss_words(miss: Miss) -> str:
    """Return why a condition did not hold: `it requires qa to be canary-test, but the request has no header qa`."""
    return f"it requires {_requirement(miss.condition)}, but {_found(miss)}"


def _requirement(condition: Condition) -> str:
    want = condition.want
    if condition.kind is Kind.GATEWAYS:
        return f"requests {condition_words(condition)}"
    subject = _subject(condition)
    article = "" if condition.kind in NAMED else "the "
    if not isinstance(want, StringMatch):
        return f"{article}{subject} to be {_listed(want)}"
    no = "not " if condition.kind is Kind.WITHOUT_HEADERS else ""
    return f"{article}{subject} {no}to {_compared(want, TO)}{', ignoring case' if condition.ignore_case else ''}"


def _listed(want: str | int | tuple[str, ...]) -> str:
    return " or ".join(want) if isinstance(want, tuple) else str(want)


NAMED = (Kind.HEADERS, Kind.WITHOUT_HEADERS, Kind.SOURCE_NAMESPACE, Kind.SOURCE_LABELS)
"""Kinds whose subject has no article: it is a name, or begins with "the"."""


IS = ("=", "begins with", "~", "is present")
IS_NOT = ("is not", "does not begin with", "does not match", "is not present")
TO = ("be", "begin with", "match", "be present")
"""Verbs for `exact`, `prefix`, `regex` and `present`."""


def _compared(want: StringMatch, verbs: tuple[str, str, str, str]) -> str:
    for verb, text in zip(verbs, (want.exact, want.prefix, want.regex), strict=False):
        if text is not None:
            return f"{verb} {text}"
    return verbs[-1]


def _subject(condition: Condition) -> str:
    name = condition.name
    return {
        Kind.PORT: "port",
        Kind.SOURCE_NAMESPACE: "the caller's namespace",
        Kind.SOURCE_LABELS: f"the caller's label {name}",
        Kind.SNI_HOSTS: "server name (SNI)",
        Kind.AUTHORITY: "host",
        Kind.SCHEME: "scheme",
        Kind.METHOD: "method",
        Kind.URI: "path",
        Kind.QUERY_PARAMS: f"parameter {name}",
        Kind.COOKIES: f"cookie {name}",
        Kind.CLAIMS: f"claim {name} of the token",
    }.get(condition.kind, name)


def _place(gateway: str) -> str:
    return "inside the mesh" if gateway == MESH else f"at gateway {gateway}"


def _found(miss: Miss) -> str:
    kind, found = miss.condition.kind, miss.found
    values = found if isinstance(found, tuple) else () if found is None else (found,)
    if kind is Kind.GATEWAYS:
        return f"this one comes {'from' if found == MESH else 'in'} {_place(str(found))}"
    if not values:
        return _missing(miss)
    return f"it is {' and '.join(value or 'empty' for value in values)}"


def _missing(miss: Miss) -> str:
    kind, name = miss.condition.kind, miss.condition.name
    if kind in (Kind.SOURCE_NAMESPACE, Kind.SOURCE_LABELS):
        return f"the caller has no label {name}" if miss.inside else "the request comes from outside the mesh"
    if kind is Kind.SNI_HOSTS:
        return "the connection names no server"
    if kind is Kind.WITHOUT_HEADERS:
        return "the header is absent, which counts as empty"
    if kind is Kind.CLAIMS:
        at = "the request comes from inside the mesh" if miss.inside else "the request has no valid token with it"
        return f"{at}, and only the gateway validates tokens for routes" if miss.inside else at
    what = {Kind.COOKIES: "cookie", Kind.QUERY_PARAMS: "parameter"}.get(kind, "header")
    return f"the request has no {what} {name}"
