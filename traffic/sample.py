"""A request that meets exactly one rule of a route: what is sent through the gateway to measure that rule."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from traffic.model import Match, Route, StringMatch
from traffic.reach import covered_by
from traffic.simulate import Request, rule_for, text_matches

TRIES = 500
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class NoSample:
    """No request was found for a rule, and why."""

    reason: str


def sample_request(route: Route, index: int, *, authority: str = "", seed: int = 0) -> Request | NoSample:
    """Return a request for `authority` that meets the rule at `index` and none before it.

    The simplest is tried first (GET /, only the headers that are asked for), then random ones from `seed`, so that
    the same route gives the same request. Each is checked by the simulator, and can go over the wire as it is.
    """
    cover = covered_by(route, index)
    if cover is not None:
        return NoSample(f"rule {cover + 1} takes every request that rule {index + 1} asks for")
    # Not for secrets: a fixed seed makes the same choice every time.
    rng = random.Random(seed)  # noqa: S311
    matches = route[index].match or (Match.model_construct(),)
    earlier = [match for rule in route[:index] for match in rule.match]
    try:
        for attempt in range(TRIES):
            match = matches[attempt % len(matches)]
            request = _candidate(match, earlier, authority, rng, plain=attempt < len(matches))
            if _can_be_sent(request) and rule_for(route, request) == index:
                return request
    except re.error as error:
        return NoSample(f"no value can be made up for a regular expression of rule {index + 1}: {error}")
    return NoSample(f"{TRIES} requests were tried and none meets rule {index + 1} and no rule before it")


def _candidate(match: Match, earlier: Iterable[Match], authority: str, rng: random.Random, plain: bool) -> Request:
    headers = {} if plain else _extra_headers([*earlier, match], rng)
    headers |= {name: _text(want, rng, plain) for name, want in match.headers.items()}
    paths = ["/"] if plain else ["/", f"/{_token(rng)}"]
    path = _text(match.uri, rng, plain) if match.uri else rng.choice(paths)
    return Request(headers=headers, path=path, method=_method(match, rng, plain), authority=authority)


def _extra_headers(matches: Iterable[Match], rng: random.Random) -> dict[str, str]:
    """Headers that a rule forbids: with some value, a rule before this one may be got past."""
    headers: dict[str, str] = {}
    for match in matches:
        for name, want in match.without_headers.items():
            choice = rng.randrange(3)
            if choice:
                headers[name] = _token(rng) if choice == 1 else _text(want, rng, plain=False)
    return headers


def _text(want: StringMatch, rng: random.Random, plain: bool) -> str:
    if want.exact is not None:
        return want.exact
    if want.prefix is not None:
        return want.prefix if plain else f"{want.prefix}{_token(rng)}"
    if want.regex is not None:
        return _from_regex(want.regex, rng)
    return "any" if plain else _token(rng)


def _from_regex(pattern: str, rng: random.Random) -> str:
    """A text for the pattern, as far as Python reads it as RE2 does; the simulator decides whether it fits."""
    import rstr

    text = str(rstr.Rstr(rng).xeger(pattern))
    # `.` and negated classes give control characters too, which no header may hold.
    return re.sub(r"[^\x20-\x7e]", "x", text)


def _method(match: Match, rng: random.Random, plain: bool) -> str:
    fitting = [method for method in METHODS if match.method is None or text_matches(match.method, method)]
    if not fitting:
        return _text(match.method, rng, plain) if match.method else METHODS[0]
    return fitting[0] if plain else rng.choice(fitting)


def _token(rng: random.Random) -> str:
    return "".join(rng.choices(LETTERS, k=6))


def _can_be_sent(request: Request) -> bool:
    """Whether HTTP clients and Envoy pass the request on unchanged (no path that Envoy would normalise)."""
    return (
        SAFE_PATH.fullmatch(request.path) is not None
        and not re.search(r"/\.{1,2}(/|$)|//", request.path)
        and re.fullmatch(r"[A-Z]+", request.method) is not None
        and _are_values(dict(request.pairs))
    )


def _are_values(headers: Mapping[str, str]) -> bool:
    return all(re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value) for value in headers.values())
