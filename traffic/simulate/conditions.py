"""The conditions of a match, one by one: whether each holds for a request, and what the request has instead.

Envoy's route matching (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto) as
istiod programs it for a VirtualService.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traffic.fields import compiled
from traffic.model import MESH, Match, StringMatch, cookies_pattern
from traffic.simulate.request import Seen
from traffic.simulate.tokens import texts_of

Found = str | tuple[str, ...] | None
"""What a request has: a text, the values of a header, or None if it is absent."""


class Kind(StrEnum):
    """What a condition is about, by the keys of the match."""

    GATEWAYS = "gateways"
    PORT = "port"
    SOURCE_NAMESPACE = "sourceNamespace"
    SOURCE_LABELS = "sourceLabels"
    SNI_HOSTS = "sniHosts"
    AUTHORITY = "authority"
    SCHEME = "scheme"
    METHOD = "method"
    URI = "uri"
    QUERY_PARAMS = "queryParams"
    HEADERS = "headers"
    WITHOUT_HEADERS = "withoutHeaders"
    COOKIES = "cookies"
    CLAIMS = "claims"


OF_PLACE = (Kind.GATEWAYS, Kind.PORT, Kind.SOURCE_NAMESPACE, Kind.SOURCE_LABELS)
"""Conditions that istiod decides: if they do not hold, Envoy does not get the route."""


@dataclass(frozen=True)
class Condition:
    """One condition. `name` is a header's, cookie's, parameter's or label's; `want` is what it requires.

    `beside` are other cookies that the same `cookie` header must have.
    """

    kind: Kind
    name: str
    want: StringMatch | str | int | tuple[str, ...]
    ignore_case: bool = False
    holds: Callable[[Seen], bool] = field(compare=False, repr=False, default=lambda seen: True)
    beside: tuple[tuple[str, StringMatch], ...] = ()

    def found(self, seen: Seen) -> Found:
        """Return what the request has for the condition's subject."""
        return _FOUND[self.kind](self.name, seen)


def conditions(match: Match) -> tuple[Condition, ...]:
    """Return the conditions of a match, those that istiod decides first."""
    return (*_of_place(match), *_of_request(match))


def text_matches(want: StringMatch, value: str, ignore_case: bool = False) -> bool:
    """Whether `value` satisfies `want`; `ignore_case` has no effect on regular expressions."""
    return comparison(want, ignore_case)(value)


def comparison(want: StringMatch, ignore_case: bool = False) -> Callable[[str], bool]:
    """Return a function that tests whether a text satisfies `want`."""
    if want.regex is not None:
        fullmatch = compiled(want.regex).fullmatch
        return lambda value: fullmatch(value) is not None
    text = want.exact if want.exact is not None else want.prefix
    if text is None:
        return lambda value: True
    if ignore_case:
        lower = lowered(text)
        if want.exact is not None:
            return lambda value: lowered(value) == lower
        return lambda value: lowered(value).startswith(lower)
    if want.exact is not None:
        return lambda value: value == text
    return lambda value: value.startswith(text)


def lowered(text: str) -> str:
    """Return `text` with only A to Z in lower case, as Envoy compares."""
    return text.lower() if text.isascii() else re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def _of_place(match: Match) -> Iterator[Condition]:
    if match.gateways:
        yield Condition(Kind.GATEWAYS, "", match.gateways, holds=_at_gateways(match.gateways))
    if match.port is not None:
        port = match.port
        yield Condition(Kind.PORT, "", port, holds=lambda seen: seen.port == port)
    if match.source_namespace is not None:
        namespace = match.source_namespace
        yield Condition(
            Kind.SOURCE_NAMESPACE,
            "",
            namespace,
            holds=lambda seen: seen.caller is not None and seen.caller.namespace == namespace,
        )
    for key, value in match.source_labels.items():
        yield Condition(Kind.SOURCE_LABELS, key, value, holds=_has_label(key, value))


def _of_request(match: Match) -> Iterator[Condition]:
    if match.sni_hosts:
        yield Condition(Kind.SNI_HOSTS, "", match.sni_hosts, holds=_has_name(match.sni_hosts))
    if match.authority:
        yield _text(Kind.AUTHORITY, match.authority, lambda seen: seen.authority)
    if match.scheme:
        yield _text(Kind.SCHEME, match.scheme, lambda seen: seen.scheme)
    if match.method:
        yield _text(Kind.METHOD, match.method, lambda seen: seen.method)
    if match.uri:
        yield _text(Kind.URI, match.uri, lambda seen: seen.path, match.ignore_uri_case)
    for name, want in match.query_params.items():
        yield Condition(Kind.QUERY_PARAMS, name, want, holds=_has_param(name, want))
    for name, want in match.headers.items():
        yield Condition(Kind.HEADERS, name, want, holds=_has_header(name, want))
    for name, want in match.without_headers.items():
        yield Condition(Kind.WITHOUT_HEADERS, name, want, holds=_lacks_header(name, want))
    yield from _of_cookies(match.cookies)
    for name, want in match.claims.items():
        yield Condition(Kind.CLAIMS, name, want, holds=_has_claim(name, want))


