"""Claims of validated tokens as conditions of a match, which Istio has only at gateways (Istio: "JWT claim based
routing").
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from traffic.fields import wrong

CLAIM = r"[-\w:@]+(\.[-\w:@]+)*|(\[[^\[\]]+\])+"
"""Names with dots between them, or each in brackets, which may then have any characters but brackets."""
HEADER = "@request.auth.claims"
"""How Istio's header matches begin that are about claims."""
ISSUER = "iss"
TEXT_LISTS = ("scope", "permission")
"""Claims that istiod makes Envoy split at spaces."""


def claim_path(name: str) -> tuple[str, ...]:
    """Return the names that lead to a claim: `realm.roles` and `[realm][roles]` are the claim roles in realm."""
    return tuple(name[1:-1].split("][")) if name.startswith("[") else tuple(name.split("."))


def claim_header(name: str) -> str:
    """Return Istio's name of a header match for a claim; in brackets, since a name may have dots."""
    return HEADER + "".join(f"[{part}]" for part in claim_path(name))


def _claim(value: str) -> str:
    bare = value.removeprefix(HEADER).removeprefix(".")
    if re.fullmatch(CLAIM, value) and not value.startswith("@request.auth"):
        return value
    whole = re.fullmatch(r"[^\[\]]+", bare)
    raise wrong(
        f"{value!r} is not the name of a claim",
        "a claim, such as groups; realm.roles for one in another; [https://id.example.com/groups] for one with other "
        "characters",
        f"write {bare}" if re.fullmatch(CLAIM, bare) else f"write '[{bare}]'" if whole else "write groups, for example",
    )


IN_HEADERS = re.compile(r"@request\.auth\.claims(?=[.\[])\.?", re.IGNORECASE)
"""How a claim is written among the headers of a match in Istio's notation."""


def without_claims(match: Any) -> Any:
    """Return the values of a match with claims that are written as Istio's headers under `claims` instead."""
    headers = match.get("headers") if isinstance(match, dict) else None
    claims = match.get("claims", {}) if headers else None
    if not isinstance(headers, dict) or not isinstance(claims, dict):
        return match
    named = {key: IN_HEADERS.sub("", key) for key in headers if isinstance(key, str) and IN_HEADERS.match(key)}
    moved = {key: name for key, name in named.items() if name not in claims}
    if not moved:
        return match
    rest = {key: value for key, value in headers.items() if key not in moved}
    found = {**match, "claims": {**claims, **{name: headers[key] for key, name in moved.items()}}, "headers": rest}
    return found if rest else {key: value for key, value in found.items() if key != "headers"}


ClaimName = Annotated[str, AfterValidator(_claim), WithJsonSchema({"type": "string", "pattern": f"^({CLAIM})$"})]
