"""Random route tables, with every part of the model that affects where a request goes or how it is answered.

They are generated as settings of a stack's file (`services:`), so that a counterexample can be read and kept.
"""

from __future__ import annotations

from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.differential import vocabulary as words
from tests.differential.place import (
    CALLERS,
    DOMAIN,
    MORE_PORT,
    OWN_PORT,
    PORTS,
    PUBLIC,
    UPSTREAMS,
)
from traffic.model import MESH, own_gateway

Settings = dict[str, Any]
T = TypeVar("T")

HOSTS = (
    [f"shop.{DOMAIN}"], [f"shop.{DOMAIN}", f"www.{DOMAIN}"], [f"*.{DOMAIN}"], [f"*.api.{DOMAIN}", f"api.{DOMAIN}"],
    [f"eu.api.{DOMAIN}"], [f"users.{DOMAIN}"],
)  # fmt: skip
MARK = "x-rule"
"""Response header in which most rules give their number."""


def often(strategy: st.SearchStrategy[Any], of: int) -> st.SearchStrategy[Any]:
    """The strategy in one of `of` cases, otherwise None."""
    return st.integers(1, of).flatmap(lambda number: strategy if number == of else st.none())


def mostly(usual: st.SearchStrategy[T], other: st.SearchStrategy[T], of: int) -> st.SearchStrategy[T]:
    """The usual strategy, and in one of `of` cases the other."""
    return st.sampled_from([usual] * (of - 1) + [other]).flatmap(lambda chosen: chosen)


def _without_none(settings: Settings) -> Settings:
    return {key: value for key, value in settings.items() if value not in (None, {}, [])}


def text_match(values: tuple[str, ...], regexes: tuple[str, ...], present: bool = False) -> st.SearchStrategy[Settings]:
    """A match of a text: exact, prefix, regex, and present if allowed."""
    texts = st.sampled_from([value for value in values if value])
    ways: list[st.SearchStrategy[Settings]] = [
        texts.map(lambda text: {"exact": text}),
        texts.flatmap(lambda text: st.integers(1, len(text)).map(lambda length: {"prefix": text[:length]})),
        st.sampled_from([regex for regex in regexes if regex]).map(lambda regex: {"regex": regex}),
    ]
    return st.one_of(*ways, st.just({"present": True})) if present else st.one_of(*ways)


HEADER = text_match(words.VALUES, words.VALUE_REGEXES, present=True)
METHOD = st.one_of(
    st.sampled_from(words.METHODS).map(lambda method: {"exact": method}),
    st.sampled_from(("P", "PU", "G")).map(lambda prefix: {"prefix": prefix}),
    st.sampled_from(words.METHOD_REGEXES).map(lambda regex: {"regex": regex}),
)


COOKIE = text_match(words.COOKIE_VALUES, ("ann.*", "anna|otto", "[^;]*"), present=True)
PARAMETER = text_match(words.PARAMETER_VALUES, words.PARAMETER_REGEXES, present=True)


def _by_name(names: tuple[str, ...], values: st.SearchStrategy[Settings], most: int) -> st.SearchStrategy[Settings]:
    return st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=most)


STICKY_COOKIE = "website-version"


CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    "headers": _by_name(words.HEADERS, HEADER, 2),
    "uri": text_match(words.PATHS, words.PATH_REGEXES),
    "withoutHeaders": _by_name(words.HEADERS, HEADER, 2),
    "cookies": _by_name(words.COOKIES, COOKIE, 2),
    "method": METHOD,
    "authority": text_match(words.AUTHORITIES, words.AUTHORITY_REGEXES),
    "scheme": st.sampled_from(({"exact": "http"}, {"exact": "https"})),
    "queryParams": _by_name(words.PARAMETERS, PARAMETER, 2),
    "port": st.sampled_from((*PORTS, *PORTS, MORE_PORT)),
}
KINDS = st.sampled_from(("headers", "headers", "uri", "uri", "uri", *CONDITIONS, "source", "gateways"))


@st.composite
def matches(draw: st.DrawFn, gateways: list[str]) -> Settings:
    """A match with one to three conditions, for a rule of a service that is bound to `gateways`."""
    match: Settings = {}
    for kind in draw(st.lists(KINDS, min_size=1, max_size=3, unique=True)):
        if kind == "gateways":
            match[kind] = draw(st.lists(st.sampled_from(gateways), min_size=1, max_size=2, unique=True))
        elif kind == "source":
            match |= draw(_source()) if MESH in gateways else {"method": draw(METHOD)}
        else:
            match[kind] = draw(CONDITIONS[kind])
    if "gateways" in match:
        match = {key: value for key, value in match.items() if not key.startswith("source")}
    if "regex" not in match.get("uri", {"regex": ""}) and draw(st.booleans()):
        match["ignoreUriCase"] = True
    return match


