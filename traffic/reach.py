"""Which rules of a route no request can reach, because earlier rules match all of their requests.

There are no false positives; a rule that is only covered by several earlier rules together is not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from traffic.model import Match, Route, Rule, StringMatch, cookies_pattern
from traffic.simulate import text_matches
from traffic.simulate.conditions import lowered

EVERY_REQUEST = Match.model_construct()
"""The match of a rule without `match`: no conditions."""
LITERAL = re.compile(r"(?:[^\\.+*?()|\[\]{}^$]|\\[^0-9A-Za-z])+")
"""A regular expression, or the beginning of one, that matches exactly one text."""


def covered_by(route: Route, index: int) -> int | None:
    """Return the index of an earlier rule that matches every request of the rule at `index`, or None."""
    for earlier in range(index):
        if covers(route[earlier], route[index]):
            return earlier
    return None


def is_catch_all(rule: Rule) -> bool:
    """Whether the rule matches every request."""
    return any(implies(EVERY_REQUEST, match) for match in _matches(rule))


def covers(earlier: Rule, later: Rule) -> bool:
    """Whether `earlier` matches every request that `later` matches."""
    return all(any(implies(narrow, wide) for wide in _matches(earlier)) for narrow in _matches(later))


def _matches(rule: Rule) -> tuple[Match, ...]:
    return rule.match or (EVERY_REQUEST,)


def implies(narrow: Match, wide: Match) -> bool:
    """Whether a request that meets `narrow` certainly meets `wide`."""
    return (
        _is_narrower_place(narrow, wide)
        and _is_narrower_target(narrow, wide)
        and _all_narrower(narrow.query_params, wide.query_params)
        and _all_narrower(narrow.claims, wide.claims)
        and _all_narrower(_with_cookie(narrow), wide.headers)
        and all(_has_cookie(narrow, name, want) for name, want in wide.cookies.items())
        and all(_excludes(narrow, name, want) for name, want in wide.without_headers.items())
    )


def _is_narrower_place(narrow: Match, wide: Match) -> bool:
    return (
        (not wide.gateways or (bool(narrow.gateways) and set(narrow.gateways) <= set(wide.gateways)))
        and wide.port in (None, narrow.port)
        and (not wide.sni_hosts or (bool(narrow.sni_hosts) and set(narrow.sni_hosts) <= set(wide.sni_hosts)))
        and wide.source_namespace in (None, narrow.source_namespace)
        and wide.source_labels.items() <= narrow.source_labels.items()
    )


def _is_narrower_target(narrow: Match, wide: Match) -> bool:
    return (
        (wide.authority is None or _is_narrower(narrow.authority, wide.authority))
        and (wide.scheme is None or _is_narrower(narrow.scheme, wide.scheme))
        and (wide.method is None or _is_narrower(narrow.method, wide.method))
        and (wide.uri is None or _is_any_path(wide.uri) or _is_narrower_path(narrow, wide))
    )


def _all_narrower(narrow: Mapping[str, StringMatch], wide: Mapping[str, StringMatch]) -> bool:
    return all(_is_narrower(narrow.get(name), want) for name, want in wide.items())


def _is_narrower(narrow: StringMatch | None, wide: StringMatch) -> bool:
    """Whether `wide` matches every text that `narrow` matches."""
    if narrow is None:
        return False
    narrow, wide = without_regex(narrow), without_regex(wide)
    if narrow == wide or wide.present:
        return True
    if narrow.exact is not None:
        return text_matches(wide, narrow.exact)
    return narrow.prefix is not None and wide.prefix is not None and narrow.prefix.startswith(wide.prefix)


def without_regex(want: StringMatch) -> StringMatch:
    """Return `abc` as exact and `abc.*` as prefix: no header, path or parameter has a line break."""
    pattern = want.regex or ""
    text = pattern.removesuffix(".*")
    if not LITERAL.fullmatch(text):
        return want
    text = re.sub(r"\\(.)", r"\1", text)
    return StringMatch(prefix=text) if pattern.endswith(".*") else StringMatch(exact=text)


def _with_cookie(match: Match) -> Mapping[str, StringMatch]:
    """The headers of a match, with its cookies as the header match that Istio gets."""
    if not match.cookies:
        return match.headers
    return {**match.headers, "cookie": StringMatch.model_construct(regex=cookies_pattern(match.cookies))}


def _has_cookie(narrow: Match, name: str, want: StringMatch) -> bool:
    header = narrow.headers.get("cookie")
    pattern = StringMatch.model_construct(regex=cookies_pattern({name: want}))
    in_header = header is not None and _is_narrower(header, pattern)
    return in_header or _is_narrower(narrow.cookies.get(name), want)


def _excludes(narrow: Match, name: str, forbidden: StringMatch) -> bool:
    """Whether no request that meets `narrow` has `forbidden` in its header `name`.

    The condition of `narrow` on the header itself does not help: the header may be repeated with another value.
    """
    excluded = narrow.without_headers.get(name)
    if excluded is None:
        return False
    if excluded.present:
        # The header is absent then, which counts as empty unless the condition is `present`.
        return bool(forbidden.present) or not text_matches(forbidden, "")
    return _is_narrower(forbidden, excluded)


def _is_any_path(uri: StringMatch) -> bool:
    return uri.prefix == "/" or uri.regex in (".*", "/.*")


def _is_narrower_path(narrow: Match, wide: Match) -> bool:
    if narrow.uri is None or wide.uri is None or (narrow.ignore_uri_case and not wide.ignore_uri_case):
        return False
    if wide.ignore_uri_case and wide.uri.regex is None:
        return _is_narrower(_lower(narrow.uri), _lower(wide.uri))
    return _is_narrower(narrow.uri, wide.uri)


def _lower(text: StringMatch) -> StringMatch:
    if text.exact is not None:
        return StringMatch(exact=lowered(text.exact))
    return StringMatch(prefix=lowered(text.prefix)) if text.prefix is not None else text
