"""Checks of single matches: those that no request can meet, whatever the position of the rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from stacks.checks.places import Place, holds_at, lets_in, places
from stacks.checks.view import Service, View
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.model import MESH, Match, PathNormalization, Rule, StringMatch
from traffic.reach import LITERAL, covers
from traffic.simulate import text_matches
from traffic.simulate.path import normalized
from traffic.simulate.request import METHODS

_BASE = "a path without dot segments or \\, with letters and digits unescaped and other characters like %C3%A9"
ALLOWED_PATHS = {
    PathNormalization.NONE: "a path that begins with /, of ASCII characters",
    PathNormalization.BASE: _BASE,
    PathNormalization.MERGE_SLASHES: f"{_BASE}, without //",
    PathNormalization.DECODE_AND_MERGE_SLASHES: f"{_BASE}, without //, %2F and %5C",
}
"""What a path can be after it is normalised."""


def check(view: View) -> Iterator[Finding]:
    """Yield conditions that never hold where the service's requests enter, and matches that contradict themselves."""
    for service in view.services.values():
        found = places(service, view) if any(rule and rule.match for rule in service.matching) else None
        for index, rule in enumerate(service.matching):
            for number, match in enumerate(rule.match if rule else ()):
                location = (*service.location, "route", index, "match", number)
                yield from _check_contradiction(match, location)
                yield from _check_path(match, location, view.mesh_traffic.path_normalization)
                yield from _check_spaces(match, location)
                yield from _check_regex(match, location)
                yield from _check_method(match, location)
                if found is not None:
                    yield from _Check(service, found, match, location).findings()


@dataclass(frozen=True)
class _Check:
    """One match, checked against the places where the service's requests enter."""

    service: Service
    places: list[Place]
    match: Match
    location: Location

    def findings(self) -> Iterator[Finding]:
        """Yield the conditions that never hold, or else the match if its conditions never hold together."""
        single = [*self._gateways(), *self._port(), *self._scheme(), *self._source(), *self._authority()]
        yield from single
        if single or not self.places:
            return
        if not any(self._holds_at(place) for place in self.places):
            yield Finding(
                self.location,
                f"no request meets this match: its conditions never hold together at {self._all_places()}",
                "conditions that hold together at a place where requests enter",
                "remove one of gateways, port, scheme, authority and the source",
            )

    def _all_places(self) -> str:
        return ", ".join(dict.fromkeys(str(place) for place in self.places))

    def _holds_at(self, place: Place) -> bool:
        match = self.match
        return (
            holds_at(match, place)
            and (place.gateway == MESH or not (match.source_labels or match.source_namespace))
            and (match.authority is None or _may_be(match.authority, place))
        )

    def _gateways(self) -> Iterator[Finding]:
        bound = self.service.routing.gateways
        for index, name in enumerate(self.match.gateways):
            if name in bound:
                continue
            near = nearest(name, bound)
            yield Finding(
                (*self.location, "gateways", index),
                f"the service has no route at {name!r}{f'; the nearest is {near!r}' if near else ''}",
                f"the service's gateways: {', '.join(bound)}",
                f"write {near}" if near else f"add {name} to {key_path((*self.service.location, 'gateways'))}",
                shown(name),
            )

    def _port(self) -> Iterator[Finding]:
        ports = sorted({place.port for place in self.places})
        if self.match.port is None or self.match.port in ports or not ports:
            return
        yield Finding(
            (*self.location, "port"),
            f"no request for the service enters at port {self.match.port}",
            f"the ports of the service's gateways: {self._all_places()}",
            f"write {' or '.join(map(str, ports))}, or bind the service to a gateway with that port",
            shown(self.match.port),
        )

    def _scheme(self) -> Iterator[Finding]:
        schemes = sorted({place.scheme for place in self.places})
        scheme = self.match.scheme.exact if self.match.scheme else None
        if scheme is None or scheme in schemes or not schemes:
            return
        yield Finding(
            (*self.location, "scheme"),
            f"no request for the service uses {scheme}",
            f"the schemes of the service's gateways: {self._all_places()}",
            f"write {{exact: {schemes[0]}}}, or bind the service to a gateway with a server that speaks {scheme}",
            shown({"exact": scheme}),
        )

    def _source(self) -> Iterator[Finding]:
        if self.service.routing.in_mesh:
            return
        for key, value in (
            ("sourceLabels", self.match.source_labels),
            ("sourceNamespace", self.match.source_namespace),
        ):
            if value:
                yield Finding(
                    (*self.location, key),
                    f"{key} only matches callers inside the mesh, and the route only applies at gateways",
                    f"{key} in routes of services with `{MESH}` among their gateways",
                    f"add {MESH} to {key_path((*self.service.location, 'gateways'))}, or remove {key}",
                    shown(value),
                )

    def _authority(self) -> Iterator[Finding]:
        want = self.match.authority
        if want is None or not self.places or any(_may_be(want, place) for place in self.places):
            return
        hosts = list(dict.fromkeys(host for place in self.places for host in place.hosts))
        yield Finding(
            (*self.location, "authority"),
            "it matches no host of the service",
            f"one of {', '.join(hosts)}",
            "correct it, or add the host to the service's `hosts`",
            shown(want.model_dump(exclude_none=True)),
        )


