"""Checks of services that are exposed by a Kubernetes Ingress: whether it can express their route."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import Service, View, default_of, entries
from stacks.settings.model import ServiceSettings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.ingress import EXPRESSED, PORT, ends_like_an_ingress, paths_of
from traffic.model import MESH, Rule, own_gateway, target


def check(view: View) -> Iterator[Finding]:
    """Yield what an Ingress cannot express in the services that have one."""
    for service in view.services.values():
        if "ingressClassName" in service.given:
            yield from _check_place(service)
            yield from _check_route(view, service)


def _check_place(service: Service) -> Iterator[Finding]:
    others = [name for name in service.routing.gateways if name not in (MESH, own_gateway(service.name))]
    if service.is_placed and (others or not service.has_own_gateway):
        yield Finding(
            (*service.location, "ingressClassName"),
            f"the Ingress takes the place of {own_gateway(service.name)}, but the service's gateways are "
            f"{', '.join(service.routing.gateways)}",
            f"ingressClassName with {own_gateway(service.name)}, and with {MESH} for callers inside",
            f"remove {key_path((*service.location, 'gateways'))}, or ingressClassName",
            shown(service.given["ingressClassName"]),
        )
    port = service.given.get("gatewayPort", default_of(ServiceSettings, "gatewayPort"))
    if service.is_placed and service.has_own_gateway and port != PORT:
        yield Finding(
            (*service.location, "gatewayPort"),
            f"Istio serves an Ingress at port {PORT} of the gateway alone",
            f"{PORT}, or no ingressClassName",
            "remove gatewayPort, or remove ingressClassName",
            shown(port),
        )


def _check_route(view: View, service: Service) -> Iterator[Finding]:
    given = entries(service.given.get("route"))
    for index, rule in enumerate(service.rules):
        if rule is not None and not (rule is service.rules[-1] and ends_like_an_ingress(rule)):
            location = (*service.location, "route", index)
            yield from _check_rule(rule, location, given[index] if index < len(given) else None)
            yield from _check_target(view, service, rule, location)
    if not given:
        yield from _check_target(view, service, None, service.location)


def _check_rule(rule: Rule, location: Location, given: object) -> Iterator[Finding]:
    unknown = [field.alias or name for name, field in type(rule).model_fields.items() if name in _unexpressed(rule)]
    if unknown:
        yield Finding(
            (*location, unknown[0]),
            f"an Ingress cannot express {' and '.join(unknown)}",
            "rules with match and to, and at the end directResponse: {status: 404}",
            f"remove {' and '.join(unknown)}, or remove ingressClassName: a VirtualService can express them",
        )
    elif paths_of(rule) is None:
        yield Finding(
            (*location, "match"),
            "an Ingress tells requests apart by their path alone, and a prefix ends at a /",
            "match with uri: {exact: /shop}, or with both {exact: /shop} and {prefix: /shop/} in one rule",
            "write [{uri: {exact: /shop}}, {uri: {prefix: /shop/}}], for example, or remove ingressClassName",
            shown(given["match"]) if isinstance(given, dict) and "match" in given else "",
        )


def _unexpressed(rule: Rule) -> set[str]:
    return {name for name in type(rule).model_fields if name not in EXPRESSED and getattr(rule, name)}


def _check_target(view: View, service: Service, rule: Rule | None, location: Location) -> Iterator[Finding]:
    """The backend of a path is a Service of the same namespace, and all of its pods."""
    named = rule.weights if rule is not None else {next(iter(service.versions), ""): 100}
    for name in named:
        called = view.services.get(target(service.name, name).service)
        if called is None:
            continue
        place = (*location, "to") if rule is not None else (*location, "versions")
        if len(called.versions) > 1:
            yield Finding(
                place,
                f"the backend of an Ingress is the whole Service {called.name}, all {len(called.versions)} versions",
                "services with one version",
                f"remove all versions of {called.name} but one, or remove ingressClassName",
                shown(name),
            )
            return
        if called.routing.namespace != service.routing.namespace:
            yield Finding(
                place,
                f"{called.name} is in namespace {called.routing.namespace}, but an Ingress and its backend are in one",
                f"services in the namespace {service.routing.namespace}",
                f"write {key_path((*called.location, 'namespace'))}: {service.routing.namespace}, "
                "or remove ingressClassName",
                shown(name),
            )
