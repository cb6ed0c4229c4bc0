"""Whether the gateway denies a request, by the addresses of callers in a service's rules (Envoy: RBAC filter)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping

from traffic.addresses import denied_at_gateway
from traffic.model import AccessRule, RouteTable
from traffic.simulate.access import all_of, any_of, fits, negated
from traffic.simulate.request import Seen

CLIENT_ADDRESS = "x-envoy-external-address"
"""Header in which the gateway puts the address that it trusts."""


def denials_at_gateway(routes: RouteTable, gateway_namespace: str) -> dict[str, tuple[AccessRule, ...]]:
    """Return what the gateway denies, by the service whose rules say so; `routes` are the services at the gateway."""
    found = {}
    for name, service in routes.items():
        others = {host for other, one in routes.items() if other != name for host in one.hosts}
        rules = denied_at_gateway(service.authorization, service.hosts, others, gateway_namespace)
        if rules:
            found[name] = rules
    return found


def is_denied(rules: Iterable[AccessRule], seen: Seen, client_known: bool) -> bool | None:
    """Return whether one of the rules matches the request; None if that depends on an address that is not known."""
    return any_of([_matches(rule, seen, client_known) for rule in rules])


def in_blocks(address: str, blocks: Iterable[str]) -> bool:
    """Return whether an address is in one of the CIDR blocks or is one of the addresses."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in ipaddress.ip_network(block, strict=False) for block in blocks)


def path_fits(pattern: str, path: str) -> bool:
    """Return whether a path is as a pattern, which may be a template with {*} and {**}."""
    if "{" not in pattern:
        return fits(pattern, path)
    parts = re.split(r"(\{\*\*?\})", pattern)
    wild = {"{*}": "[^/]+", "{**}": ".*"}
    return re.fullmatch("".join(wild.get(part) or re.escape(part) for part in parts), path) is not None


def _matches(rule: AccessRule, seen: Seen, client_known: bool) -> bool | None:
    address = seen.headers.get(CLIENT_ADDRESS, ("",))[0] if client_known else None
    host = seen.authority.lower()
    tests: Mapping[str, Callable[[tuple[str, ...]], bool | None]] = {
        "remote_ip_blocks": lambda blocks: None if address is None else in_blocks(address, blocks),
        "methods": lambda methods: any(fits(one, seen.method) for one in methods),
        "paths": lambda paths: any(path_fits(one, seen.path) for one in paths),
        "hosts": lambda hosts: any(fits(one.lower(), host) for one in hosts),
    }
    results = []
    for name, holds in tests.items():
        if getattr(rule, name):
            results.append(holds(getattr(rule, name)))
        if getattr(rule, f"not_{name}"):
            results.append(negated(holds(getattr(rule, f"not_{name}"))))
    for name, values in rule.headers.items():
        results.append(any(fits(one, value) for one in values for value in seen.headers.get(name, ())))
    return all_of(results)
