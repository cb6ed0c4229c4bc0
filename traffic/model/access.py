"""Requests that an authorization rule applies to (Istio: AuthorizationPolicy, Rule)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import HeaderName, Model, Port, Text, wrong

PRINCIPAL = r"[^/*\s]+/ns/[^/*\s]+/sa/[^/*\s]+"
TEMPLATE_PART = r"\{\*\}|[-A-Za-z0-9._~%!$&'()+,;:@=]+"
TEMPLATE = rf"(/({TEMPLATE_PART}))*(/\{{\*\*\}}(/[-A-Za-z0-9._~%!$&'()+,;:@=]+)*)?/?"


def _one_star(value: str) -> str:
    """To Istio, `*` is a wildcard only at one end; elsewhere it is a literal character that no value has."""
    inner = value.removesuffix("*") if value.endswith("*") else value.removeprefix("*")
    if "*" not in inner:
        return value
    # A * further left would match more than was asked for.
    raise wrong(
        f"the * in {value!r} is not at one end",
        "a whole value, one with * at its beginning or end, or * for any",
        "write an entry for each value that is meant, with a * at one end at most",
    )


def _principal(value: str) -> str:
    if value.startswith("spiffe://"):
        bare = value.removeprefix("spiffe://")
        raise wrong(f"{value!r} begins with spiffe://, which Istio adds", "the identity without it", f"write {bare}")
    if "*" in value or re.fullmatch(PRINCIPAL, value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not a workload identity",
        "<trust domain>/ns/<namespace>/sa/<service account>, or with * at one end, or * for any",
        "write cluster.local/ns/shop/sa/shop, for example",
    )


def _request_principal(value: str) -> str:
    if "*" in value or re.fullmatch(r".+/.+", value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not a token identity",
        "<issuer>/<subject>, or with * at one end, or * for any valid token",
        f"write <issuer>/{value}, or {value}/* if {value} is the issuer",
    )


def _namespace(value: str) -> str:
    if re.fullmatch(r"[-a-z0-9*]+", value):
        return value
    raise wrong(f"{value!r} is not a namespace", "a namespace, with * for any characters", "write shop, for example")


def _method(value: str) -> str:
    if re.fullmatch(r"[-A-Z*]+", value):
        return _one_star(value)
    raise wrong(
        f"no request has the method {value!r}",
        "an HTTP method in upper case, such as GET, or *",
        f"write {value.upper()}" if value.isalpha() else "write GET, for example",
    )


def _path(value: str) -> str:
    if not re.match(r"[/*]", value) or re.search(r"[?#\s]", value):
        raise wrong(
            f"no request has the path {value!r}",
            "a path that begins with / or *, without a query",
            f"write /{value}" if re.fullmatch(r"[-\w/*.]+", value) else "write /admin*, for example",
        )
    if not re.search(r"[{}]", value):
        return _one_star(value)
    if re.fullmatch(TEMPLATE, value):
        return value
    raise wrong(
        f"{value!r} is not a path template",
        "{*} for one path segment, {**} for any number of them, after all {*}; no other *, { or }",
        "write /shops/{*}/items, for example",
    )


def _host(value: str) -> str:
    if re.fullmatch(r"[-A-Za-z0-9.:*_]+", value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not a host",
        "a host as in the Host header, with its port if callers send it, or with * at one end",
        "write shop.example.com, for example",
    )


def _ip_block(value: str) -> str:
    try:
        if not re.fullmatch(r"[0-9a-fA-F.:]+(/(0|[1-9][0-9]*))?", value):
            raise ValueError
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise wrong(
            f"{value!r} is neither an IP address nor a CIDR block",
            "an IPv4 or IPv6 address, or a CIDR block",
            "write 10.0.0.0/8, for example",
        ) from None
    return value


SomeOf = Field(min_length=1)
"""An empty list has no condition, so it would match every request."""

Texts = Annotated[tuple[Annotated[Text, AfterValidator(_one_star)], ...], Strict(False), SomeOf]
Principals = Annotated[tuple[Annotated[Text, AfterValidator(_principal)], ...], Strict(False), SomeOf]
RequestPrincipals = Annotated[tuple[Annotated[Text, AfterValidator(_request_principal)], ...], Strict(False), SomeOf]
Namespaces = Annotated[tuple[Annotated[Text, AfterValidator(_namespace)], ...], Strict(False), SomeOf]
IpBlocks = Annotated[tuple[Annotated[Text, AfterValidator(_ip_block)], ...], Strict(False), SomeOf]
Methods = Annotated[tuple[Annotated[Text, AfterValidator(_method)], ...], Strict(False), SomeOf]
Paths = Annotated[tuple[Annotated[Text, AfterValidator(_path)], ...], Strict(False), SomeOf]
Hosts = Annotated[tuple[Annotated[Text, AfterValidator(_host)], ...], Strict(False), SomeOf]


ADDRESSES = ("remote_ip_blocks", "not_remote_ip_blocks")
"""Conditions on the caller's address, which only the gateway knows."""
BY_CONNECTION = (
    "principals", "not_principals", "namespaces", "not_namespaces", "request_principals", "not_request_principals",
    "ip_blocks", "not_ip_blocks", "hosts", "not_hosts", "ports",
)  # fmt: skip
"""Conditions that only the service's pods can compare, or that the policy at the gateway has of its own."""


