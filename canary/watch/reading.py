"""One refresh of `canary status --watch`: what the cluster and Prometheus say of each version.

What is not known is None with a reason, never zero: a version without data is not a version without errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from canary.telemetry import finite
from canary.time_options import rfc3339, words
from metrics.durations import promql_duration
from metrics.queries import Scope
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from canary.status import RuleState, ServiceState, VersionState
    from metrics.prometheus import Prometheus, Sample
    from metrics.queries import Queries
    from stacks.settings.model import ServiceSettings, Settings

QUANTILE = 0.95
Values = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What Prometheus knows of one service, each by version, without what it does not know.

    Requests a second; share and success rate from 0 to 1; the 95th percentile of the duration in milliseconds.
    """

    requests: Values = field(default_factory=dict)
    share: Values = field(default_factory=dict)
    success_rate: Values = field(default_factory=dict)
    p95: Values = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """One version. `weight` is the live percent of the default rule.

    `problems` say why values are unknown. `idle` is set if the version had no requests, and so no success rate.
    """

    name: str
    weight: float | None = None
    requests: float | None = None
    share: float | None = None
    success_rate: float | None = None
    p95: float | None = None
    pods_ready: int | None = None
    pods_desired: int | None = None
    problems: tuple[str, ...] = ()
    idle: str = ""


@dataclass(frozen=True)
class ServiceRows:
    """One service: its versions, those that are not in the config last, and what its other rules do."""

    name: str
    namespace: str
    versions: tuple[VersionRow, ...]
    other_rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class WatchState:
    """All services at `time` (seconds since 1970), with the traffic of the last `window` seconds."""

    stack: str
    time: float
    window: float
    services: tuple[ServiceRows, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why data is missing, each reason once."""
        rows = (row for service in self.services for row in service.versions)
        return tuple(dict.fromkeys(problem for row in rows for problem in row.problems))


def read_traffic(prometheus: Prometheus, queries: Queries, settings: Settings, window: float) -> Mapping[str, Traffic]:
    """Return the traffic of each service in the last `window` seconds; raises PrometheusError."""
    over = promql_duration(window)
    read = {}
    for name, service in settings.services.items():
        scope = Scope(service=name, namespace=service.namespace)
        asked = {
            "requests": queries.requests(scope, over),
            "share": queries.share(scope, over),
            "success_rate": queries.success_rate(scope, over),
            "p95": queries.duration(scope, QUANTILE, over),
        }
        answers = {key: _by_version(prometheus.instant(query)) for key, query in asked.items()}
        read[name] = Traffic(**answers)
    return read


def assemble(
    settings: Settings,
    cluster: Mapping[str, ServiceState] | str,
    traffic: Mapping[str, Traffic] | str,
    window: float,
) -> tuple[ServiceRows, ...]:
    """Return the rows of all services; `cluster` and `traffic` are by service, or why they could not be read."""
    return tuple(
        _service(
            name,
            service,
            cluster if isinstance(cluster, str) else cluster[name],
            traffic if isinstance(traffic, str) else traffic[name],
            window,
        )
        for name, service in settings.services.items()
    )


def as_json(state: WatchState) -> dict[str, Any]:
    """Return the document printed by `--json`, one line for each refresh."""
    return {
        "stack": state.stack,
        "time": rfc3339(state.time),
        "window_seconds": state.window,
        "problems": list(state.problems),
        "services": [
            {
                "name": service.name,
                "namespace": service.namespace,
                "versions": [_version_json(row) for row in service.versions],
                "other_rules": list(service.other_rules),
            }
            for service in state.services
        ],
    }


def _version_json(row: VersionRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "weight_percent": row.weight,
        "share_percent": None if row.share is None else round(100 * row.share, 3),
        "requests_per_second": None if row.requests is None else round(row.requests, 3),
        "success_percent": None if row.success_rate is None else round(100 * row.success_rate, 3),
        "p95_milliseconds": None if row.p95 is None else round(row.p95, 3),
        "pods_ready": row.pods_ready,
        "pods_desired": row.pods_desired,
        "problem": "; ".join(filter(None, (*row.problems, row.idle))) or None,
    }


def _by_version(samples: Iterable[Sample]) -> dict[str, float]:
    found = ((sample.labels["version"], finite(sample.value)) for sample in samples)
    return {version: value for version, value in found if value is not None}


def _service(
    name: str, service: ServiceSettings, live: ServiceState | str, traffic: Traffic | str, window: float
) -> ServiceRows:
    default = max((index for index, rule in enumerate(service.route) if not rule.match), default=None)
    rules = () if isinstance(live, str) else live.rules
    weights = rules[default].live if default is not None and rules else {}
    states = {} if isinstance(live, str) else {state.name: state for state in live.versions}
    known = Traffic() if isinstance(traffic, str) else traffic
    removed = sorted(version for version, rate in known.requests.items() if rate and version not in service.versions)
    rows = []
    for version in (*service.versions, *removed):
        place = f"{name} {version}"
        of_cluster = live if isinstance(live, str) else _missing_live(name, version, version in states, weights)
        of_traffic = traffic if isinstance(traffic, str) else _missing_traffic(name, version, traffic, window)
        row = VersionRow(
            name=version,
            weight=weights.get(version, 0) if weights else None,
            **_pods(states.get(version)),
            **_traffic(known, version),
            problems=tuple(filter(None, (of_cluster, of_traffic))),
        )
        rows.append(
            replace(row, idle=f"{place}: no requests in the last {words(window)}") if row.requests == 0 else row
        )
    others = tuple(_rule_text(rule) for index, rule in enumerate(rules) if index != default and rule.live)
    return ServiceRows(name, service.namespace, tuple(rows), others)


def _pods(state: VersionState | None) -> dict[str, Any]:
    return {"pods_ready": state.ready, "pods_desired": state.desired} if state else {}


def _traffic(traffic: Traffic, version: str) -> dict[str, Any]:
    requests = traffic.requests.get(version)
    of_requests = {"success_rate": traffic.success_rate.get(version), "p95": traffic.p95.get(version)}
    return {"requests": requests, "share": traffic.share.get(version), **(of_requests if requests else {})}


def _missing_live(name: str, version: str, is_configured: bool, weights: Mapping[str, float]) -> str:
    """Why the cluster has no pods or no weight of a version; empty if it has both."""
    if not is_configured:
        return f"{name} {version}: the version gets requests but is not in the config, so its pods are unknown"
    return "" if weights else f"{name}: the cluster has no VirtualService with weights for its default rule"


def _missing_traffic(name: str, version: str, traffic: Traffic, window: float) -> str:
    """Why Prometheus has no values, or not all, of a version; empty if it has all."""
    span = words(window)
    requests = traffic.requests.get(version)
    if not traffic.requests:
        return (
            f"{name}: Prometheus has counted no requests to it in the last {span}; fix: send requests, or look in "
            "Prometheus whether it scrapes the callers' proxies (Status, Target health)"
        )
    if requests is None:
        return f"{name} {version}: Prometheus has counted no requests to it in the last {span}"
    named = {"success rate": traffic.success_rate, "p95": traffic.p95} if requests else {}
    total = sum(traffic.requests.values())
    absent = [
        label
        for label, values in ({"share": traffic.share, **named} if total else named).items()
        if version not in values
    ]
    return f"{name} {version}: Prometheus has no {' and no '.join(absent)} of it" if absent else ""


def _rule_text(rule: RuleState) -> str:
    number, _, kind = rule.name.partition(". ")
    weights = ", ".join(f"{version} {percent_words(weight)}" for version, weight in rule.live.items())
    return f"rule {number} ({kind}): {weights}"
