"""Checks of authorization and TLS: conditions that never hold, and TLS modes that the pods do not accept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stacks.checks.view import Service, View, block, has, is_count
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import AccessRule, Mtls, OutsideVersion, Source, TrafficPolicy
from traffic.model.policy import TlsMode

BY_TOKEN = ("request_principals", "not_request_principals")
BY_CERTIFICATE = ("principals", "not_principals", "namespaces", "not_namespaces")


def check(view: View) -> Iterator[Finding]:
    """Yield authorization conditions that never hold, and traffic policies that the pods' settings contradict."""
    for service in view.services.values():
        ports = _ports(service)
        yield from _check_ports(service, ports)
        for location, rule in _access_rules(service):
            yield from _check_token(service, rule, location)
            yield from _check_certificate(view, service, rule, location)
            for index, port in enumerate(rule.ports):
                yield from _check_port(service, port, ports, (*location, "ports", index))
        for location, policy in _policies(service):
            outside = _is_outside(service, location)
            if not outside:
                yield from _check_tls(view, service, policy, location)
                yield from _check_own_tls(service, policy, location)
            yield from _check_failover(None if outside else service.routing.traffic_policy, policy, location)


def _access_rules(service: Service) -> Iterator[tuple[Location, AccessRule]]:
    authorization = service.routing.authorization
    for key in ("allow", "deny"):
        rules = getattr(authorization, key, None) or ()
        for index, rule in enumerate(rules):
            yield (*service.location, "authorization", key, index), rule


def _policies(service: Service) -> Iterator[tuple[Location, TrafficPolicy]]:
    if service.routing.traffic_policy is not None:
        yield (*service.location, "trafficPolicy"), service.routing.traffic_policy
    for name, version in service.routing.versions.items():
        if version.traffic_policy is not None:
            yield (*service.location, "versions", name, "trafficPolicy"), version.traffic_policy


def _is_outside(service: Service, location: Location) -> bool:
    """Whether a policy is that of another Service or a host, not of pods of the service."""
    version = service.routing.versions.get(str(location[3])) if location[2] == "versions" else None
    return isinstance(version, OutsideVersion) and version.source is not Source.PODS


def _ports(service: Service) -> set[int]:
    given: list[Any] = [block(version).get("port") for version in service.versions.values()]
    main = {port for port in given if is_count(port)}
    further = {port for name in service.routing.versions for port in service.routing.container_ports(name).values()}
    return main | further if main else main


def _check_ports(service: Service, ports: set[int]) -> Iterator[Finding]:
    for port in service.routing.mtls.port_level_mtls if service.routing.mtls else ():
        yield from _check_port(service, port, ports, (*service.location, "mtls", "portLevelMtls", str(port)))


def _check_port(service: Service, port: int, ports: set[int], location: Location) -> Iterator[Finding]:
    if not ports or port in ports:
        return
    known = ", ".join(map(str, sorted(ports)))
    is_services = port in (service.routing.port, *(one.port for one in service.routing.further_ports))
    yield Finding(
        location,
        f"{port} is the Service's port, not the container's" if is_services else f"no version listens on port {port}",
        f"container ports of the versions: {known}",
        f"write {known}" if len(ports) == 1 else "write one of these",
        shown(port),
    )


def _check_token(service: Service, rule: AccessRule, location: Location) -> Iterator[Finding]:
    if service.routing.jwt or "jwt" in service.given:
        return
    what = "the service validates no tokens, so no request has a token identity"
    fix = f"add {key_path((*service.location, 'jwt'))}"
    yield from _unknown_identities(rule, BY_TOKEN, location, what, "with `jwt` for the issuers of the tokens", fix)


def _check_certificate(view: View, service: Service, rule: AccessRule, location: Location) -> Iterator[Finding]:
    mode, place = _mode(view, service)
    if mode is not Mtls.DISABLE:
        return
    what = "callers are identified by mutual TLS, which is disabled for the service"
    fix = f"change {key_path(place)}"
    allowed = "with mutual TLS in mode STRICT or PERMISSIVE"
    yield from _unknown_identities(rule, BY_CERTIFICATE, location, what, allowed, fix)


def _unknown_identities(
    rule: AccessRule, names: Iterable[str], location: Location, what: str, allowed: str, fix: str
) -> Iterator[Finding]:
    """The keys of the rule that require identities which no request can have."""
    for name in names:
        if getattr(rule, name):
            key = AccessRule.model_fields[name].alias or name
            given = shown(list(getattr(rule, name)))
            # Without the key the rule would match more; a rule that never matches has no effect.
            always = name.startswith("not_")
            effect = "always" if always else "never"
            or_remove = "" if always else f", or remove the rule {key_path(location)}"
            yield Finding((*location, key), f"{effect} matches: {what}", f"{key} {allowed}", fix + or_remove, given)


def _mode(view: View, service: Service) -> tuple[Mtls | None, Location]:
    """The mutual TLS mode of a service's pods, None if it is not known, and the location of the setting."""
    mtls, namespace = service.routing.mtls, service.routing.namespace
    if mtls is not None and mtls.mode is not None:
        return mtls.mode, (*service.location, "mtls", "mode")
    around = view.namespaces.get(namespace)
    if around is not None and around.mtls is not None:
        return around.mtls, ("namespaces", namespace, "mtls")
    return view.mtls_of_mesh, ("mesh", "mtls")