class AccessRule(Model):
    """Requests that an authorization rule applies to: all keys must match, each by any of its entries.

    Entries may begin or end with `*`; `*` requires any value (Istio: AuthorizationPolicy).
    """

    principals: Principals = Field(
        default=(), description="Callers by identity: cluster.local/ns/<namespace>/sa/<service account>."
    )
    not_principals: Principals = Field(default=(), description="Identities of callers that are excluded.")
    namespaces: Namespaces = Field(default=(), description="Namespaces of the callers.")
    not_namespaces: Namespaces = Field(default=(), description="Namespaces of callers that are excluded.")
    request_principals: RequestPrincipals = Field(
        default=(), description="Callers by token: <issuer>/<subject>, or * for any valid token."
    )
    not_request_principals: RequestPrincipals = Field(default=(), description="Token identities that are excluded.")
    ip_blocks: IpBlocks = Field(
        default=(),
        description="Addresses that connections come from, such as 10.0.0.0/8: behind a gateway, that of its pod.",
    )
    not_ip_blocks: IpBlocks = Field(default=(), description="Addresses of connections that are excluded.")
    remote_ip_blocks: IpBlocks = Field(
        default=(),
        description="Addresses of the callers, such as 198.51.100.0/24: compared at the gateway, and inside the mesh "
        "with the calling pod's.",
    )
    not_remote_ip_blocks: IpBlocks = Field(default=(), description="Addresses of callers that are excluded.")
    methods: Methods = Field(default=(), description="HTTP methods.")
    not_methods: Methods = Field(default=(), description="HTTP methods that are excluded.")
    paths: Paths = Field(default=(), description="Paths, such as /api/*.")
    not_paths: Paths = Field(default=(), description="Paths that are excluded.")
    hosts: Hosts = Field(default=(), description="Hosts in the request's Host header.")
    not_hosts: Hosts = Field(default=(), description="Hosts that are excluded.")
    ports: Annotated[tuple[Port, ...], Strict(False), SomeOf] = Field(default=(), description="Container ports.")
    headers: dict[HeaderName, Texts] = Field(
        default_factory=dict, description="Headers, each with the values it may have."
    )

    @model_validator(mode="after")
    def _addresses_at_the_gateway(self) -> AccessRule:
        beside = [name for name in BY_CONNECTION if getattr(self, name)]
        if not beside or not any(getattr(self, name) for name in ADDRESSES):
            return self
        names = " and ".join(_alias(name) for name in beside)
        raise wrong(
            f"{names} cannot be in one rule with the address of the caller: the gateway compares that, for the hosts "
            "of the service, and what identifies a caller only the pods know",
            "remoteIpBlocks and notRemoteIpBlocks with methods, notMethods, paths and notPaths",
            'say it in a rule of `deny`, which is evaluated besides: [{notRequestPrincipals: ["*"]}] asks for a token, '
            "for example",
        )


def _alias(name: str) -> str:
    return AccessRule.model_fields[name].alias or name