@st.composite
def _source(draw: st.DrawFn) -> Settings:
    caller = CALLERS[draw(st.sampled_from(sorted(CALLERS)))]
    labels = draw(st.lists(st.sampled_from(sorted(caller.labels.items())), max_size=2, unique=True))
    namespace = draw(st.sampled_from((None, caller.namespace, "default")))
    return _without_none({"sourceLabels": dict(labels), "sourceNamespace": namespace}) or {
        "sourceLabels": caller.labels
    }


CHANGES = st.dictionaries(st.sampled_from(words.CHANGED), st.sampled_from(words.CHANGES), max_size=2)
OPERATIONS = st.fixed_dictionaries(
    {"set": CHANGES, "add": CHANGES, "remove": st.lists(st.sampled_from(words.CHANGED), max_size=1)}
).map(_without_none)
REDIRECT = st.fixed_dictionaries(
    {
        "uri": often(st.sampled_from(words.REWRITES), 2),
        "authority": often(st.sampled_from(("other.test", f"www.{DOMAIN}")), 2),
        "scheme": often(st.sampled_from(("http", "https")), 3),
        "port": often(st.sampled_from((80, 443, 8443)), 4),
        "redirectCode": often(st.sampled_from((301, 302, 303, 307, 308)), 2),
    }
).map(lambda redirect: _without_none(redirect) if set(_without_none(redirect)) - {"redirectCode"} else {"uri": "/"})
DIRECT = st.fixed_dictionaries(
    {"status": st.sampled_from((200, 204, 404, 418, 503)), "body": often(st.sampled_from(words.BODIES), 2)}
).map(_without_none)
REWRITE = st.one_of(
    st.sampled_from(words.REWRITES).map(lambda uri: {"uri": uri}),
    st.sampled_from(words.REGEX_REWRITES).map(lambda rewrite: {"uriRegexRewrite": dict(rewrite)}),
    st.just({"authority": "inside.test"}),
    st.sampled_from(words.REWRITES).map(lambda uri: {"uri": uri, "authority": "inside.test"}),
)
RETRIES = st.one_of(
    st.just({"attempts": 0}),
    st.fixed_dictionaries(
        {
            "attempts": st.integers(1, 3),
            "retryOn": often(
                st.sampled_from(("5xx", "gateway-error", "503", "retriable-4xx", "connect-failure", "500,503")), 2
            ),
            "backoff": st.just("1ms"),
        }
    ).map(_without_none),
)
ALL_OR_NOTHING = st.sampled_from((0, 100))
FAULT = st.one_of(
    st.tuples(st.sampled_from((400, 503, 200)), ALL_OR_NOTHING).map(
        lambda abort: {"abort": {"httpStatus": abort[0], "percentage": {"value": abort[1]}}}
    ),
    ALL_OR_NOTHING.map(lambda share: {"delay": {"fixedDelay": "100ms", "percentage": {"value": share}}}),
)
CORS = st.fixed_dictionaries(
    {
        "allowOrigins": st.lists(st.sampled_from(words.ORIGIN_MATCHES), min_size=1, max_size=2, unique_by=str),
        "allowMethods": st.lists(st.sampled_from(("GET", "POST")), max_size=2, unique=True),
        "allowHeaders": st.lists(st.sampled_from(("x-user", "x-tier")), max_size=2, unique=True),
        "exposeHeaders": st.lists(st.just("x-color"), max_size=1),
        "maxAge": often(st.sampled_from(("1m", "24h")), 2),
        "allowCredentials": often(st.booleans(), 2),
        "unmatchedPreflights": often(st.sampled_from(("FORWARD", "IGNORE")), 2),
    }
).map(_without_none)


def destinations(service: str, services: list[str]) -> st.SearchStrategy[str]:
    """A version of the service, or now and then of another one of the table."""
    names = [(other, version) for other in services for version in UPSTREAMS[other].versions]
    own = [version for other, version in names if other == service]
    others = [f"{other}/{version}" for other, version in names if other != service]
    return mostly(st.sampled_from(own), st.sampled_from(others or own), 4)


SHARES: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((100,),),
    2: ((90, 10), (50, 50), (100, 0), (99.5, 0.5), (0.0001, 99.9999), (995, 5)),
    3: ((60, 30, 10), (50, 0, 50), (33.3333, 33.3334, 33.3333), (0, 0, 1000)),
}
"""Percentages, or whole numbers that sum to a greater power of ten, by the number of destinations."""
OF_SHARES = st.dictionaries(st.sampled_from(words.CHANGED_BY_SHARES), st.sampled_from(words.CHANGES), max_size=2)
HEADERS_OF_SHARES = st.fixed_dictionaries(
    {
        side: st.fixed_dictionaries(
            {
                "set": OF_SHARES,
                "add": OF_SHARES,
                "remove": st.lists(st.sampled_from(words.CHANGED_BY_SHARES), max_size=1),
            }
        ).map(_without_none)
        for side in ("request", "response")
    }
).map(_without_none)


