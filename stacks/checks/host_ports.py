"""Warnings about the port in the Host header: clients send it unless it is the default of the URL's scheme.

Envoy leaves it out only where it selects the virtual host: conditions on the host and the URLs of redirects have it
(RFC 9110, 7.2; Envoy: VirtualHost.domains, RedirectAction.port_redirect).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from stacks.checks.places import Place, holds_at, lets_in, places
from stacks.checks.view import Service, View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, shown
from traffic.diff.texts import samples
from traffic.model import MESH, Match, Redirect, Rule, StringMatch
from traffic.reach import EVERY_REQUEST
from traffic.simulate import Caller, Request, authority_of, bare, text_matches
from traffic.simulate.actions import location as location_after
from traffic.simulate.request import DEFAULT_PORTS

Schemes = Mapping[int, str]
"""What the ports of the gateway, or of a service inside the mesh, speak."""


class _Condition(NamedTuple):
    """A condition on the Host header, and its location below the match."""

    key: Location
    want: StringMatch


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield conditions on the host that requests with a port do not meet, and redirects to a wrong port."""
    view = View({"services": {name: {} for name in settings.services}}, settings, None, {}, {})
    services = list(view.services.values())
    compared = {one.name for one in services if any(map(_is_about_hosts, one.routing.route)) or _patterns(one)}
    if not compared:
        return
    found = {one.name: places(one, view) or [] for one in services if one.name in compared}
    at_gateway = _schemes(view)
    for service in services:
        if service.name not in compared:
            continue
        for index, rule in enumerate(service.routing.route):
            location = (*service.location, "route", index)
            yield from _unmet(service, rule, found[service.name], location)
            yield from _to_wrong_port(service, rule, found[service.name], at_gateway, location)
        yield from _unmet_by_policies(service, found[service.name])


def _is_about_hosts(rule: Rule) -> bool:
    return rule.redirect is not None or any(_conditions(match) for match in rule.match)


def _schemes(view: View) -> Schemes:
    """What the gateway's ports speak, if it is HTTP or HTTPS. An own Gateway of a service speaks HTTP."""
    servers = [server for gateway in view.well_formed_gateways.values() for server in gateway.servers]
    shared = {server.port: server.protocol.value.lower() for server in servers}
    own = {one.routing.gateway_port: "http" for one in view.services.values() if one.has_own_gateway}
    return own | {port: scheme for port, scheme in shared.items() if scheme in DEFAULT_PORTS}


def _conditions(match: Match) -> list[_Condition]:
    found = [_Condition(("authority",), match.authority)] if match.authority else []
    for key, named in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        if "host" in named:
            found.append(_Condition((key, "host"), named["host"]))
    return found


def _unmet(service: Service, rule: Rule, found: list[Place], location: Location) -> Iterator[Finding]:
    """Conditions that hold for a host of the service, but not as clients send it."""
    for number, match in enumerate(rule.match):
        here = [place for place in found if holds_at(match, place)]
        for key, want in _conditions(match):
            others = [one for other in rule.match if other is not match for one in _conditions(other)]
            sent = {
                place: usual
                for place in here
                for host in _hosts(service, want, place, found)
                if (usual := _unmet_host(want, host, place))
                and not any(text_matches(one.want, usual) for one in others)
            }
            if sent:
                yield _never_sent(want, sent, (*location, "match", number, *key))


def _hosts(service: Service, want: StringMatch, place: Place, found: list[Place]) -> Iterator[str]:
    """Hosts without a port that requests may have there, as far as the condition or the service names them."""
    hosts = [host for host in place.hosts if host != "*"]
    if place.gateway == MESH and any(one.gateway != MESH for one in found):
        hosts = [host for host in hosts if host not in service.routing.hosts]  # callers use these at the gateway
    texts = [want.exact] if want.exact is not None else samples(want) if want.regex is not None else []
    named = [bare(text) for text in texts]
    yield from dict.fromkeys(
        [*(host for host in hosts if "*" not in host), *(one for one in named if lets_in(hosts, one))]
    )
    if "*" in place.hosts:
        yield from named


def _unmet_host(want: StringMatch, host: str, place: Place) -> str:
    """The Host header that clients send, if it does not meet the condition that the host alone meets; else empty."""
    usual = authority_of(host, place.scheme, place.port)
    other = host if usual != host else f"{host}:{place.port}"
    return usual if text_matches(want, other) and not text_matches(want, usual) else ""


def _never_sent(want: StringMatch, sent: Mapping[Place, str], location: Location) -> Finding:
    words = " and ".join(f"Host: {usual} at {place}" for place, usual in sent.items())
    usual = next(iter(sent.values()))
    has_port = usual != bare(usual)
    forbids = "withoutHeaders" in location
    host = re.escape(bare(usual)).replace(r"\-", "-")
    pattern = f"{host}(:{usual.rpartition(':')[2]})?"
    return Finding(
        location,
        f"clients send {words}, which this does not {'forbid' if forbids else 'match'}",
        "the Host header as clients send it: with the port, unless it is 80 for http or 443 for https",
        (f"write {{regex: '{pattern}'}}, for it with the port and without" if has_port else f"write {{exact: {usual}}}")
        + "; none needed if clients use another port, which is forwarded to this one",
        shown(want.model_dump(exclude_none=True)),
    )


