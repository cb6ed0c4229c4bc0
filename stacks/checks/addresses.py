"""Checks of addresses in authorizations: which of them a rule can know, and where requests would get around a rule."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import Service, View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.addresses import (
    MOST_DENIALS,
    NEGATED,
    compares_addresses,
    from_gateway,
    is_about_addresses,
    number_of_denials,
)
from traffic.graph import called_by
from traffic.model import MESH, AccessRule, Mtls
from traffic.model.access import ADDRESSES

OF_CONNECTIONS = ("ip_blocks", "not_ip_blocks")


def check(view: View) -> Iterator[Finding]:
    """Yield rules on the addresses of callers that the gateway cannot compare, and ways around them."""
    namespace = view.of_gateway("namespace")
    for service in view.services.values():
        authorization = service.routing.authorization
        if authorization is None or not compares_addresses(authorization) or not service.is_placed:
            continue
        place = (*service.location, "authorization")
        yield from _check_entries(view, service, place)
        yield from _check_identity(view, service, place)
        if any(map(is_about_addresses, authorization.allow or ())) and isinstance(namespace, str):
            yield from _check_allow(authorization.allow or (), namespace, (*place, "allow"))
    yield from _check_detours(view)


def _check_entries(view: View, service: Service, place: Location) -> Iterator[Finding]:
    """Requests must come through a gateway, for hosts that a policy can name in all their spellings."""
    routing = service.routing
    elsewhere = view.other_gateway(service)
    if elsewhere is not None:
        yield Finding(
            (*service.location, "gateways", routing.gateways.index(elsewhere)),
            "remoteIpBlocks is compared at the pods of mesh.gateway alone, and this Gateway selects those of another "
            "deployment: there nothing would compare the addresses of callers",
            "Gateways without `selector` for services with remoteIpBlocks or notRemoteIpBlocks",
            "remove it from the list if callers come through another one; if not, have an AuthorizationPolicy at that "
            "gateway's pods compare the addresses, and allow requests from there with namespaces",
            shown(elsewhere),
        )
    if all(gateway == MESH for gateway in routing.gateways):
        yield Finding(
            place,
            "remoteIpBlocks compares addresses of callers at a gateway, and the service's route only applies inside "
            "the mesh",
            "remoteIpBlocks for services with a gateway; ipBlocks for callers inside the mesh",
            f"write ipBlocks, or add a gateway to {key_path((*service.location, 'gateways'))}",
        )
    wild = [host for host in routing.hosts if host.startswith("*.")]
    if wild:
        yield Finding(
            (*service.location, "hosts", routing.hosts.index(wild[0])),
            f"a policy at the gateway cannot name the hosts {wild[0]} with a port, so a port in the Host header would "
            "get around remoteIpBlocks",
            "hosts without wildcards, or '*', for services with remoteIpBlocks or notRemoteIpBlocks",
            "name the hosts one by one",
            shown(wild[0]),
        )


def _check_identity(view: View, service: Service, place: Location) -> Iterator[Finding]:
    """The pods know requests of the gateway by its certificate."""
    routing = service.routing
    around = view.namespaces.get(routing.namespace)
    mode = (routing.mtls and routing.mtls.mode) or (around and around.mtls) or view.mtls_of_mesh
    if mode is Mtls.DISABLE or routing.speaks_tls:
        yield Finding(
            place,
            "remoteIpBlocks needs mutual TLS between the gateway and the pods, which tell requests through the gateway "
            "by its certificate",
            "services with Istio's mutual TLS, in mode STRICT or PERMISSIVE",
            "turn mutual TLS on for the service",
        )


def _check_allow(allow: tuple[AccessRule, ...], namespace: str, place: Location) -> Iterator[Finding]:
    """The gateway must be able to say what no rule lets in."""
    rules = list(from_gateway(allow, namespace))
    negative = [rule for rule in rules if any(getattr(rule, name) for name in NEGATED if name.startswith("not_"))]
    for index, rule in enumerate(allow):
        if not any(rule is one for one in rules):
            continue
        unknown = [_alias(name) for name in type(rule).model_fields if getattr(rule, name) and name not in NEGATED]
        if unknown:
            yield Finding(
                (*place, index),
                f"beside a rule with remoteIpBlocks the gateway has to compare this one too, and it cannot compare "
                f"{' and '.join(unknown)}",
                f"{', '.join(map(_alias, NEGATED))}; and rules for callers of other namespaces than {namespace}",
                "say it in a rule of `deny`, which is evaluated besides",
                shown(rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)),
            )
        elif rule in negative[1:] or number_of_denials(rules) > MOST_DENIALS or not _has_condition(rule):
            yield Finding(
                (*place, index),
                "the gateway cannot say what these rules together do not let in"
                if _has_condition(rule)
                else "this rule lets in every request, whatever the addresses in the other rules",
                "beside a rule with remoteIpBlocks: rules with conditions, of which at most one has conditions that "
                "begin with not, and few in all",
                "say a part of it in `deny`, which is evaluated besides",
                shown(rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)),
            )


def _check_detours(view: View) -> Iterator[Finding]:
    """The gateway compares addresses by the host of the request, whichever service its route leads to."""
    for service in view.services.values():
        if all(gateway == MESH for gateway in service.routing.gateways):
            continue
        for name in called_by(service.name, service.routing):
            called = view.services.get(name)
            asked = called.routing.authorization if called else None
            if called is None or not compares_addresses(asked) or service.routing.authorization == asked:
                continue
            yield Finding(
                (*service.location, "route"),
                f"it leads to {name}, and addresses of callers in {key_path((*called.location, 'authorization'))} are "
                f"compared for the hosts of {name} alone: all callers of {service.name} would be let in",
                f"a route that does not lead to {name}, or the same authorization",
                f"write the authorization of {name} for {service.name} as well",
            )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield addresses of connections in rules for requests that come through a gateway."""
    for name, service in settings.services.items():
        if not set(service.gateways) - {MESH} or service.authorization is None:
            continue
        if "*" in service.hosts and compares_addresses(service.authorization):
            yield _every_host(name, service.hosts.index("*"))
        for key in ("allow", "deny"):
            for index, rule in enumerate(getattr(service.authorization, key) or ()):
                for field in OF_CONNECTIONS:
                    if getattr(rule, field):
                        place = ("services", name, "authorization", key, index, _alias(field))
                        yield _of_connection(place, key, field, rule)


