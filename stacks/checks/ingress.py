"""Checks of services that are exposed by a Kubernetes Ingress: whether it can express their route.

What it cannot express is a mistake of the line that a stack's file has: of `ingressClassName`, if the route is that of
a sample. The fix is to remove `ingressClassName` first: without it nothing is lost, and no request goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import Service, View, default_of, entries
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.ingress import CONTROLLER, EXPRESSED, PORT, ends_like_an_ingress, paths_of
from traffic.model import MESH, Rule, own_gateway, target

ISTIOS = "istio"
"""The usual name of Istio's IngressClass."""
OF_OTHERS = ("alb", "azure-application-gateway", "cilium", "contour", "gce", "haproxy", "kong", "nginx", "traefik")
"""Usual names of the IngressClasses of other controllers."""


def check(view: View) -> Iterator[Finding]:
    """Yield what an Ingress cannot express in the services that have one."""
    for service in view.services.values():
        if "ingressClassName" in service.given:
            yield from _check_place(service)
            yield from _where_written(view, service, list(_check_route(view, service)))


def _where_written(view: View, service: Service, found: list[Finding]) -> Iterator[Finding]:
    """The findings, with one in place of those about a sample, whose lines are not in the stack's file."""
    location: Location = (*service.location, "ingressClassName")
    of_sample = [finding for finding in found if not view.is_given(finding.location)] if view.is_given(location) else []
    yield from (finding for finding in found if finding not in of_sample)
    if of_sample:
        yield Finding(
            location,
            f"{of_sample[0].what} ({key_path(of_sample[0].location)} of the sample)",
            of_sample[0].allowed,
            f"remove ingressClassName: a VirtualService can express this; or give {service.name} a `route` of your own",
            shown(service.given["ingressClassName"]),
        )


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
    backends: dict[str, tuple[str, Location]] = {}
    for index, rule in enumerate(service.rules):
        if rule is not None and not (rule is service.rules[-1] and ends_like_an_ingress(rule)):
            location = (*service.location, "route", index)
            yield from _check_rule(rule, location, given[index] if index < len(given) else None)
            for name in rule.weights:
                backends.setdefault(target(service.name, name).service, (name, (*location, "to")))
    if not given:
        backends[service.name] = service.name, (*service.location, "versions")
    for called, (name, location) in backends.items():
        if called in view.services:
            yield from _check_backend(view, service, view.services[called], location, name)


def _check_rule(rule: Rule, location: Location, given: object) -> Iterator[Finding]:
    unknown = [field.alias or name for name, field in type(rule).model_fields.items() if name in _unexpressed(rule)]
    if unknown:
        yield Finding(
            (*location, unknown[0]),
            f"an Ingress cannot express {' and '.join(unknown)}",
            "rules with match and to, and at the end directResponse: {status: 404}",
            f"remove ingressClassName: a VirtualService can express this; or remove {' and '.join(unknown)}",
        )
    own = [name for name, share in rule.shares.items() if share.headers is not None]
    if own:
        yield Finding(
            (*location, "to", own[0], "headers"),
            "an Ingress cannot express headers of a destination",
            "destinations without headers",
            "remove ingressClassName: a VirtualService can express this; or remove headers",
        )
    if paths_of(rule) is None:
        yield Finding(
            (*location, "match"),
            "an Ingress tells requests apart by their path alone, and a prefix ends at a /",
            "match with uri: {exact: /shop}, or with both {exact: /shop} and {prefix: /shop/} in one rule",
            "remove ingressClassName: a VirtualService can express this; or write "
            "[{uri: {exact: /shop}}, {uri: {prefix: /shop/}}], for example",
            shown(given["match"]) if isinstance(given, dict) and "match" in given else "",
        )


def _unexpressed(rule: Rule) -> set[str]:
    return {name for name in type(rule).model_fields if name not in EXPRESSED and getattr(rule, name)}


def _check_backend(view: View, service: Service, called: Service, location: Location, name: str) -> Iterator[Finding]:
    """The backend of a path is a Service of the same namespace, and all of its pods."""
    own, other = service.routing.namespace, called.routing.namespace
    if len(called.versions) > 1:
        yield Finding(
            location,
            f"the backend of an Ingress is the whole Service {called.name}, all {len(called.versions)} versions",
            "services with one version",
            "remove ingressClassName: a VirtualService can send requests to one version, or divide them by weights",
            shown(name),
        )
    elif other != own:
        yield _other_namespace(view, service, called, location, name)


def _other_namespace(view: View, service: Service, called: Service, location: Location, name: str) -> Finding:
    """Moving the called service would take it away from the settings of its namespace, such as denyByDefault; moving
    the caller would too, if its own namespace has settings."""
    own, other = service.routing.namespace, called.routing.namespace
    what = f"{called.name} is in namespace {other}, but an Ingress and its backend are in one"
    allowed = f"services in the namespace {own}"
    moved: Location = (*called.location, "namespace")
    if view.is_given(moved) and not view.is_given(location):
        fix = f"remove it, or write {key_path((*service.location, 'ingressClassName'))}: null"
        return Finding(moved, what, allowed, fix, shown(other))
    remove = "remove ingressClassName: a VirtualService can lead to other namespaces"
    move = f"put {service.name} into {other}, or " if own not in view.namespaces else ""
    return Finding(location, what, allowed, f"{move}{remove}", shown(name))


def is_of_others(settings: Settings, service: ServiceSettings) -> bool:
    """Return whether another controller than Istio's may serve the service's Ingress."""
    given = service.ingress_class_name
    return given not in (None, ISTIOS) and (given in OF_OTHERS or not settings.mesh.install)


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield Ingresses that another controller than Istio's may serve, past the gateway, the mesh and its rules."""
    for name, service in settings.services.items():
        given = service.ingress_class_name
        if given is None or not is_of_others(settings, service):
            continue
        makes = "up makes it a class of Istio's" if settings.mesh.install else "mesh.install is false, so none is made"
        yield Finding(
            ("services", name, "ingressClassName"),
            f"{given} may be the IngressClass of another controller, which would serve the Ingress past Istio's "
            f"gateway; {makes}",
            f"an IngressClass whose controller is {CONTROLLER}",
            f"write {ISTIOS}; none needed if `kubectl get ingressclass {given}` shows that controller, or nothing"
            if settings.mesh.install
            else f"none needed if `kubectl get ingressclass {given}` shows that controller",
            shown(given),
        )
