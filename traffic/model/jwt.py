"""JWTs that are validated at a service's pods (Istio: RequestAuthentication, JWTRule)."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import HeaderName, Model, Text, wrong

PUBLIC = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""Members of a public key, by key type (RFC 7518, RFC 8037)."""
JWKS_URI = r"https?://[-A-Za-z0-9._]+(:[0-9]{1,5})?(/[^\s#]*)?"


def _jwks_uri(value: str) -> str:
    if len(value) <= 2048 and re.fullmatch(JWKS_URI, value):
        return value
    raise wrong(
        f"{value!r} is not a URL that istiod can fetch",
        "a URL that begins with https:// or http://, of at most 2048 characters",
        "write https://accounts.example.com/.well-known/jwks.json, for example",
    )


def _jwks(value: str) -> str:
    allowed = 'JSON such as {"keys": [{"kty": "RSA", "n": "…", "e": "AQAB"}]} with public keys (RFC 7517)'
    fix = "copy the document that the issuer serves at its jwks_uri"
    try:
        given = json.loads(value)
    except ValueError as error:
        raise wrong(f"not valid JSON: {error}", allowed, fix) from None
    keys = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(keys, list) or not keys:
        raise wrong("`keys` is missing or empty", allowed, fix)
    for index, key in enumerate(keys):
        if _is_private(key):
            raise wrong(
                f"keys[{index}] is a private key: anyone who can read the config can issue tokens with it",
                allowed,
                "write only its public part, and rotate the key: it is exposed",
            )
        if not _is_public(key):
            raise wrong(f"keys[{index}] is not a public key of type {', '.join(PUBLIC)}", allowed, fix)
    return value


def _is_private(key: Any) -> bool:
    return isinstance(key, dict) and ("d" in key or "k" in key or key.get("kty") == "oct")


def _is_public(key: Any) -> bool:
    parts = PUBLIC.get(str(key.get("kty"))) if isinstance(key, dict) else None
    return parts is not None and all(re.fullmatch(r"[-\w]+", str(key.get(part, ""))) for part in parts)


class JwtHeader(Model):
    """A header that carries a token."""

    name: HeaderName = Field(examples=["authorization"], description="Name of the header.")
    prefix: Text | None = Field(default=None, description="Prefix of the token, such as 'Bearer '.")


class JwtRule(Model):
    """Tokens of one issuer: a request with an invalid token gets 401; a request without one is accepted.

    `authorization` decides which requests need a token: allow: [{requestPrincipals: ["*"]}].
    """

    issuer: Text = Field(examples=["https://accounts.example.com"], description="The token's `iss`.")
    jwks_uri: Annotated[str, AfterValidator(_jwks_uri)] | None = Field(
        default=None, description="URL from which istiod fetches the issuer's keys."
    )
    jwks: Annotated[str, AfterValidator(_jwks)] | None = Field(
        default=None, description="The issuer's public keys, as inline JSON."
    )
    audiences: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(), description="Audiences that are accepted; the token must have one of them."
    )
    from_headers: Annotated[tuple[JwtHeader, ...], Strict(False)] = Field(
        default=(), description="Headers that carry the token; if unset, Authorization: Bearer."
    )
    from_params: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(), description="Query parameters that carry the token."
    )
    forward_original_token: bool | None = Field(
        default=None, description="Whether the token is forwarded to the service."
    )

    @model_validator(mode="after")
    def _some_keys(self) -> JwtRule:
        if (self.jwks_uri is None) != (self.jwks is None):
            return self
        raise wrong(
            "the issuer has no keys" if self.jwks is None else "jwks and jwksUri are both set",
            "exactly one of jwksUri and jwks",
            "write jwksUri: https://…/.well-known/jwks.json, for example"
            if self.jwks is None
            else "remove one of the two",
        )