def _text(kind: Kind, want: StringMatch, value: Callable[[Seen], str], ignore_case: bool = False) -> Condition:
    fits = comparison(want, ignore_case)
    return Condition(kind, "", want, ignore_case, lambda seen: fits(value(seen)))


def _at_gateways(gateways: tuple[str, ...]) -> Callable[[Seen], bool]:
    def holds(seen: Seen) -> bool:
        if seen.inside:
            return MESH in gateways
        return seen.gateway in gateways if seen.gateway is not None else gateways != (MESH,)

    return holds


def _has_name(hosts: tuple[str, ...]) -> Callable[[Seen], bool]:
    return lambda seen: any(
        host == "*" or (seen.authority.endswith(host[1:]) if host.startswith("*") else seen.authority == host)
        for host in hosts
    )


def _has_label(key: str, value: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.caller is not None and seen.caller.labels.get(key) == value


def _has_param(name: str, want: StringMatch) -> Callable[[Seen], bool]:
    fits = comparison(want)
    return lambda seen: name in seen.params and fits(seen.params[name])


def _has_header(name: str, want: StringMatch) -> Callable[[Seen], bool]:
    fits = comparison(want)
    return lambda seen: any(fits(value) for value in seen.headers.get(name, ()))


def _of_cookies(cookies: Mapping[str, StringMatch]) -> Iterator[Condition]:
    """The last one is about all of them: Envoy gets one expression, and compares each `cookie` header with it."""
    earlier: dict[str, StringMatch] = {}
    for name, want in cookies.items():
        is_last = len(earlier) == len(cookies) - 1
        beside = earlier if is_last else {}
        yield Condition(
            Kind.COOKIES,
            name,
            want,
            beside=tuple(beside.items()),
            holds=_has_cookies({**beside, name: want}),
        )
        earlier[name] = want


def _has_cookies(wants: Mapping[str, StringMatch]) -> Callable[[Seen], bool]:
    fits = compiled(cookies_pattern(wants)).fullmatch
    return lambda seen: any(fits(value) is not None for value in seen.headers.get("cookie", ()))


def _has_claim(name: str, want: StringMatch) -> Callable[[Seen], bool]:
    """Sidecars of callers validate no tokens."""
    fits = comparison(want)
    return lambda seen: not seen.inside and any(fits(value) for value in texts_of(seen.claims, name) or ())


def _lacks_header(name: str, want: StringMatch) -> Callable[[Seen], bool]:
    """istiod makes Envoy treat a missing header as empty, unless the condition is `present`."""
    if want.present:
        return lambda seen: name not in seen.headers
    fits = comparison(want)
    return lambda seen: not any(fits(value) for value in seen.headers.get(name, ("",)))


def _header(name: str, seen: Seen) -> Found:
    return seen.headers.get(name)


def _cookie(name: str, seen: Seen) -> Found:
    pairs = (pair.strip().partition("=") for value in seen.headers.get("cookie", ()) for pair in value.split(";"))
    return tuple(value for key, _, value in pairs if key == name) or None


def _gateway(_name: str, seen: Seen) -> Found:
    return MESH if seen.inside else seen.gateway


_FOUND: Mapping[Kind, Callable[[str, Seen], Found]] = {
    Kind.GATEWAYS: _gateway,
    Kind.PORT: lambda name, seen: str(seen.port),
    Kind.SOURCE_NAMESPACE: lambda name, seen: seen.caller.namespace if seen.caller and seen.inside else None,
    Kind.SOURCE_LABELS: lambda name, seen: seen.caller.labels.get(name) if seen.caller and seen.inside else None,
    Kind.SNI_HOSTS: lambda name, seen: seen.authority or None,
    Kind.AUTHORITY: lambda name, seen: seen.authority,
    Kind.SCHEME: lambda name, seen: seen.scheme,
    Kind.METHOD: lambda name, seen: seen.method,
    Kind.URI: lambda name, seen: seen.path,
    Kind.QUERY_PARAMS: lambda name, seen: seen.params.get(name),
    Kind.HEADERS: _header,
    Kind.WITHOUT_HEADERS: _header,
    Kind.COOKIES: _cookie,
    Kind.CLAIMS: lambda name, seen: None if seen.inside else texts_of(seen.claims, name),
}
