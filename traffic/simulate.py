"""Which rule of a route a request meets, decided as Envoy decides it.

Envoy's route matching (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto) as
istiod programs it for a VirtualService: rules in order, any match of a rule, all conditions of a match; header
names without regard to case; regular expressions are RE2 and must match the whole value; no query in paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from traffic.fields import compiled
from traffic.model import Match, Route, StringMatch


@dataclass(frozen=True)
class Request:
    """A request as it reaches the gateway: header names in any case; `path` may carry a query."""

    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    method: str = "GET"
    authority: str = ""

    @cached_property
    def by_lower_name(self) -> dict[str, str]:
        """The headers by lower-case name; values of one name are joined by commas, as Envoy sees them."""
        lower: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            lower[key] = f"{lower[key]},{value}" if key in lower else value
        return lower

    @property
    def bare_path(self) -> str:
        """The path without query and fragment."""
        return self.path.split("#", 1)[0].split("?", 1)[0]


def rule_for(route: Route, request: Request) -> int | None:
    """Return the index of the first rule that `request` meets, or None: then Envoy answers 404."""
    for index, rule in enumerate(route):
        if not rule.match or any(matches(match, request) for match in rule.match):
            return index
    return None


def matches(match: Match, request: Request) -> bool:
    """Whether all conditions of `match` hold for `request`."""
    headers = request.by_lower_name
    return (
        all(name in headers and text_matches(want, headers[name]) for name, want in match.headers.items())
        and not any(_is_forbidden(want, headers.get(name)) for name, want in match.without_headers.items())
        and (match.uri is None or text_matches(match.uri, request.bare_path, match.ignore_uri_case))
        and (match.method is None or text_matches(match.method, request.method))
    )


def text_matches(want: StringMatch, value: str, ignore_case: bool = False) -> bool:
    """Whether `value` is what `want` asks for; `ignore_case` has no effect on regular expressions."""
    if want.regex is not None:
        return compiled(want.regex).fullmatch(value) is not None
    if want.exact is not None:
        return value.lower() == want.exact.lower() if ignore_case else value == want.exact
    if want.prefix is not None:
        return value.lower().startswith(want.prefix.lower()) if ignore_case else value.startswith(want.prefix)
    return True


def _is_forbidden(want: StringMatch, value: str | None) -> bool:
    """istiod has Envoy read a missing header as empty, except where only its presence counts."""
    if want.present:
        return value is not None
    return text_matches(want, value or "")
