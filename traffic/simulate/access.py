"""Whether the sidecar of a service denies a request, as far as that is known from its caller and its method.

Conditions on what is not known before the request is sent, such as tokens and addresses, are neither true nor false
here (Istio: AuthorizationPolicy).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from traffic.model import AccessRule, Authorization

TRUST_DOMAIN = "cluster.local"
"""Istio's default, and in a policy an alias of the mesh's own."""
OF_IDENTITY = ("principals", "not_principals", "namespaces", "not_namespaces")
"""Conditions on the caller's identity."""
UNKNOWN = (
    "request_principals",
    "not_request_principals",
    "ip_blocks",
    "not_ip_blocks",
    "paths",
    "not_paths",
    "hosts",
    "not_hosts",
    "ports",
    "headers",
)
"""Conditions that are not evaluated."""


@dataclass(frozen=True)
class Identity:
    """What a caller's certificate says of it; `account` is its service account, None if that is not known."""

    namespace: str
    account: str | None


def is_allowed(authorization: Authorization | None, closed: bool, caller: Identity, method: str) -> bool | None:
    """Return whether a request is allowed, None if that is not known.

    `closed` is whether the namespace or the mesh denies what no `allow` allows (`denyByDefault`).
    """
    deny = authorization.deny if authorization else None
    allow = authorization.allow if authorization else None
    denied = any_of(_holds(rule, caller, method) for rule in deny or ())
    allowed = not closed if allow is None else any_of(_holds(rule, caller, method) for rule in allow)
    return all_of([allowed, None if denied is None else not denied])


def holds_for(rule: AccessRule, caller: Identity) -> bool | None:
    """Return whether the caller meets the rule's conditions on identities, None if that is not known."""
    return _holds(AccessRule.model_construct(**{name: getattr(rule, name) for name in OF_IDENTITY}), caller, "")


def _holds(rule: AccessRule, caller: Identity, method: str) -> bool | None:
    return all_of(_conditions(rule, caller, method))


def _conditions(rule: AccessRule, caller: Identity, method: str) -> Iterator[bool | None]:
    if rule.principals:
        yield any_of(_is_principal(one, caller) for one in rule.principals)
    if rule.not_principals:
        yield negated(any_of(_is_principal(one, caller) for one in rule.not_principals))
    if rule.namespaces:
        yield any(_is_namespace(one, caller) for one in rule.namespaces)
    if rule.not_namespaces:
        yield not any(_is_namespace(one, caller) for one in rule.not_namespaces)
    if rule.methods:
        yield any(fits(one, method) for one in rule.methods)
    if rule.not_methods:
        yield not any(fits(one, method) for one in rule.not_methods)
    if any(getattr(rule, name) for name in UNKNOWN):
        yield None


def _is_principal(pattern: str, caller: Identity) -> bool | None:
    known = f"{TRUST_DOMAIN}/ns/{caller.namespace}/sa/"
    if caller.account is not None:
        return fits(pattern, f"{known}{caller.account}")
    is_prefix = pattern.endswith("*")
    if is_prefix and known.startswith(pattern[:-1]):
        return True
    # Whatever the trust domain is, the pattern says which namespaces it may be.
    _, found, rest = pattern.partition("/ns/")
    space, given = f"{caller.namespace}/sa/", rest.removesuffix("*")
    may_be = not found or given.startswith(space) or (is_prefix and space.startswith(given))
    return None if may_be else False


def _is_namespace(pattern: str, caller: Identity) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), caller.namespace) is not None


def fits(pattern: str, value: str) -> bool:
    """Return whether a value is as the pattern, which may begin or end with `*`; `*` alone is any value."""
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def any_of(results: Iterable[bool | None]) -> bool | None:
    """Return whether any is true, None if that is not known."""
    return negated(all_of(map(negated, results)))


def all_of(results: Iterable[bool | None]) -> bool | None:
    """Return whether all are true, None if that is not known."""
    found = list(results)
    return False if False in found else None if None in found else True


def negated(result: bool | None) -> bool | None:
    """Return the opposite, None if that is not known."""
    return None if result is None else not result