def _patterns(service: Service) -> list[tuple[Location, str, tuple[str, ...]]]:
    """The hosts of the service's authorization: where each is, and all that the same rule has."""
    policy = service.routing.authorization
    return (
        [
            ((*service.location, "authorization", key, index, "hosts", number), pattern, rule.hosts)
            for key, rules in (("allow", policy.allow), ("deny", policy.deny))
            for index, rule in enumerate(rules or ())
            for number, pattern in enumerate(rule.hosts)
        ]
        if policy
        else []
    )


def _unmet_by_policies(service: Service, found: list[Place]) -> Iterator[Finding]:
    """Hosts of the authorization that the sidecar compares with the Host header (istiod: matcher.HostMatcher)."""
    if any(rule.rewrite and rule.rewrite.authority for rule in service.routing.route):
        return
    for location, pattern, others in _patterns(service):
        host = pattern.replace("*", "any", 1)
        sent = {place: authority_of(host, place.scheme, place.port) for place in found if lets_in(place.hosts, host)}
        unmet = {place: usual for place, usual in sent.items() if not any(_fits(one, usual) for one in others)}
        if not unmet or pattern.endswith("*"):
            continue
        words = " and ".join(f"Host: {usual} at {place}" for place, usual in unmet.items())
        port = next(iter(unmet)).port
        yield Finding(
            location,
            f"clients send {words}, which this does not {'deny' if 'deny' in location else 'allow'}",
            "the Host header as clients send it: with the port, unless it is 80 for http or 443 for https",
            f'add "{pattern}:{port}"; none needed if clients use another port, which is forwarded to this one',
            shown(pattern),
        )


def _fits(pattern: str, host: str) -> bool:
    """Whether a host is as the pattern, which may begin or end with `*`."""
    pattern = pattern.lower()
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return host.startswith(pattern[:-1]) if pattern.endswith("*") else host == pattern


def redirected_to(redirect: Redirect, place: Place, host: str, path: str = "/") -> SplitResult | None:
    """Return the URL to which a request for `host` is redirected at a place, None if the host cannot be sent."""
    if place.scheme not in DEFAULT_PORTS:  # there are no requests to redirect
        return None
    caller = Caller("default") if place.gateway == MESH else None
    authority = authority_of(host, place.scheme, place.port)
    seen = Request(path=path, authority=authority, scheme=place.scheme, port=place.port, caller=caller).seen
    return None if seen is None else urlsplit(location_after(redirect, None, seen))


def port_of(url: SplitResult) -> int:
    """Return the port that clients connect to for a URL."""
    return url.port or DEFAULT_PORTS[url.scheme]


def _to_wrong_port(
    service: Service, rule: Rule, found: list[Place], at_gateway: Schemes, location: Location
) -> Iterator[Finding]:
    if rule.redirect is None:
        return
    for place in found:
        if not any(holds_at(match, place) for match in rule.match or (EVERY_REQUEST,)):
            continue
        schemes = at_gateway if place.gateway != MESH else {place.port: "http"}
        if place.gateway == MESH and service.routing.speaks_tls:
            continue
        host = next((host.replace("*", "any", 1) for host in place.hosts if host != "*"), "any-host.example")
        url = redirected_to(rule.redirect, place, host)
        if url is None or not lets_in(place.hosts, url.netloc):
            continue
        speaks = schemes.get(port_of(url))
        key = next((name for name in ("scheme", "port", "authority") if getattr(rule.redirect, name)), "uri")
        to = f"a request for {host} at {place} is redirected to {url.scheme}://{url.netloc}"
        given = shown(rule.redirect.model_dump(by_alias=True, exclude_defaults=True))
        if speaks not in (None, url.scheme):
            kept = ": Envoy keeps the port of the Host header" if port_of(url) == place.port else ""
            yield Finding(
                (*location, "redirect", key),
                f"{to}{kept}, and that port speaks {'HTTPS' if speaks == 'https' else 'HTTP'}",
                f"a redirect to a port that speaks {url.scheme.upper()}",
                _other_port(rule.redirect, url, schemes, bare(url.netloc)),
                given,
            )
            return
        if speaks is None and rule.redirect.port is None and url.port is None and url.scheme == place.scheme:
            yield Finding(
                (*location, "redirect", key),
                f"{to}, and so to port {port_of(url)}, where the host is not served",
                f"a redirect to a port where the host is served, such as {place.port}",
                f"add port: {place.port}; none needed if clients use port {port_of(url)}, which is forwarded to it",
                given,
            )
            return


def _other_port(redirect: Redirect, url: SplitResult, schemes: Schemes, host: str) -> str:
    if redirect.scheme is None:
        return f"add scheme: {schemes[port_of(url)]}"
    ports = [port for port, scheme in schemes.items() if scheme == url.scheme]
    default = DEFAULT_PORTS[url.scheme]
    if ports and default not in ports:
        return f"add port: {min(ports)}"
    return (
        f"add authority: {host}, which leads to port {default}, in a rule for each host; `port: {default}` would not, "
        "since Istio leaves out a scheme's own port, and then the old one is kept"
    )
