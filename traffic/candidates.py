"""Requests that may meet given matches. The simulator decides whether they do."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from traffic.model import MESH, Match, StringMatch
from traffic.simulate import Caller, Request, authority_of, text_matches
from traffic.simulate.tokens import with_claim

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ANY_NAMESPACE = "default"


def candidate(
    wanted: Sequence[Match], avoided: Iterable[Match], at: Request, rng: random.Random, plain: bool
) -> Request:
    """Return a request at the gateway, port and host of `at` that may meet all of `wanted` and none of `avoided`.

    Its path is that of `at`, unless `wanted` requires another. A `plain` request has only what is required; others fill
    in the rest at random. No header is repeated. Raises `re.error` if Python cannot parse an RE2 regular expression.
    """
    headers = {} if plain else _forbidden([*avoided, *wanted], rng)
    for name in dict.fromkeys(name for match in wanted for name in match.headers):
        headers[name] = text([match.headers[name] for match in wanted if name in match.headers], rng, plain)
    cookies = _cookies(wanted, rng, plain)
    if cookies:
        headers["cookie"] = "; ".join([headers["cookie"], cookies] if "cookie" in headers else [cookies])
    paths = [at.path] if plain else [at.path, f"/{token(rng)}"]
    uris = [match.uri for match in sorted(wanted, key=lambda match: match.ignore_uri_case) if match.uri]
    path = text(uris, rng, plain) if uris else rng.choice(paths)
    schemes = [match.scheme.exact for match in wanted if match.scheme and match.scheme.exact]
    return Request(
        headers=headers,
        path=path + _query(wanted, rng, plain),
        method=_method([match.method for match in wanted if match.method], rng, plain),
        authority=_authority([match.authority for match in wanted if match.authority], at, rng, plain),
        scheme=at.scheme if at.port else next(iter(schemes), at.scheme),
        port=at.port or next((match.port for match in wanted if match.port), None),
        gateway=at.gateway,
        caller=at.caller,
        claims=_claims(wanted, rng, plain),
        deployment=at.deployment,
    )


def place(wanted: Sequence[Match]) -> Request | None:
    """Return a request with only the gateway or caller that all of `wanted` require, or None if they contradict."""
    named = [set(match.gateways) for match in wanted if match.gateways]
    common = set.intersection(*named) if named else None
    labels = {key: value for match in wanted for key, value in match.source_labels.items()}
    namespaces = {match.source_namespace for match in wanted if match.source_namespace}
    inside = bool(labels or namespaces) or common == {MESH}
    if len(namespaces) > 1 or common == set() or (inside and common is not None and MESH not in common):
        return None
    if inside:
        return Request(caller=Caller(next(iter(namespaces), ANY_NAMESPACE), labels))
    return Request(gateway=min(common - {MESH}) if common else None)


def text(wants: Sequence[StringMatch], rng: random.Random, plain: bool) -> str:
    """Return a text that may satisfy all of `wants`."""
    exact = next((want.exact for want in wants if want.exact is not None), None)
    if exact is not None:
        return exact
    patterns = [want.regex for want in wants if want.regex is not None]
    prefix = max((want.prefix for want in wants if want.prefix is not None), key=len, default=None)
    if patterns and (prefix is None or not plain):
        # Two expressions that search within a text may both match their concatenation.
        chosen = rng.sample(patterns, rng.randint(1, len(patterns)))
        return "".join(_from_regex(pattern, rng) for pattern in chosen)
    if prefix is not None:
        return prefix if plain else f"{prefix}{token(rng)}"
    return "any" if plain else token(rng)


def token(rng: random.Random) -> str:
    """Return six letters and digits."""
    return "".join(rng.choices(LETTERS, k=6))


def _from_regex(pattern: str, rng: random.Random) -> str:
    """A text for the pattern, as far as Python and RE2 agree on it."""
    import rstr

    made = str(rstr.Rstr(cast(random.Random, _InOrder(rng))).xeger(pattern))
    # `.` and negated classes also produce control characters, which headers must not contain.
    return re.sub(r"[^\x20-\x7e]", "x", made)


class _InOrder:
    """A source of random choices from characters in their order: of a negated class, rstr chooses from a set of them,
    whose order is another one in each process."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rng, name)

    def choice(self, choices: Sequence[Any]) -> Any:
        """Return one of them."""
        are_texts = isinstance(choices, list) and all(isinstance(one, str) for one in choices)
        return self._rng.choice(sorted(choices) if are_texts else choices)


def _forbidden(matches: Iterable[Match], rng: random.Random) -> dict[str, str]:
    """Headers that rules forbid: a value for them can keep an earlier rule from matching."""
    headers: dict[str, str] = {}
    for match in matches:
        for name, want in match.without_headers.items():
            choice = rng.randrange(3)
            if choice:
                headers[name] = token(rng) if choice == 1 else text([want], rng, plain=False)
    return headers


def _cookies(wanted: Sequence[Match], rng: random.Random, plain: bool) -> str:
    names = dict.fromkeys(name for match in wanted for name in match.cookies)
    values = {
        name: text([match.cookies[name] for match in wanted if name in match.cookies], rng, plain) for name in names
    }
    return "; ".join(f"{name}={value}" for name, value in values.items())


def _claims(wanted: Sequence[Match], rng: random.Random, plain: bool) -> dict[str, Any] | None:
    """Claims with a text for each match that looks at one."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for match in wanted for name in match.claims):
        values = [text([match.claims[name]], rng, plain) for match in wanted if name in match.claims]
        found = with_claim(found, name, list(dict.fromkeys(values)))
    return found or None


def _query(wanted: Sequence[Match], rng: random.Random, plain: bool) -> str:
    names = dict.fromkeys(name for match in wanted for name in match.query_params)
    params = {
        name: text([match.query_params[name] for match in wanted if name in match.query_params], rng, plain)
        for name in names
    }
    return f"?{'&'.join(f'{name}={value}' for name, value in params.items())}" if params else ""


def _method(wants: Sequence[StringMatch], rng: random.Random, plain: bool) -> str:
    fitting = [method for method in METHODS if all(text_matches(want, method) for want in wants)]
    if not fitting:
        return text(wants, rng, plain)
    return fitting[0] if plain else rng.choice(fitting)


def _authority(wants: Sequence[StringMatch], at: Request, rng: random.Random, plain: bool) -> str:
    """The host as clients send it, or in another spelling that Envoy treats as the same host."""
    usual = authority_of(at.authority, at.scheme, at.asked_port) if at.authority else ""
    others = [at.authority, f"{at.authority}:{at.asked_port}", at.authority.upper()] if at.authority else []
    spellings = list(dict.fromkeys([usual, *others]))
    fitting = [spelling for spelling in spellings if all(text_matches(want, spelling) for want in wants)]
    if wants and (not fitting or not at.authority):
        return text(wants, rng, plain)
    return fitting[0] if plain else rng.choice(fitting)
