"""Checks of versions that the stack does not make, and of hosts of `egress` as destinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.view import Service, View, block
from stacks.settings.model import ServiceSettings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.model import EGRESS, ExternalService, OutsideVersion, Source, service_host, version_label
from traffic.model.backend import port_for_http
from traffic.model.egress import Resolution

TLS_PORTS = (4443, 5443, 6443, 8443, 9443, 10443)
"""Ports where servers usually expect HTTPS."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with versions that the stack does not make."""
    if EGRESS in view.services:
        yield Finding(
            ("services", EGRESS),
            f"{EGRESS!r} is reserved: in a route, {EGRESS}/<name> is a host of {key_path((EGRESS,))}",
            "another name",
            "write outbound, for example",
        )
    hosts: dict[str, str] = {
        host: f"{EGRESS}/{name}" for name, external in view.egress.items() if external for host in external.hosts
    }
    for service in view.services.values():
        yield from _check_selector(service)
        for name, version in service.routing.versions.items():
            if isinstance(version, OutsideVersion):
                place: Location = (*service.location, "versions", name)
                yield from _check_pods(service, name, version, place)
                yield from _check_service(view, service, version, place)
                yield from _check_host(view, f"{service.name}/{name}", version, place, hosts)
                yield from _check_ingress(service, version, place)


def _check_selector(service: Service) -> Iterator[Finding]:
    for key, value in service.routing.selector.items():
        if key == "version" or (key == "app" and value != service.name):
            own = service.name if key == "app" else version_label(service.name, "<version>")
            yield Finding(
                (*service.location, "selector", key),
                f"the pods of the stack's own versions have {key}={own}, so the Service would not select them",
                "labels other than version, and app only with the name of the service",
                f"remove it{', or call the service ' + value if key == 'app' else ''}",
                shown(value),
            )


def _check_pods(service: Service, name: str, version: OutsideVersion, place: Location) -> Iterator[Finding]:
    if version.source is not Source.PODS:
        return
    labels, location = version.pod_labels(name), (*place, "labels")
    selector = service.routing.selector_of(service.name)
    for key, value in labels.items():
        if selector.get(key, value) != value:
            yield Finding(
                (*location, key),
                f"the Service selects only pods with {key}={selector[key]}, so it has none of these",
                "labels of pods that the Service selects, too",
                f"remove {key}, and set {key_path((*service.location, 'selector'))} to labels that all its pods have",
                shown(value),
            )
    for other, given in service.routing.versions.items():
        theirs = _labels(service, other, given)
        if other != name and theirs is not None and labels.items() <= {**selector, **theirs}.items():
            yield Finding(
                location,
                f"the pods of {other} have these labels, too, so {name} would be both",
                "labels that only the pods of this version have",
                f"add a label that tells them apart from those of {other}",
                shown(labels),
            )


def _labels(service: Service, name: str, version: Any) -> Mapping[str, str] | None:
    """The labels of a version's pods in the service's namespace, None if it has none there."""
    if not isinstance(version, OutsideVersion):
        return {"app": service.name, "version": version_label(service.name, name)}
    return version.pod_labels(name) if version.source is Source.PODS else None


def _check_service(view: View, service: Service, version: OutsideVersion, place: Location) -> Iterator[Finding]:
    if version.source is not Source.SERVICE:
        return
    called, namespace = version.service_of(service.routing.namespace)
    for other in view.services.values():
        if service_host(called, namespace) == service_host(other.name, other.routing.namespace):
            is_own = other.name == service.name
            first = next(iter(other.versions), "<version>")
            yield Finding(
                (*place, "service"),
                "this is the service itself: the version would be all of its versions"
                if is_own
                else f"{other.name} is a service of this stack, which routes lead to by its versions",
                "a Service that this stack does not make",
                "name the labels of its pods: labels: {version: v1}, for example"
                if is_own
                else f"remove the version, and write {other.name}/{first} in the route",
                shown(version.service),
            )
    if version.traffic_policy is not None and namespace != service.routing.namespace:
        yield Finding(
            (*place, "trafficPolicy"),
            f"no effect: Istio takes the policy for a Service of the namespace {namespace} from there, not from "
            f"{service.routing.namespace} (DestinationRule)",
            "trafficPolicy for a Service in the namespace of this one",
            f"remove it, and write a DestinationRule in {namespace}",
            shown(block(block(service.versions.get(str(place[-1]))).get("trafficPolicy"))),
        )


def _check_host(
    view: View, name: str, version: OutsideVersion, place: Location, hosts: dict[str, str]
) -> Iterator[Finding]:
    host = version.host
    if host is None:
        return
    known = hosts.setdefault(host, name)
    if known != name:
        yield Finding(
            (*place, "host"),
            f"{host} is already known to the mesh as {known}",
            "each host once",
            f"remove the version, and write {known} in the route",
            shown(host),
        )
    owner = next((one for one in view.services.values() if host in one.routing.hosts), None)
    if owner is not None:
        yield Finding(
            (*place, "host"),
            f"{host} is a host of {owner.name} at the gateway, so requests would come back to it",
            "a host that leads elsewhere",
            "write the name that the old system has of its own",
            shown(host),
        )


