"""Requests that an authorization speaks of (Istio: AuthorizationPolicy, Rule)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from traffic.fields import HeaderName, Model, Port, Text, wrong

PRINCIPAL = r"[^/*\s]+/ns/[^/*\s]+/sa/[^/*\s]+"
TEMPLATE_PART = r"\{\*\}|[-A-Za-z0-9._~%!$&'()+,;:@=]+"
TEMPLATE = rf"(/({TEMPLATE_PART}))*(/\{{\*\*\}}(/[-A-Za-z0-9._~%!$&'()+,;:@=]+)*)?/?"


def _one_star(value: str) -> str:
    """Istio reads a `*` at one end alone; elsewhere it is an ordinary character, which nothing has."""
    inner = value.removesuffix("*") if value.endswith("*") else value.removeprefix("*")
    if "*" not in inner:
        return value
    raise wrong(
        f"the * of {value!r} is not at one end",
        "a whole value, one with * at its end or at its beginning, or * alone for any",
        f"write {value.split('*')[0]}*" if not value.startswith("*") else f"write {value.rstrip('*')}",
    )


def _principal(value: str) -> str:
    if value.startswith("spiffe://"):
        bare = value.removeprefix("spiffe://")
        raise wrong(f"{value!r} begins with spiffe://, which Istio adds", "the identity without it", f"write {bare}")
    if "*" in value or re.fullmatch(PRINCIPAL, value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not the identity of a workload",
        "<trust domain>/ns/<namespace>/sa/<service account>, with * at one end, or * for any",
        "write cluster.local/ns/shop/sa/shop, for example",
    )


def _request_principal(value: str) -> str:
    if "*" in value or re.fullmatch(r".+/.+", value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not the identity of a token",
        "<issuer>/<subject>, with * at one end, or * for any valid token",
        f"write {value}/*",
    )


def _namespace(value: str) -> str:
    if re.fullmatch(r"[-a-z0-9*]+", value):
        return value
    raise wrong(f"{value!r} is not a namespace", "a namespace, with * for any text", "write shop, for example")


def _method(value: str) -> str:
    if re.fullmatch(r"[-A-Z*]+", value):
        return _one_star(value)
    raise wrong(
        f"no request's method is {value!r}",
        "a method of HTTP in upper case, such as GET, or *",
        f"write {value.upper()}" if value.isalpha() else "write GET, for example",
    )


def _path(value: str) -> str:
    if not re.match(r"[/*]", value) or re.search(r"[?#\s]", value):
        raise wrong(
            f"no request's path is {value!r}",
            "a path that begins with / or *, without a query",
            f"write /{value}" if re.fullmatch(r"[-\w/*.]+", value) else "write /admin*, for example",
        )
    if not re.search(r"[{}]", value):
        return _one_star(value)
    if re.fullmatch(TEMPLATE, value):
        return value
    raise wrong(
        f"{value!r} is no template of paths",
        "{*} for one part between two /, {**} for any number of them, after all {*}, and no other * or { }",
        "write /shops/{*}/items, for example",
    )


def _host(value: str) -> str:
    if re.fullmatch(r"[-A-Za-z0-9.:*_]+", value):
        return _one_star(value)
    raise wrong(
        f"{value!r} is not a host",
        "a host as callers name it, with its port where they do, and with * at one end",
        "write shop.example.com, for example",
    )


def _ip_block(value: str) -> str:
    try:
        if not re.fullmatch(r"[0-9a-fA-F.:]+(/(0|[1-9][0-9]*))?", value):
            raise ValueError
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise wrong(
            f"{value!r} is neither an address nor a range",
            "an IPv4 or IPv6 address, or one with / and the length of its prefix",
            "write 10.0.0.0/8, for example",
        ) from None
    return value


SomeOf = Field(min_length=1)
"""An empty list asks for nothing, and so it would let everything through."""

Texts = Annotated[tuple[Annotated[Text, AfterValidator(_one_star)], ...], Strict(False), SomeOf]
Principals = Annotated[tuple[Annotated[Text, AfterValidator(_principal)], ...], Strict(False), SomeOf]
RequestPrincipals = Annotated[tuple[Annotated[Text, AfterValidator(_request_principal)], ...], Strict(False), SomeOf]
Namespaces = Annotated[tuple[Annotated[Text, AfterValidator(_namespace)], ...], Strict(False), SomeOf]
IpBlocks = Annotated[tuple[Annotated[Text, AfterValidator(_ip_block)], ...], Strict(False), SomeOf]
Methods = Annotated[tuple[Annotated[Text, AfterValidator(_method)], ...], Strict(False), SomeOf]
Paths = Annotated[tuple[Annotated[Text, AfterValidator(_path)], ...], Strict(False), SomeOf]
Hosts = Annotated[tuple[Annotated[Text, AfterValidator(_host)], ...], Strict(False), SomeOf]


class AccessRule(Model):
    """Requests that an authorization speaks of: all of the keys must hold, of each list any entry.

    Entries may begin or end with `*`, and `*` alone asks for any value (Istio: AuthorizationPolicy).
    """

    principals: Principals = Field(
        default=(), description="Callers by identity: cluster.local/ns/<namespace>/sa/<service account>."
    )
    not_principals: Principals = Field(default=(), description="Callers by identity that are excepted.")
    namespaces: Namespaces = Field(default=(), description="Namespaces of the callers.")
    not_namespaces: Namespaces = Field(default=(), description="Namespaces that are excepted.")
    request_principals: RequestPrincipals = Field(
        default=(), description="Callers by token: <issuer>/<subject>, and * for any valid token."
    )
    not_request_principals: RequestPrincipals = Field(default=(), description="Tokens that are excepted.")
    ip_blocks: IpBlocks = Field(default=(), description="Addresses of the callers, such as 10.0.0.0/8.")
    methods: Methods = Field(default=(), description="Methods of HTTP.")
    not_methods: Methods = Field(default=(), description="Methods that are excepted.")
    paths: Paths = Field(default=(), description="Paths, such as /api/*.")
    not_paths: Paths = Field(default=(), description="Paths that are excepted.")
    hosts: Hosts = Field(default=(), description="Hosts that the callers ask for.")
    ports: Annotated[tuple[Port, ...], Strict(False), SomeOf] = Field(default=(), description="Ports of the container.")
    headers: dict[HeaderName, Texts] = Field(
        default_factory=dict, description="Headers, each with the values of which it must have one."
    )
