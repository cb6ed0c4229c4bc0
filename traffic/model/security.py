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
    """JSON, in which Pulumi gives the settings, has no keys but text."""
    return int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() else key


Mode = Annotated[Mtls, Strict(False)]
PortKey = Annotated[Port, BeforeValidator(_number)]


class MutualTls(Model):
    """Whether the pods of a service accept plain text beside mutual TLS."""

    mode: Mode | None = Field(default=None, description="For all ports; left out, the namespace's or the mesh's mode.")
    port_level_mtls: dict[PortKey, Mode] = Field(
        default_factory=dict, description="For single ports of the container: {8080: PERMISSIVE}."
    )

    @model_validator(mode="after")
    def _some_mode(self) -> MutualTls:
        if self.mode or self.port_level_mtls:
            return self
        raise wrong("no mode is given", "mode, portLevelMtls, or both", "write mode: STRICT, for example")


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
        if AccessRule.model_construct() in (self.deny or ()):
            raise wrong(
                "a rule {} means all requests, so that every one would be answered with 403",
                "rules with a condition below deny, such as {paths: [/admin*]}",
                "say which requests are denied; allow: [] is the way to let nobody in",
            )
        return self


class NamespaceSecurity(Model):
    """What holds for all services of a namespace."""

    mtls: Mode | None = Field(default=None, description="Whether its pods accept plain text beside mutual TLS.")
    deny_by_default: bool = Field(
        default=False, description="Answer 403 to what no `authorization.allow` lets through."
    )