def _check_ingress(service: Service, version: OutsideVersion, place: Location) -> Iterator[Finding]:
    if version.source is not Source.PODS and service.routing.has_ingress(service.name):
        yield Finding(
            place,
            f"the backend of an Ingress is the Service {service.name}, which has no pods of this version",
            "versions with pods in the service's namespace",
            f"remove {key_path((*service.location, 'ingressClassName'))}",
        )


def check_egress_target(view: View, name: str, location: Location, given: Any) -> Iterator[Finding]:
    """Yield why routes cannot lead to the entry `name` of `egress`; `location` is that of the destination."""
    if name not in view.egress:
        near = nearest(name, view.egress)
        yield Finding(
            location,
            f"there is no {name!r} in egress{f'; the nearest is {near!r}' if near else ''}",
            f"{EGRESS}/<name> with one of {', '.join(view.egress) or 'its names, of which there is none'}",
            f"write {EGRESS}/{near}" if near else f"define {key_path((EGRESS, name))}",
            shown(given),
        )
        return
    external = view.egress[name]
    reason = _unroutable(external) if external else None
    if reason is not None:
        what, fix = reason
        yield Finding(
            location,
            f"{key_path((EGRESS, name))} {what}",
            "an entry of `egress` with one host, resolution DNS or STATIC, and a port with HTTP or TLS",
            fix,
            shown(given),
        )


def _unroutable(external: ExternalService) -> tuple[str, str] | None:
    """Why a route cannot lead to an entry of `egress`, and the fix."""
    if len(external.hosts) > 1 or "*" in external.hosts[0]:
        return f"stands for more than one host: {', '.join(external.hosts)}", "add an entry to `egress` for one host"
    if external.resolution is Resolution.NONE:
        return "has resolution NONE: requests would go to the address that the caller called", "write resolution: DNS"
    if port_for_http(external) is None:
        return "has no port for HTTP", "add {number: 80, protocol: HTTP} to its ports, for example"
    return None


def warnings(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """Yield versions of which a stack says only that they run already, and what it does not do for hosts and Services.

    `location` is the service's.
    """
    for name, version in service.outside.items():
        yield from _plain_text(service, version, (*location, "versions", name))
        yield from _unlimited(service, version, location, name)
        if version.source is Source.PODS and version.labels is None:
            label = f"version: {name}"
            yield Finding(
                (*location, "versions", name),
                f"the stack does not deploy {name}, which has no image: it is the pods with the label {label}",
                "image for a version that the stack deploys; labels, service or host for one that runs already",
                f"write labels: {{{label}}} if that is meant",
            )


def _unlimited(service: ServiceSettings, version: OutsideVersion, location: Location, name: str) -> Iterator[Finding]:
    """Limits and the like of the service that do not apply to the version, though it may need them as well."""
    if version.source is Source.PODS or service.traffic_policy is None:
        return
    given, own = (
        policy.model_dump(by_alias=True, exclude_none=True) if policy else {}
        for policy in (service.traffic_policy, version.traffic_policy)
    )
    missing = ", ".join(key for key in given if key not in own and key != "tls")
    namespace = version.service_of(service.namespace)[1]
    if not missing:
        return
    yield Finding(
        (*location, "versions", name),
        f"{name} has no {missing}: {key_path((*location, 'trafficPolicy'))} is for the service's pods, and {name} is "
        f"{version.words(name)}",
        "trafficPolicy of the version itself",
        f"write a DestinationRule in {namespace}; none needed if there is one"
        if version.source is Source.SERVICE and namespace != service.namespace
        else f"write {missing} in {key_path((*location, 'versions', name, 'trafficPolicy'))}, too; none "
        f"needed if {name} is to have none",
    )


def _plain_text(service: ServiceSettings, version: OutsideVersion, location: Location) -> Iterator[Finding]:
    """Requests in plain text to a port where servers usually expect TLS; connections are passed on as they are."""
    says_tls = version.traffic_policy is not None and version.traffic_policy.tls is not None
    if version.source is not Source.HOST or version.port not in TLS_PORTS or says_tls or not service.protocol.is_http:
        return
    if version.originates_tls:
        return
    yield Finding(
        (*location, "port"),
        f"requests go to {version.host}:{version.port} in plain text, and servers usually expect TLS there",
        "tls for a host that expects it; callers originate TLS by themselves only to port 443",
        "add trafficPolicy: {tls: {mode: SIMPLE}} to the version; none needed for mode: DISABLE, which says that it is "
        "plain text",
        shown(version.port),
    )