def _check_tls(view: View, service: Service, policy: TrafficPolicy, location: Location) -> Iterator[Finding]:
    """Callers that use TLS in a way that the pods' sidecars do not accept get 503 for every request."""
    mode, source = _mode(view, service)
    by_port = service.routing.mtls.port_level_mtls if service.routing.mtls else {}
    if policy.tls is None or mode is None or by_port:
        return
    is_mutual = policy.tls.mode is TlsMode.ISTIO_MUTUAL
    if (mode is Mtls.STRICT and not is_mutual) or (mode is Mtls.DISABLE and is_mutual):
        spoken = "Istio's mutual TLS" if is_mutual else f"TLS in mode {policy.tls.mode.value}"
        yield Finding(
            (*location, "tls", "mode"),
            f"callers would use {spoken}, but {key_path(source)} is {mode.value}: every request would get 503",
            "a mode that the pods accept: ISTIO_MUTUAL with STRICT, any with PERMISSIVE",
            "remove tls: Istio chooses what the pods accept",
            shown(policy.tls.mode.value),
        )


def _check_own_tls(service: Service, policy: TrafficPolicy, location: Location) -> Iterator[Finding]:
    """A sidecar does not route requests to pods that terminate TLS: it treats them as the caller's own TLS."""
    if policy.tls is None or policy.tls.mode not in (TlsMode.SIMPLE, TlsMode.MUTUAL) or not service.routing.in_mesh:
        return
    yield Finding(
        (*location, "tls", "mode"),
        f"with {policy.tls.mode.value} the pods terminate TLS themselves, and Istio does not route requests to them "
        "from inside the mesh: the route would not apply to these",
        "SIMPLE and MUTUAL for services whose route only applies at gateways",
        f"remove mesh from {key_path((*service.location, 'gateways'))}, or remove tls",
        shown(policy.tls.mode.value),
    )


def _check_failover(whole: TrafficPolicy | None, policy: TrafficPolicy, location: Location) -> Iterator[Finding]:
    """Envoy only fails over to another region if it detects that pods fail. `whole` is the service's policy."""
    setting = policy.load_balancer.locality_lb_setting if policy.load_balancer else None
    if setting is None or not (setting.failover or setting.failover_priority):
        return
    if policy.outlier_detection is None and (whole is None or whole.outlier_detection is None):
        yield Finding(
            (*location, "loadBalancer", "localityLbSetting"),
            "failover has no effect without outlierDetection: no pod counts as failed",
            "failover and failoverPriority with outlierDetection",
            "add outlierDetection: {consecutive5xxErrors: 5} to the trafficPolicy",
        )


def warnings(settings: Settings, given: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield identities in authorizations that no workload has, in the namespaces of the stack's services."""
    own = {(service.namespace, service.account(name)) for name, service in settings.services.items()}
    namespaces = {namespace for namespace, _ in own}
    for principal, places in _principals(settings).items():
        _, namespace, _, account = principal.rsplit("/", 4)[-4:] if "*" not in principal else ("", "", "", "")
        if namespace in namespaces and (namespace, account) not in own:
            yield _nobody(settings, given, principal, (namespace, account), places)


def _principals(settings: Settings) -> dict[str, list[Location]]:
    """The identities in the authorizations, each with where it is."""
    found: dict[str, list[Location]] = {}
    for name, service in settings.services.items():
        for key in ("allow", "deny"):
            for index, rule in enumerate(getattr(service.authorization, key, None) or ()):
                for place, principal in enumerate(rule.principals):
                    location = ("services", name, "authorization", key, index, "principals", place)
                    found.setdefault(principal, []).append(location)
    return found


def _nobody(
    settings: Settings, given: Mapping[str, Any], principal: str, of: tuple[str, str], places: list[Location]
) -> Finding:
    """The place is the line that moved or removed the caller, if the file has one."""
    namespace, account = of
    moved = settings.services.get(account)
    caller: Location = ("services", account, "namespace") if moved else ("services", account)
    written = [place for place in places if has(given, place)]
    names = " and ".join(dict.fromkeys(key_path(place[:4]) for place in places))
    now = f"{account} is in {moved.namespace}" if moved else f"{namespace} has no service {account}"
    new = principal.replace(f"/ns/{namespace}/", f"/ns/{moved.namespace}/") if moved else ""
    if moved:
        fix = f"put {account} back into {namespace}, or write {new} there"
    else:
        change = "remove it" if has(given, caller) and not written else "correct the identity"
        fix = f"{change}; none needed if a workload outside the stack has it"
    return Finding(
        written[0] if written else caller if has(given, caller) else places[0],
        f"no service of the stack has the identity {principal} in {names}: {now}",
        f"identities of services: <trust domain>/ns/<namespace>/sa/<service>, in {namespace} those of "
        + ", ".join(name for name, service in settings.services.items() if service.namespace == namespace),
        fix,
        shown(moved.namespace if moved and not written else principal),
    )
