"""Who may call a service, and how. Field names and meaning are those of Istio's PeerAuthentication,
AuthorizationPolicy and RequestAuthentication (https://istio.io/latest/docs/reference/config/security/).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, model_validator

from traffic.fields import Model, Port, wrong
from traffic.model.access import AccessRule


class Mtls(StrEnum):
    """Modes of Istio's PeerAuthentication."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"
    DISABLE = "DISABLE"


def _number(key: Any) -> Any:
    """Pulumi passes the settings as JSON, whose keys are strings."""
    return int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() else key


Mode = Annotated[Mtls, Strict(False)]
PortKey = Annotated[Port, BeforeValidator(_number)]


class MutualTls(Model):
    """Whether the pods of a service accept plain text as well as mutual TLS."""

    mode: Mode | None = Field(
        default=None, description="Mode for all ports; if unset, the namespace's or the mesh's mode."
    )
    port_level_mtls: dict[PortKey, Mode] = Field(
        default_factory=dict, description="Mode for individual container ports: {8080: PERMISSIVE}."
    )

    @model_validator(mode="after")
    def _some_mode(self) -> MutualTls:
        if self.mode or self.port_level_mtls:
            return self
        raise wrong("no mode is set", "mode, portLevelMtls, or both", "write mode: STRICT, for example")


class Authorization(Model):
    """Who may call the service: with `allow`, nobody else may; `deny` takes precedence."""

    allow: Annotated[tuple[AccessRule, ...], Strict(False)] | None = Field(
        default=None, description="Requests that are allowed; [] allows none, [{}] all."
    )
    deny: Annotated[tuple[AccessRule, ...], Strict(False), Field(min_length=1)] | None = Field(
        default=None, description="Requests that are denied with 403."
    )

    @model_validator(mode="after")
    def _some_rule(self) -> Authorization:
        if self.allow is None and self.deny is None:
            raise wrong(
                "neither allow nor deny is set", "allow, deny, or both", "write deny: [{paths: [/admin*]}], for example"
            )
        if AccessRule.model_construct() in (self.deny or ()):
            raise wrong(
                "the rule {} matches all requests, so every request would get 403",
                "rules with a condition in deny, such as {paths: [/admin*]}",
                "add a condition; to allow no request, use allow: []",
            )
        return self


class NamespaceSecurity(Model):
    """Settings for all services of a namespace."""

    mtls: Mode | None = Field(default=None, description="Whether its pods accept plain text as well as mutual TLS.")
    deny_by_default: bool = Field(
        default=False, description="Deny requests with 403 unless an `authorization.allow` allows them."
    )
