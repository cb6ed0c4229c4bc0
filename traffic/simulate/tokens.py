"""Tokens at a gateway: which requests it answers 401, and the claims of those that it accepts (Envoy: JWT
Authentication filter, as istiod programs it for RequestAuthentication; measured).

Signatures are not verified: that needs the issuer's keys. What is decided is right for tokens that the issuer signed.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic.model import JwtRule, RouteTable, claim_path
from traffic.model.claims import ISSUER, TEXT_LISTS
from traffic.simulate.request import Seen

BEARER = "Bearer "
USUAL_HEADER, USUAL_PARAMETER = "authorization", "access_token"
"""Where Envoy looks for a token if the rule names no place."""

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class TokenRefused:
    """Why the gateway answers 401, in Envoy's words."""

    reason: str


def rules_at_gateway(routes: RouteTable) -> tuple[JwtRule, ...]:
    """Return the rules by which the gateway validates tokens: none if no route looks at claims.

    If one does, those of all: a token of an issuer that the gateway does not know gets 401. `routes` are the
    services at the gateway.
    """
    if not any(match.claims for service in routes.values() for rule in service.route for match in rule.match):
        return ()
    return tuple(rule for service in routes.values() for rule in service.jwt)


def accepted_claims(seen: Seen, rules: Sequence[JwtRule]) -> Claims | TokenRefused | None:
    """Return the claims of the request's token, None if it has none that the rules look for."""
    if not rules or _is_preflight(seen):
        return None
    given = [(rule, token) for rule in rules for token in _tokens(seen, rule)]
    if not given:
        return None
    reasons = []
    for rule, token in given:
        claims = _read(token)
        refused = "Jwt is not in the form of Header.Payload.Signature" if claims is None else _refusal(claims, rule)
        if claims is not None and refused is None:
            return claims
        reasons.append(refused or "")
    # Of several reasons, that of the issuer's own rule says most.
    return TokenRefused(min(reasons, key=lambda reason: reason == UNKNOWN_ISSUER))


UNKNOWN_ISSUER = "Jwt issuer is not configured"


def of_issuers(claims: Claims | None, jwt: Sequence[JwtRule]) -> Claims | None:
    """Return the claims if the token is of one of a service's issuers; those without an issuer are taken as such."""
    if claims is None or claims.get(ISSUER, jwt[0].issuer if jwt else None) not in [rule.issuer for rule in jwt]:
        return None
    return claims


def texts_of(claims: Claims | None, name: str) -> tuple[str, ...] | None:
    """Return the texts of a claim that Envoy compares, None if it has none: numbers and truth values do not count."""
    value: Any = claims
    for part in claim_path(name):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        split = name in TEXT_LISTS and " " in value
        return tuple(value.split(" ")) if split else (value,)
    texts = tuple(one for one in value if isinstance(one, str)) if isinstance(value, (list, tuple)) else ()
    return texts or None


def with_claim(claims: Claims, name: str, values: Sequence[str]) -> dict[str, Any]:
    """Return the claims with one more, which is a list if there are several values."""
    first, *rest = claim_path(name)
    inner = claims.get(first)
    value: Any = list(values) if len(values) > 1 else values[0]
    for part in reversed(rest[1:]):
        value = {part: value}
    if rest:
        value = {**(inner if isinstance(inner, Mapping) else {}), rest[0]: value}
    return {**claims, first: value}


def _is_preflight(seen: Seen) -> bool:
    asked = (seen.headers.get(name, ("",))[0] for name in ("origin", "access-control-request-method"))
    return seen.method == "OPTIONS" and all(asked)


def _tokens(seen: Seen, rule: JwtRule) -> Iterator[str]:
    usual = not rule.from_headers and not rule.from_params
    headers = [(header.name, header.prefix or "") for header in rule.from_headers]
    for name, prefix in [(USUAL_HEADER, BEARER)] if usual else headers:
        yield from (value[len(prefix) :] for value in seen.headers.get(name, ()) if value.startswith(prefix))
    for name in (USUAL_PARAMETER,) if usual else rule.from_params:
        yield from (seen.params[name],) if seen.params.get(name) else ()


def _read(token: str) -> Claims | None:
    parts = token.split(".")
    try:
        if len(parts) != 3:
            return None
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _refusal(claims: Claims, rule: JwtRule) -> str | None:
    if claims.get(ISSUER) != rule.issuer:
        return UNKNOWN_ISSUER
    now = time.time()
    if isinstance(claims.get("exp"), (int, float)) and claims["exp"] < now:
        return "Jwt is expired"
    if isinstance(claims.get("nbf"), (int, float)) and claims["nbf"] > now:
        return "Jwt not yet valid"
    given = claims.get("aud")
    audiences = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if rule.audiences and not set(audiences) & set(rule.audiences):
        return "Audiences in Jwt are not allowed"
    return None
