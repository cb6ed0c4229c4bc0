"""Who may call a service, and how. Field names and meaning are those of Istio's PeerAuthentication,
AuthorizationPolicy and RequestAuthentication (https://istio.io/latest/docs/reference/config/security/).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, Strict, model_validator

from traffic.fields import HeaderName, Model, Port, Text, wrong

Texts = Annotated[tuple[Text, ...], Strict(False)]


class Mtls(StrEnum):
    """Modes of Istio's PeerAuthentication."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"
    DISABLE = "DISABLE"


Mode = Annotated[Mtls, Strict(False)]


class MutualTls(Model):
    """Whether the pods of a service accept plain text beside mutual TLS."""

    mode: Mode | None = Field(default=None, description="For all ports; left out, the namespace's or the mesh's mode.")
    port_level_mtls: dict[Port, Mode] = Field(
        default_factory=dict, description="For single ports of the container: {8080: PERMISSIVE}."
    )

    @model_validator(mode="after")
    def _some_mode(self) -> MutualTls:
        if self.mode or self.port_level_mtls:
            return self
        raise wrong("no mode is given", "mode, portLevelMtls, or both", "write mode: STRICT, for example")


class AccessRule(Model):
    """Requests that an authorization speaks of: all of the keys must hold, of each list any entry.

    Entries may begin or end with `*`, and `*` alone asks for any value (Istio: AuthorizationPolicy).
    """

    principals: Texts = Field(
        default=(), description="Callers by identity: cluster.local/ns/<namespace>/sa/<service account>."
    )
    not_principals: Texts = Field(default=(), description="Callers by identity that are excepted.")
    namespaces: Texts = Field(default=(), description="Namespaces of the callers.")
    not_namespaces: Texts = Field(default=(), description="Namespaces that are excepted.")
    request_principals: Texts = Field(
        default=(), description="Callers by token: <issuer>/<subject>, and * for any valid token."
    )
    not_request_principals: Texts = Field(default=(), description="Tokens that are excepted.")
    ip_blocks: Texts = Field(default=(), description="Addresses of the callers, such as 10.0.0.0/8.")
    methods: Texts = Field(default=(), description="Methods of HTTP.")
    not_methods: Texts = Field(default=(), description="Methods that are excepted.")
    paths: Texts = Field(default=(), description="Paths, such as /api/*.")
    not_paths: Texts = Field(default=(), description="Paths that are excepted.")
    hosts: Texts = Field(default=(), description="Hosts that the callers ask for.")
    ports: Annotated[tuple[Port, ...], Strict(False)] = Field(default=(), description="Ports of the container.")
    headers: dict[HeaderName, Annotated[Texts, Field(min_length=1)]] = Field(
        default_factory=dict, description="Headers, each with the values of which it must have one."
    )


class Authorization(Model):
    """Who may call the service: with `allow`, nobody else may; `deny` comes before it."""

    allow: Annotated[tuple[AccessRule, ...], Strict(False)] | None = Field(
        default=None, description="Requests that are let through; [] lets none through, [{}] all."
    )
    deny: Annotated[tuple[AccessRule, ...], Strict(False), Field(min_length=1)] | None = Field(
        default=None, description="Requests that are answered with 403."
    )

    @model_validator(mode="after")
    def _some_rule(self) -> Authorization:
        if self.allow is None and self.deny is None:
            raise wrong(
                "nobody is allowed or denied", "allow, deny, or both", "write for example deny: [{paths: [/admin*]}]"
            )
        return self


class JwtHeader(Model):
    """A header that carries a token."""

    name: HeaderName = Field(examples=["authorization"], description="Name of the header.")
    prefix: Text | None = Field(default=None, description="What stands before the token, such as 'Bearer '.")


class JwtRule(Model):
    """Tokens of one issuer: a request with an invalid one is answered with 401; one without any goes on.

    `authorization` says which requests need a token: allow: [{requestPrincipals: ["*"]}].
    """

    issuer: Text = Field(examples=["https://accounts.example.com"], description="The token's `iss`.")
    jwks_uri: Text | None = Field(default=None, description="URL of the issuer's keys, which istiod fetches.")
    jwks: Text | None = Field(default=None, description="The issuer's public keys themselves, as JSON.")
    audiences: Texts = Field(default=(), description="Audiences, of which the token must have one.")
    from_headers: Annotated[tuple[JwtHeader, ...], Strict(False)] = Field(
        default=(), description="Headers that carry the token; left out, Authorization: Bearer."
    )
    from_params: Texts = Field(default=(), description="Query parameters that carry the token.")
    forward_original_token: bool | None = Field(default=None, description="Whether the service gets the token too.")

    @model_validator(mode="after")
    def _some_keys(self) -> JwtRule:
        if (self.jwks_uri is None) != (self.jwks is None):
            return self
        raise wrong(
            "the issuer has no keys" if self.jwks is None else "jwks and jwksUri are given together",
            "exactly one of jwksUri and jwks",
            "write jwksUri: https://…/.well-known/jwks.json, for example" if self.jwks is None else "take one out",
        )


class NamespaceSecurity(Model):
    """What holds for all services of a namespace."""

    mtls: Mode | None = Field(default=None, description="Whether its pods accept plain text beside mutual TLS.")
    deny_by_default: bool = Field(
        default=False, description="Answer 403 to what no `authorization.allow` lets through."
    )