def _may_be(want: StringMatch, place: Place) -> bool:
    """Whether a request that enters there may have such an authority; for wildcards, only `exact` can be decided."""
    if want.exact is not None:
        return lets_in(place.hosts, want.exact)
    return any("*" in host for host in place.hosts) or any(
        text_matches(want, host) or text_matches(want, f"{host}:{place.port}") for host in place.hosts
    )


def _check_contradiction(match: Match, location: Location) -> Iterator[Finding]:
    for name, forbidden in match.without_headers.items():
        required = match.headers.get(name)
        if name == "cookie" and match.cookies and forbidden.present:
            required = StringMatch(present=True)
        if required is not None and covers(_with_header(name, forbidden), _with_header(name, required)):
            yield Finding(
                (*location, "withoutHeaders", name),
                f"no request meets this match: it both requires and forbids the header {name}",
                "conditions that a request can meet together",
                f"remove {name} from headers or from withoutHeaders",
                shown(forbidden.model_dump(exclude_none=True)),
            )


def _check_path(match: Match, location: Location, how: PathNormalization) -> Iterator[Finding]:
    """Envoy compares normalised paths. What follows a prefix is unknown; an x stands in for it."""
    if match.uri is None or match.uri.regex is not None:
        return
    key, rest = ("exact", "") if match.uri.exact is not None else ("prefix", "x")
    text = match.uri.exact or match.uri.prefix or ""
    if normalized(text + rest, how) == text + rest:
        return
    clean = normalized(quote(text, safe="/%\\;=:@!$&'()*+,~") + rest, how)
    yield Finding(
        (*location, "uri", key),
        f"no request's path {'begins with' if rest else 'is'} {text!r}: Envoy normalises paths before it compares them",
        ALLOWED_PATHS[how],
        f"write {{{key}: {clean.removesuffix(rest)}}}" if clean else "remove it: Envoy rejects such paths with 400",
        shown(text),
    )


def _check_spaces(match: Match, location: Location) -> Iterator[Finding]:
    for key, conditions in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name, want in conditions.items():
            text = want.exact if want.exact is not None else want.prefix
            clean = text and (text.strip(" \t") if want.exact else text.lstrip(" \t"))
            if text != clean:
                yield Finding(
                    (*location, key, name, "exact" if want.exact else "prefix"),
                    "no header has this value: Envoy strips leading and trailing spaces",
                    "text without leading or trailing spaces",
                    f"write {shown(clean)}" if clean else "write {present: true} for any value",
                    shown(text),
                )


def _check_regex(match: Match, location: Location) -> Iterator[Finding]:
    """The literal beginning of a regex for the path must be one that paths can have."""
    pattern = (match.uri and match.uri.regex) or ""
    plain = LITERAL.match(pattern.removeprefix("^"))
    if plain is None or "|" in pattern:
        return
    begin = re.sub(r"\\(.)", r"\1", plain.group())
    begin = begin[:-1] if re.match(r"[*?+{]", pattern.removeprefix("^")[plain.end() :]) else begin
    if re.fullmatch(r"(/[^?#\s]*)?", begin):
        return
    yield Finding(
        (*location, "uri", "regex"),
        f"no request's path begins with {begin!r}, as the expression requires",
        "an expression for the whole path, which begins with / and has no query",
        "match the query with queryParams"
        if "?" in begin
        else f"begin the expression with {shown('/' + quote(begin.lstrip('/')))}",
        shown(pattern),
    )


def _check_method(match: Match, location: Location) -> Iterator[Finding]:
    method = match.method and match.method.exact
    if method and method not in METHODS:
        near = nearest(method, METHODS)
        yield Finding(
            (*location, "method", "exact"),
            f"no request meets this match: Envoy rejects the method {method} with 400",
            f"the methods that Envoy accepts: {', '.join(sorted(METHODS))}",
            f"write {near or 'GET'}",
            shown(method),
        )


def _with_header(name: str, want: StringMatch) -> Rule:
    return Rule.model_construct(match=(Match.model_construct(headers={name: want}),))
