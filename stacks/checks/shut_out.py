"""Warnings about authorizations that let no request from a gateway in, though the service is published there."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.ingress import is_of_others
from stacks.gateway_pods import gateway_namespaces, gateways_of
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.model import MESH, AccessRule
from traffic.simulate import Identity
from traffic.simulate.access import OF_IDENTITY, holds_for


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each authorization that denies every request from the pods of one of the gateways."""
    for name, service in settings.services.items():
        if service.authorization is None or (service.has_ingress(name) and is_of_others(settings, service)):
            continue
        for namespace, gateways in gateways_of(settings, name).items():
            location = _shuts_out(service, ("services", name, "authorization"), Identity(namespace, None))
            if location is not None:
                yield _finding(settings, name, location, namespace, gateways)


def _shuts_out(service: ServiceSettings, location: Location, gateway: Identity) -> Location | None:
    """What denies all that comes from the gateway's pods, None if nothing surely does.

    An `allow` without rules is not taken for a mistake.
    """
    rules = service.authorization
    for index, rule in enumerate((rules and rules.deny) or ()):
        if not _other_conditions(rule) and holds_for(rule, gateway) is True:
            return (*location, "deny", index)
    allow = rules and rules.allow
    return (*location, "allow") if allow and all(holds_for(rule, gateway) is False for rule in allow) else None


def _other_conditions(rule: AccessRule) -> bool:
    return any(getattr(rule, name) for name in type(rule).model_fields if name not in OF_IDENTITY)


def _finding(settings: Settings, name: str, location: Location, namespace: str, gateways: tuple[str, ...]) -> Finding:
    service = settings.services[name]
    rules = _rules(service, location)
    meant = _mistyped(settings, rules, namespace, "namespaces" if location[-1] == "allow" else "not_namespaces")
    others = [gateway for gateway in service.gateways if gateway not in gateways]
    if meant is not None:
        fix = f"write {namespace} instead of {meant}"
    elif location[-1] == "allow":
        fix = f"add {{namespaces: [{namespace}]}} if callers at the gateway may call it"
    else:
        fix = f"narrow the rule if callers at the gateway may call it, for example with notNamespaces: [{namespace}]"
    return Finding(
        location,
        f"every request through {' and '.join(gateways)} gets 403: the pods see the gateway in the namespace "
        f"{namespace} as its caller, and {'no rule allows it' if location[-1] == 'allow' else 'this rule denies it'}",
        f"an authorization that lets in the namespace {namespace}, for services at a gateway there",
        f"{fix}; if only callers elsewhere may, write gateways: [{', '.join(others or [MESH])}] for "
        f"{key_path(('services', name))}",
        shown([rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in rules]),
    )


def _mistyped(settings: Settings, rules: tuple[AccessRule, ...], namespace: str, key: str) -> str | None:
    """The namespace in the rules that is almost the gateway's, and that nothing in the stack has."""
    known = {service.namespace for service in settings.services.values()} | {
        settings.mesh.namespace,
        settings.mesh.gateway.namespace,
        *gateway_namespaces(settings).values(),
    }
    return nearest(namespace, [space for rule in rules for space in getattr(rule, key) if space not in known])


def _rules(service: ServiceSettings, location: Location) -> tuple[AccessRule, ...]:
    """The rules at the location: those of `allow`, or one of `deny`."""
    rules = service.authorization
    if rules is None:
        return ()
    allow, deny, last = rules.allow or (), rules.deny or (), location[-1]
    return (deny[last],) if isinstance(last, int) else tuple(allow)
