"""Conditions on claims as Istio's header matches, and the validation of tokens that they need at the gateway
(Istio: "JWT claim based routing").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from traffic.model import JwtRule, Match, StringMatch, claim_header, claim_path
from traffic.model.claims import ISSUER
from traffic.render.spec import Spec, non_default_fields, string_match

ANY_TEXT = ".*"
"""Any text. Istio's own way to say that a header is present makes Envoy refuse the whole configuration here."""


def claim_matches(match: Match, jwt: Sequence[JwtRule]) -> dict[str, Spec]:
    """Return the header matches for the claims of a match, with the service's issuers.

    Other services validate tokens of their issuers at the same gateway: those must not meet the match.
    """
    if not match.claims:
        return {}
    found = {claim_header(name): _comparison(want) for name, want in match.claims.items()}
    if all(claim_path(name) != (ISSUER,) for name in match.claims):
        found[claim_header(ISSUER)] = _issuers([rule.issuer for rule in jwt])
    return found


def gateway_request_authentication(jwt: Sequence[JwtRule], selector: Mapping[str, str]) -> Spec:
    """Return the spec of the RequestAuthentication that validates tokens at the gateway's pods.

    The token is always forwarded: the service's pods validate it again, and there its own setting decides.
    """
    return {
        "selector": {"matchLabels": dict(sorted(selector.items()))},
        "jwtRules": [{**non_default_fields(rule), "forwardOriginalToken": True} for rule in jwt],
    }


def _comparison(want: StringMatch) -> Spec:
    return {"regex": ANY_TEXT} if want.present else string_match(want)


def _issuers(issuers: Sequence[str]) -> Spec:
    return {"exact": issuers[0]} if len(issuers) == 1 else {"regex": "|".join(map(re.escape, issuers))}
