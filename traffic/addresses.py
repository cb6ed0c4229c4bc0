"""Rules about the addresses of callers, divided between the gateway and the pods.

A pod's sidecar gets a request from the gateway's pod, and of the addresses in X-Forwarded-For it takes the last: with a
trusted proxy in front of the gateway, that is the proxy's (measured). Only the gateway knows the caller. So it denies
what the service's rules do not let in, for the service's hosts alone; an ALLOW there would deny all other hosts. The
pods let in what the gateway sends, and for callers inside the mesh compare the address of the calling pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from traffic.model import AccessRule, Authorization
from traffic.model.access import ADDRESSES

NEGATED = {
    "remote_ip_blocks": "not_remote_ip_blocks",
    "not_remote_ip_blocks": "remote_ip_blocks",
    "methods": "not_methods",
    "not_methods": "methods",
    "paths": "not_paths",
    "not_paths": "paths",
}
"""The conditions of rules of `allow` that the gateway compares, each with its opposite."""
AT_PODS = {"remote_ip_blocks": "ip_blocks", "not_remote_ip_blocks": "not_ip_blocks"}
MOST_DENIALS = 50

Fields = Mapping[str, tuple[Any, ...]]


def is_about_addresses(rule: AccessRule) -> bool:
    """Return whether the rule compares the addresses of callers at the gateway."""
    return any(getattr(rule, name) for name in ADDRESSES)


def compares_addresses(authorization: Authorization | None) -> bool:
    """Return whether any rule compares the addresses of callers at the gateway."""
    rules = (*(authorization.allow or ()), *(authorization.deny or ())) if authorization else ()
    return any(map(is_about_addresses, rules))


def at_pods(authorization: Authorization, gateway_namespace: str) -> Authorization:
    """Return the rules for the service's pods, where requests from the gateway are those from its namespace."""
    if not compares_addresses(authorization):
        return authorization
    allow, deny = authorization.allow, authorization.deny
    of_callers = [_of_pods(rule, gateway_namespace) if is_about_addresses(rule) else rule for rule in deny or ()]
    return Authorization.model_construct(
        allow=None if allow is None else tuple(one for rule in allow for one in _allowed(rule, gateway_namespace)),
        deny=None if deny is None else tuple(of_callers),
    )


def denied_at_gateway(
    authorization: Authorization | None, hosts: Sequence[str], others: Iterable[str], gateway_namespace: str
) -> tuple[AccessRule, ...]:
    """Return what the gateway denies: requests for `hosts` that no rule of `allow` lets in, or that `deny` matches.

    `others` are the hosts of other services at the gateway, from which those of the host `*` are told.
    """
    if authorization is None or not compares_addresses(authorization):
        return ()
    found = [_fields(rule) for rule in authorization.deny or () if is_about_addresses(rule)]
    if any(map(is_about_addresses, authorization.allow or ())):
        found += _unless_allowed(tuple(from_gateway(authorization.allow or (), gateway_namespace)))
    scope: dict[str, Any] = (
        {"not_hosts": spelled(sorted(others))} if "*" in hosts else {"hosts": spelled(dict.fromkeys(hosts))}
    )
    return tuple(AccessRule.model_construct(**{**fields, **scope}) for fields in found)


def from_gateway(allow: Iterable[AccessRule], gateway_namespace: str) -> Iterator[AccessRule]:
    """Yield the rules of `allow` that a request from the gateway may meet: those without another caller's identity."""
    for rule in allow:
        if not (rule.namespaces or rule.principals) or _may_be_gateway(rule, gateway_namespace):
            yield rule


def spelled(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts as Host headers may have them, with a port or without; Istio ignores case (measured)."""
    return tuple(spelling for host in hosts for spelling in (host, f"{host}:*") if not host.startswith("*"))


def number_of_denials(rules: Iterable[AccessRule]) -> int:
    """Return how many rules say what none of these rules of `allow` lets in."""
    count = 1
    for rule in rules:
        count *= len(_fields(rule))
    return count


def _unless_allowed(rules: Sequence[AccessRule]) -> list[dict[str, Any]]:
    """What none of the rules matches: for each choice of a condition of each, the requests that meet none of these."""
    found: list[dict[str, Any]] = []
    for chosen in product(*(_fields(rule).items() for rule in rules)):
        fields: dict[str, Any] = {}
        for name, values in chosen:
            fields[NEGATED[name]] = tuple(dict.fromkeys((*fields.get(NEGATED[name], ()), *values)))
        if fields not in found:
            found.append(fields)
    return found


def _allowed(rule: AccessRule, gateway_namespace: str) -> Iterator[AccessRule]:
    if not is_about_addresses(rule):
        yield rule
        return
    rest = {name: values for name, values in _fields(rule).items() if name not in ADDRESSES}
    yield AccessRule.model_construct(**{**rest, "namespaces": (gateway_namespace,)})
    yield _of_pods(rule, gateway_namespace)


def _of_pods(rule: AccessRule, gateway_namespace: str) -> AccessRule:
    """The rule for callers inside the mesh, whose address is that of their connection."""
    fields = {AT_PODS.get(name, name): values for name, values in _fields(rule).items()}
    return AccessRule.model_construct(**{**fields, "not_namespaces": (gateway_namespace,)})


def _may_be_gateway(rule: AccessRule, namespace: str) -> bool:
    """Whether the gateway's identity may meet the rule's conditions on identities."""
    from fnmatch import fnmatchcase

    if rule.namespaces and not any(fnmatchcase(namespace, pattern) for pattern in rule.namespaces):
        return False
    if not rule.principals:
        return True
    spaces = (principal.partition("/ns/")[2].partition("/sa/") for principal in rule.principals)
    return any(not sa or space in (namespace, "") or "*" in space for space, sa, _ in spaces)


def _fields(rule: AccessRule) -> dict[str, Any]:
    names = type(rule).model_fields
    return {name: value for name in names if (value := getattr(rule, name))}
