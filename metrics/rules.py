"""Prometheus' rules of a stack: the weights as series, and alerts on versions that do worse or get a wrong share.

See Prometheus' "Defining recording rules" and "Alerting rules".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metrics import queries
from metrics.queries import Queries, Scope, Source
from traffic.model import Rule, ServiceRouting, TrafficPolicy, target

VERSION, VALUE = "{{ $labels.version }}", '{{ $value | printf "%.1f" }}'
"""Templates in annotations (Prometheus, "Alerting rules, Templating")."""


@dataclass(frozen=True, kw_only=True)
class AlertThresholds:
    """When the alerts fire.

    `for_` is how long a condition must hold. `failure_rate` and `share` are differences in percentage points, measured
    over 5 minutes in which there were at least `minimum_requests`: of the version for the former, of the service for
    the latter.
    """

    for_: str = "2m"
    failure_rate: float = 1.0
    share: float = 5.0
    minimum_requests: int = 50


def weight_groups(services: Mapping[str, ServiceRouting]) -> dict[str, Any]:
    """Return a rule file with the weights; `services` have their namespaces and routes filled in.

    Recorded for each version is `istio_canary:weight`, its share by the default rule (0..1; 0 if that rule does not
    name it). A file of its own, so that a change of a weight is a small one.
    """
    groups = (
        {"name": f"istio-canary weights of {name}", "rules": list(_weight_rules(name, service))}
        for name, service in services.items()
    )
    return {"groups": list(groups)}


def rule_groups(
    services: Mapping[str, ServiceRouting], alerts: AlertThresholds | None, source: Source
) -> dict[str, Any]:
    """Return a rule file with a group for each service; `services` have their namespaces and routes filled in.

    Recorded for each version are `istio_canary:requests:rate5m` and `istio_canary:failures:rate5m`, in requests a
    second.

    Alerts, unless `alerts` is None, are for services with several versions:

    - CanaryWorseThanStable: a version fails more often than stable, the version with the largest weight (of several,
      the first).
    - CanaryShareOff: a version's share is not its weight. Only where nothing else sends requests to a version: not with
      a second rule (a header rule adds requests to its version), sticky rules, consistent hashing, mirrors, or another
      service's route that names a version. The 5 minutes after a change of its weight do not count.
    """
    return {"groups": [_group(name, services, alerts, source) for name in services]}


def _group(
    name: str, services: Mapping[str, ServiceRouting], alerts: AlertThresholds | None, source: Source
) -> dict[str, Any]:
    service = services[name]
    weights = _weights(name, service)
    rules = list(_recording_rules(name, service, source))
    if alerts is not None and len(service.versions) > 1 and any(weights.values()):
        rules.append(_worse_than_stable(name, service, weights, alerts))
        if _share_is_weight(name, services):
            rules.append(_share_off(name, service, alerts))
    return {"name": f"istio-canary {name}", "rules": rules}


def _weights(name: str, service: ServiceRouting) -> dict[str, float]:
    """The percentage of each version in the default rule, the one without a match."""
    default = next((rule for rule in service.route if not rule.match), None)
    given = default.weights if default else {}
    own = {target(name, to).version: weight for to, weight in given.items() if _is_own(name, to)}
    return {version: own.get(version, 0) for version in service.versions}


def _weight_rules(name: str, service: ServiceRouting) -> Iterator[dict[str, Any]]:
    for version, weight in _weights(name, service).items():
        labels = {**_labels(name, service), "version": version}
        yield {"record": queries.WEIGHT, "expr": queries.constant(weight / 100), "labels": labels}


def _recording_rules(name: str, service: ServiceRouting, source: Source) -> Iterator[dict[str, Any]]:
    labels = _labels(name, service)
    asked, scope = Queries(source), _scope(name, service)
    yield {"record": queries.REQUESTS, "expr": asked.requests(scope, queries.RECORDED_OVER), "labels": dict(labels)}
    yield {"record": queries.FAILURES, "expr": asked.failures(scope, queries.RECORDED_OVER), "labels": dict(labels)}


def _worse_than_stable(
    name: str, service: ServiceRouting, weights: Mapping[str, float], alerts: AlertThresholds
) -> dict[str, Any]:
    stable = max(weights, key=lambda version: weights[version])
    return {
        "alert": "CanaryWorseThanStable",
        "expr": queries.worse_than_stable(_scope(name, service), stable, alerts.failure_rate, alerts.minimum_requests),
        "for": alerts.for_,
        "labels": {"severity": "critical", **_labels(name, service)},
        "annotations": {
            "summary": f"{VERSION} of {name} fails more often than {stable}",
            "description": f"{VERSION} of {name} in namespace {service.namespace}: {VALUE} percentage points more of "
            f"its requests failed in the last 5 minutes than of those to {stable}; allowed: {alerts.failure_rate:g}. "
            "To see the versions' pods and weights: `canary status`. "
            f"To send all requests to {stable}: write `to: {stable}` in the stack's file, then `canary up`.",
        },
    }


def _share_off(name: str, service: ServiceRouting, alerts: AlertThresholds) -> dict[str, Any]:
    scope = _scope(name, service)
    return {
        "alert": "CanaryShareOff",
        "expr": queries.share_off(scope, alerts.share, alerts.minimum_requests),
        "for": alerts.for_,
        "labels": {"severity": "warning", **_labels(name, service)},
        "annotations": {
            "summary": f"the share of {VERSION} of {name} is not its weight",
            "description": f"{VERSION} of {name} in namespace {service.namespace} got {VALUE} % of the requests in the "
            f"last 5 minutes; its weight is {queries.weight_in_alert(scope)} %; allowed: {alerts.share:g} percentage "
            "points more or less. "
            "To see whether the cluster has the route of the stack's file: `canary status`. "
            f"To see which rule decides: `canary explain {name}`. "
            "Callers inside the mesh follow the route only if `gateways` has mesh.",
        },
    }


def _share_is_weight(name: str, services: Mapping[str, ServiceRouting]) -> bool:
    """Whether nothing but the default rule's weights decides which version gets a request of the service."""
    service = services[name]
    if len(service.route) != 1 or service.route[0].sticky or _hashes(service):
        return False
    rule = service.route[0]
    if not all(_is_own(name, to) for to in rule.weights) or any(_is_own(name, mirror.to) for mirror in rule.mirrors):
        return False
    others = (rule for caller, other in services.items() if caller != name for rule in other.route)
    return not any(to.startswith(f"{name}/") for rule in others for to in _destinations(rule))


def _destinations(rule: Rule) -> list[str]:
    return [*rule.weights, *(mirror.to for mirror in rule.mirrors)]


def _hashes(service: ServiceRouting) -> bool:
    policies: list[TrafficPolicy | None] = [service.traffic_policy]
    policies += [version.traffic_policy for version in service.versions.values()]
    return any(
        policy and policy.load_balancer and policy.load_balancer.consistent_hash is not None for policy in policies
    )


def _is_own(name: str, destination: str) -> bool:
    return target(name, destination).service == name


def _scope(name: str, service: ServiceRouting) -> Scope:
    return Scope(service=name, namespace=service.namespace)


def _labels(name: str, service: ServiceRouting) -> dict[str, str]:
    return {"service": name, "namespace": service.namespace}