def _every_host(name: str, index: int) -> Finding:
    return Finding(
        ("services", name, "hosts", index),
        "the gateway denies by address requests for every host but those of the stack's other services: those of other "
        "stacks at the gateway too",
        "hosts by name for services with remoteIpBlocks, where the gateway serves other stacks",
        "name the hosts; none needed if the gateway serves this stack alone",
        shown("*"),
    )


def _of_connection(place: Location, key: str, field: str, rule: AccessRule) -> Finding:
    alias = _alias(field)
    # An address of a caller is never that of the gateway's pod, so ipBlocks never matches and notIpBlocks always does.
    lets_in = (field == "not_ip_blocks") == (key == "allow")
    effect = f"{'lets in' if lets_in else 'shuts out'} every caller at the gateway"
    right = _alias(dict(zip(OF_CONNECTIONS, ADDRESSES, strict=True))[field])
    return Finding(
        place,
        f"{alias} compares the address that a connection comes from: behind a gateway that is the gateway's pod, so "
        f"this {effect}, unless it is meant for that pod",
        f"{right} for addresses of callers at the gateway; {alias} for pods that call the service directly",
        f"write {right} for callers at the gateway",
        shown(list(getattr(rule, field))),
    )


def _has_condition(rule: AccessRule) -> bool:
    return rule != AccessRule.model_construct()


def _alias(name: str) -> str:
    return AccessRule.model_fields[name].alias or name
