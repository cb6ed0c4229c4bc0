"""All changes of the corpus in one stack before and one after, with few pods: each change has hosts of its own.

The services of a change get its name, and their hosts a domain of its own. Requests go to the versions of one service
that all of them share, instead of their own, which have no pods. Only an Ingress cannot name another service: that
change keeps its pods.
"""

from __future__ import annotations

import json
from typing import Any

from tests.changes import IMAGE, Change, Config
from traffic.model import own_gateway

BACKEND, NAMESPACE = "backend", "changes"
BACKENDS = {
    "version-1": "version-1",
    "version-2": "version-2",
    "version-3": "version-3",
    "search/version-1": "version-4",
}
"""The version of the shared service by the destination in the corpus."""
IDLE = "idle"
"""The only version of a service of the corpus, which never gets requests."""
WITH_PODS = "ingressed"
"""The name of the service that keeps its pods."""
ECHO = {"image": IMAGE, "port": 8080, "preStopSeconds": 0, "terminationGracePeriodSeconds": 1}
Service = dict[str, Any]


def services_of(changes: list[Change], side: str) -> dict[str, Service]:
    """Return the services of all changes at a side, `before` or `after`, and the one that they share."""
    services: dict[str, Service] = {BACKEND: _backend()}
    for change in changes:
        config: Config = getattr(change, side)
        for name, service in config["services"].items():
            services[name_of(change, name)] = _moved(change, name, service)
    return services


def name_of(change: Change, service: str) -> str:
    """Return the name that a service of a change has in the stack."""
    is_ingress = "ingressClassName" in change.before["services"].get(service, {})
    return WITH_PODS if is_ingress else f"{service}-{change.name}"


def _backend() -> Service:
    versions = dict.fromkeys(BACKENDS.values(), ECHO)
    # The weights name every version; the first rule takes all that come.
    weights = {version: 100 if version == "version-1" else 0 for version in versions}
    return {"gateways": ["mesh"], "versions": versions, "route": [{"to": weights}]}


def _moved(change: Change, name: str, service: Service) -> Service:
    """The service in the shared namespace, with the hosts and destinations of this stack."""
    moved: Service = json.loads(json.dumps(service).replace("example.com", f"{change.name}.example.com"))
    moved["namespace"] = NAMESPACE
    if name_of(change, name) == WITH_PODS:
        moved["versions"] = {version: {**given, **ECHO} for version, given in moved["versions"].items()}
        return moved
    own = own_gateway(name)
    if "gateways" in moved:
        moved["gateways"] = [own_gateway(name_of(change, name)) if one == own else one for one in moved["gateways"]]
    moved["versions"] = {IDLE: {**ECHO, "replicas": 0}}
    route = moved.get("route", [{"to": next(iter(service["versions"]))}])
    moved["route"] = [_retargeted(name, rule) for rule in route]
    first = next(rule for rule in moved["route"] if "to" in rule)
    first["to"] = {**first["to"], IDLE: 0}
    return moved


def _retargeted(service: str, rule: dict[str, Any]) -> dict[str, Any]:
    """The rule with the versions of the shared service as its destinations."""
    changed = dict(rule)
    if "to" in rule:
        weights = {rule["to"]: 100} if isinstance(rule["to"], str) else rule["to"]
        changed["to"] = {_backend_of(service, name): weight for name, weight in weights.items()}
    if "mirrors" in rule:
        changed["mirrors"] = [{**mirror, "to": _backend_of(service, mirror["to"])} for mirror in rule["mirrors"]]
    return changed


def _backend_of(service: str, destination: str) -> str:
    name = f"search/{destination}" if service == "search" else destination
    return f"{BACKEND}/{BACKENDS[name]}"
