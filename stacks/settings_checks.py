"""Checks across keys: of a rule with its versions, of versions and services with one another.

They look at the values as given, not at validated settings, and pass over what is malformed: that is reported by
itself, and must not hide what is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stacks.fields import amount
from stacks.problems import Finding, Location, key_path, nearest, shown
from stacks.settings_model import GatewaySettings, MeshSettings, ServiceSettings, Settings
from traffic.model import Match, Rule, version_label
from traffic.reach import covers, is_catch_all

MATCHES: TypeAdapter[tuple[Match, ...]] = TypeAdapter(tuple[Match, ...])
LONGEST_LABEL = 63


def check(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the mistakes across keys of a stack's values, after samples were laid under `services`."""
    services, mesh = _block(values.get("services")), _block(values.get("mesh"))
    yield from _check_mtls(mesh)
    yield from _check_ready(services, values.get("readyWithin", Settings.model_fields["ready_within"].default))
    for name, service in services.items():
        if isinstance(service, dict):
            location = ("services", name)
            yield from _check_route(service, location)
            yield from _check_versions(name, service, location)
    yield from _check_hosts(services)
    yield from _check_names(services, mesh)


def _check_route(service: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    versions, rules = service.get("versions"), service.get("route")
    if rules is None and isinstance(versions, dict) and len(versions) > 1:
        yield Finding(
            (*location, "route"),
            f"there is no route between the {len(versions)} versions",
            "a list of rules that ends with one without `match`",
            f"add `route: [{{to: {next(iter(versions))}}}]`",
        )
    if not isinstance(rules, list):
        return
    for index, rule in enumerate(rules):
        if isinstance(rule, dict):
            yield from _check_weights(rule.get("to"), (*location, "route", index, "to"))
    if isinstance(versions, dict):
        yield from _check_targets(rules, versions, location)
    yield from _check_reach(rules, (*location, "route"))


def _check_weights(to: Any, location: Location) -> Iterator[Finding]:
    if not isinstance(to, dict) or not to or not all(_is_weight(weight) for weight in to.values()):
        return
    total = sum(to.values())
    if total == 100:
        return
    largest = max(to, key=lambda version: to[version])
    mended = {**to, largest: to[largest] + 100 - total}
    yield Finding(
        location,
        f"the weights sum to {total}, not 100",
        "whole percentages by version that sum to 100",
        f"write {_flow(mended)}, for example"
        if min(mended.values()) >= 0
        else "lower the weights until they sum to 100",
        _flow(to),
    )


def _is_weight(value: Any) -> bool:
    return _is_count(value) and 0 <= value <= 100


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flow(weights: Mapping[str, int]) -> str:
    return f"{{{', '.join(f'{version}: {weight}' for version, weight in weights.items())}}}"


def _targets(rule: Any) -> list[str] | None:
    """The versions that a rule names, or None where it cannot be told."""
    to = rule.get("to") if isinstance(rule, dict) else None
    if isinstance(to, str):
        return [to]
    return list(to) if isinstance(to, dict) else None


def _check_targets(rules: list[Any], versions: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    named = [_targets(rule) for rule in rules]
    for index, targets in enumerate(named):
        for target in targets or []:
            if target in versions:
                continue
            near = nearest(target, versions)
            place = (*location, "route", index, "to")
            yield Finding(
                place if isinstance(rules[index]["to"], str) else (*place, target),
                f"there is no version {target!r}{f'; the nearest is {near!r}' if near else ''}",
                f"the versions of the service: {', '.join(versions) or 'none is defined'}",
                f"write {near}" if near else f"define {target} below {key_path((*location, 'versions'))}",
                shown(rules[index]["to"]),
            )
    if not rules or None in named:
        return
    reached = {target for targets in named for target in targets or []}
    for version in versions:
        if version not in reached:
            yield Finding(
                (*location, "versions", version),
                "no rule of the route sends requests to this version",
                "every version is named by a rule, be it with a weight of 0",
                f"name it in {key_path((*location, 'route'))}, or take it out",
            )


def _check_reach(given: list[Any], location: Location) -> Iterator[Finding]:
    rules = [_matching(rule) for rule in given]
    for index, rule in enumerate(rules):
        earlier = [one for one in range(index) if (other := rules[one]) and rule and covers(other, rule)]
        if not rule or not earlier:
            continue
        first = earlier[0]
        yield _unreachable((*location, index), key_path((*location, first)), rules[first], rule, given[index])
    if rules and all(rules) and not any(rule and is_catch_all(rule) for rule in rules):
        targets = next((names for names in map(_targets, reversed(given)) if names), ["version-1"])
        yield Finding(
            location,
            "requests that meet none of the rules would be answered with 404",
            "a route whose last rule takes all requests that are left: a rule without `match`",
            f"add a last rule, for example `- to: {targets[0]}`",
        )


def _unreachable(location: Location, earlier: str, first: Rule | None, rule: Rule, given: Any) -> Finding:
    if first and is_catch_all(first):
        what = f"no request reaches this rule: {earlier} takes every request"
        remedy = f"move {earlier} to the end of the route"
    elif first and first.match == rule.match:
        what = f"no request reaches this rule: {earlier} has the same matches"
        remedy = "take one of the two out"
    else:
        what = f"no request reaches this rule: {earlier} takes all that it asks for"
        remedy = f"move this rule before {earlier}"
    return Finding(location, what, "rules from the narrowest to the widest", remedy, shown(given))


def _matching(rule: Any) -> Rule | None:
    """A rule by its matches alone, or None where these are malformed."""
    if not isinstance(rule, dict) or rule.get("match", True) in (None, []):
        return None
    if "match" not in rule:
        return Rule.model_construct(match=(), to="")
    try:
        matches = MATCHES.validate_python(rule["match"], by_name=False, by_alias=True)
    except ValidationError:
        return None
    return Rule.model_construct(match=matches, to="")


def _check_versions(service: str, settings: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    for version, given in _block(settings.get("versions")).items():
        place = (*location, "versions", version)
        label = version_label(service, version)
        if max(len(service), len(version)) <= LONGEST_LABEL < len(label):
            yield Finding(
                place,
                f"the label `version` of its pods would be {label!r}, which has {len(label)} characters",
                f"<service>-<version> with at most {LONGEST_LABEL} characters together",
                "shorten the name of the version or of the service",
            )
        resources = _block(_block(given).get("resources"))
        yield from _check_resources(resources, (*place, "resources"))


def _check_resources(resources: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    limits = _block(resources.get("limits"))
    for name, request in _block(resources.get("requests")).items():
        limit = limits.get(name)
        try:
            if limit is None or amount(str(request)) <= amount(str(limit)):
                continue
        except ArithmeticError:
            continue
        yield Finding(
            (*location, "requests", name),
            f"{request} is requested, and the limit is {limit}",
            "a request that is at most the limit",
            f"lower the request to {limit}, or raise the limit",
            shown(request),
        )


def _check_ready(services: Mapping[str, Any], ready_within: Any) -> Iterator[Finding]:
    """A Deployment is ready after `minReadySeconds` at the earliest, and is waited for no longer than `readyWithin`."""
    for service, settings in services.items():
        for version, given in _block(_block(settings).get("versions")).items():
            seconds = _block(given).get("minReadySeconds")
            if not _is_count(seconds) or not _is_count(ready_within) or seconds < ready_within:
                continue
            yield Finding(
                ("services", service, "versions", version, "minReadySeconds"),
                f"an `up` waits {ready_within} s (readyWithin), and no pod would count before {seconds} s",
                f"a whole number below {key_path(('readyWithin',))}, which is {ready_within}",
                f"lower it, or raise {key_path(('readyWithin',))} above {seconds}",
                shown(seconds),
            )


def _check_mtls(mesh: Mapping[str, Any]) -> Iterator[Finding]:
    if mesh.get("install") is False and "mtls" in mesh:
        yield Finding(
            ("mesh", "mtls"),
            "with install: false the mesh is somebody else's, and its owner decides on mutual TLS: this says nothing",
            "mtls where this stack installs the mesh",
            "take mtls out; `kubectl get peerauthentication --all-namespaces` shows what the owner decided",
            shown(mesh["mtls"]),
        )


def _check_hosts(services: Mapping[str, Any]) -> Iterator[Finding]:
    first: dict[tuple[str, Any], Location] = {}
    for name, service in services.items():
        hosts = _block(service).get("hosts")
        port = _block(service).get("gatewayPort", ServiceSettings.model_fields["gateway_port"].default)
        for index, host in enumerate(hosts if isinstance(hosts, list) else []):
            if not isinstance(host, str) or not isinstance(port, int):
                continue
            location = ("services", name, "hosts", index)
            owner = first.setdefault((host.lower(), port), location)
            if owner == location:
                continue
            whose = "this service" if owner[1] == name else f"the service {owner[1]!r}"
            yield Finding(
                location,
                f"host {host!r} on gateway port {port} is claimed by {whose} already, at {key_path(owner)}",
                "each host and gateway port once in a stack",
                "take it out" if owner[1] == name else "choose another host, or another `gatewayPort`",
                shown(host),
            )


def _check_names(services: Mapping[str, Any], mesh: Mapping[str, Any]) -> Iterator[Finding]:
    """Deployments and Services of one namespace must differ in name, also from those of the mesh."""
    taken: dict[tuple[str, str, str], str] = {}
    for namespace, name in _names_of_mesh(mesh):
        if isinstance(namespace, str) and isinstance(name, str):
            taken["Deployment", namespace, name] = taken["Service", namespace, name] = key_path(("mesh",))

    def claim(kind: str, namespace: Any, name: Any, location: Location, remedy: str) -> Iterator[Finding]:
        if not isinstance(namespace, str) or not isinstance(name, str):
            return
        owner = taken.setdefault((kind, namespace, name), key_path(location))
        if owner != key_path(location):
            yield Finding(
                location,
                f"the {kind} {name!r} in namespace {namespace!r} is made by {owner} already",
                f"one {kind} of a name in a namespace",
                remedy,
            )

    for service, settings in services.items():
        location = ("services", service)
        namespace = _block(settings).get("namespace") or service
        yield from claim("Service", namespace, service, location, "give the service another `namespace` or name")
        for version, given in _block(_block(settings).get("versions")).items():
            name = _block(given).get("name") or f"{service}-{version}"
            place = (*location, "versions", version)
            yield from claim("Deployment", namespace, name, place, "give this version another `name`")


def _names_of_mesh(mesh: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    if mesh.get("install", True) is not True:
        return
    gateway = _block(mesh.get("gateway"))
    defaults: Callable[[str], Any] = lambda field: GatewaySettings.model_fields[field].default  # noqa: E731
    yield gateway.get("namespace", defaults("namespace")), gateway.get("name", defaults("name"))
    yield mesh.get("namespace", MeshSettings.model_fields["namespace"].default), "istiod"


def _block(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