@st.composite
def weights(draw: st.DrawFn, service: str, services: list[str]) -> Settings:
    """Shares of one to three destinations, some of which change headers by themselves."""
    chosen = draw(st.lists(destinations(service, services), min_size=1, max_size=3, unique=True))
    shares = draw(st.sampled_from(SHARES[len(chosen)]))
    headers = [draw(often(HEADERS_OF_SHARES, 3)) for _ in chosen]
    return {
        name: share if own is None else {"weight": share, "headers": own}
        for name, share, own in zip(chosen, shares, headers, strict=True)
    }


@st.composite
def rules(draw: st.DrawFn, service: str, services: list[str], gateways: list[str], number: int) -> Settings:
    """One rule; nearly all name themselves in the answer."""
    rule: Settings = {"match": draw(st.lists(matches(gateways), min_size=1, max_size=3))}
    end = draw(st.sampled_from(("one", "one", "one", "weights", "weights", "redirect", "direct")))
    if end == "redirect":
        rule["redirect"] = draw(REDIRECT)
        if draw(st.integers(1, 3)) == 1:
            rule |= draw(_keeping_the_rest(rule))
    elif end == "direct":
        rule["directResponse"] = draw(DIRECT)
    else:
        rule |= draw(_on_the_way(service, services, weighted=end == "weights"))
        if isinstance(rule["to"], dict) and all(_fits_sticky(match) for match in rule["match"] or ()):
            rule["sticky"] = draw(often(st.just({"cookie": STICKY_COOKIE, "ttl": "1h"}), 2))
    request = draw(often(OPERATIONS, 3)) if "to" in rule else None
    response = dict(draw(often(OPERATIONS, 3)) or {})
    if draw(st.integers(0, 9)):
        response["set"] = {**response.get("set", {}), MARK: str(number)}
    rule["headers"] = _without_none({"request": request, "response": response})
    rule["corsPolicy"] = draw(often(CORS, 6))
    return _without_none(rule)


@st.composite
def _keeping_the_rest(draw: st.DrawFn, rule: Settings) -> Settings:
    """The rule with a redirect that replaces the prefix of the path alone; every match compares one."""
    prefixes = st.sampled_from([path for path in words.PATHS if path])
    redirect = {key: value for key, value in rule["redirect"].items() if key != "uri"}
    return {
        "match": [{**match, "uri": {"prefix": draw(prefixes)}} for match in rule["match"]],
        "redirect": {**redirect, "prefixRewrite": draw(st.sampled_from(words.REWRITES))},
    }


@st.composite
def _on_the_way(draw: st.DrawFn, service: str, services: list[str], weighted: bool) -> Settings:
    versions = destinations(service, services)
    return {
        "to": draw(weights(service, services)) if weighted else draw(versions),
        "rewrite": draw(often(REWRITE, 4)),
        "timeout": draw(often(st.sampled_from(("5s", "1m", "1s")), 6)),
        "retries": draw(often(RETRIES, 5)),
        "fault": draw(often(FAULT, 8)),
        "mirrors": draw(
            often(
                st.tuples(versions, ALL_OR_NOTHING).map(
                    lambda mirror: [{"to": mirror[0], "percentage": {"value": mirror[1]}}]
                ),
                6,
            )
        ),
    }


def _fits_sticky(match: Settings) -> bool:
    """Whether a match may be beside a sticky cookie."""
    return STICKY_COOKIE not in match.get("cookies", {}) and "cookie" not in match.get("headers", {})


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Settings]:
    """A route table of one to three services with disjoint hosts."""
    services = draw(st.lists(st.sampled_from(sorted(UPSTREAMS)), min_size=1, max_size=3, unique=True))
    hosts = draw(st.lists(st.sampled_from(HOSTS), min_size=len(services), max_size=len(services), unique_by=str))
    return {
        name: draw(_services(name, services, claimed)) for name, claimed in zip(services, _disjoint(hosts), strict=True)
    }


def _disjoint(hosts: list[list[str]]) -> list[list[str]]:
    """Leave each host to the first service that claims it: the drawn lists overlap."""
    taken: set[str] = set()
    found: list[list[str]] = []
    for claimed in hosts:
        own = [host for host in claimed if host not in taken] or [f"only{len(found)}.{DOMAIN}"]
        taken.update(own)
        found.append(own)
    return found


@st.composite
def _services(draw: st.DrawFn, name: str, services: list[str], hosts: list[str]) -> Settings:
    own = own_gateway(name)
    gateways = draw(st.sampled_from(([PUBLIC], [PUBLIC], [own], [PUBLIC, own], [PUBLIC, MESH], [own, MESH], [MESH])))
    count = draw(st.integers(1, 5))
    route = [draw(rules(name, services, gateways, number)) for number in range(1, count + 1)]
    if draw(st.booleans()):
        route[-1] = {key: value for key, value in route[-1].items() if key != "match"}
    return {
        "namespace": UPSTREAMS[name].namespace,
        "hosts": hosts,
        "gateways": gateways,
        "gatewayPort": OWN_PORT,
        "versions": {version: {} for version in UPSTREAMS[name].versions},
        **({"ports": [{"name": "http-more", "port": MORE_PORT}]} if UPSTREAMS[name].has_more_ports else {}),
        "route": route,
    }
