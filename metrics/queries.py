"""PromQL: what Prometheus is asked about the versions of a service. No other module writes it (`promql` has its parts,
`series_names` the names, `raw_samples` what is read as it was scraped).

All numbers come from the callers' Envoys, of gateways and sidecars, which also know of requests that no pod ever saw.
Envoy keeps statistics by cluster; Istio's cluster `outbound|<port>|<subset>|<service>.<namespace>.svc.<domain>` is a
version. See Istio's "Istio Standard Metrics" and Prometheus' "Query functions".

**Callers that gave up.** Envoy counts a try, a request for a pod, when it has a connection (`rq_total`), is cancelled
while it waits for one (`rq_cancelled`), cannot have one (`rq_pending_failure_eject`), may not have one
(`rq_pending_overflow`, `rq_active_overflow`), or finds no healthy pod (`cx_none_healthy`). A try ends in an answer
(`rq_completed`), is repeated (`rq_retry`), or is still running (`rq_active`); if its caller gave up, nothing says so:

    gave up = total + cancelled + eject + overflow + none healthy - completed - retried - growth of active

and never more than the tries that Envoy ended itself: cancelled, reset (HTTP/2: `rq_tx_reset`) or closed (HTTP/1.1:
`cx_destroy_local_with_active_rq`). The bound removes what else makes a difference: a broken HTTP/2 connection counts
its tries as `eject` too, answers that are being streamed are active, and rate() extrapolates. Measured on Envoy 1.40.

**Counters that begin.** Envoy creates a counter with its first event, so it appears with a value that rate() takes for
history. If the Envoy was scraped before without the counter (`up` tells), it is counted: first failures are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from metrics.durations import prometheus_seconds
from metrics.promql import (
    equals,
    is_variable,
    labelled,
    pattern_of,
    quoted,
    selector_of,
    sum_by,
    total,
    union,
    version_from,
)
from metrics.series_names import (
    ACTIVE,
    BY_CODE,
    CALLS,
    CANCELLED,
    CLOSED,
    COMPLETED,
    CONNECTED,
    EJECTED,
    ENVOY,
    FAILED_CALLS,
    HEALTHY,
    ISTIO_REQUESTS,
    ISTIO_TIME,
    LIMITS,
    NO_HEALTHY_POD,
    REFUSED,
    RESET,
    RETRIED,
    RETRIED_ANSWERS,
    REVISION,
    TIME,
    UNKNOWN_REVISION,
)

WEIGHT = "istio_canary:weight"
REQUESTS = "istio_canary:requests:rate5m"
FAILURES = "istio_canary:failures:rate5m"
"""Recorded series, with the labels service, namespace and version (metrics.rules)."""

RECORDED_OVER = "5m"
RECORDED_SECONDS = round(prometheus_seconds(RECORDED_OVER))

OWN_LABELS = ("version",)
"""Labels that the queries set: series of Istio that differed in them alone would become the same."""


class Source(StrEnum):
    """Whose counters tell of requests; retries, ejections and healthy pods are Envoy's in both."""

    ISTIO = "istio"
    """Istio's metrics, with reporter="source". Requests that were sent to no pod are added from Envoy's statistics."""

    ENVOY = "envoy"
    """Statistics of the clusters, for an Envoy without Istio's filters."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One service. A field with a `$` is a variable of Grafana, which stands for a name or for a regular expression.

    Its versions are subsets of its Service, or with `hosts` these Services, whose names are those of the versions.
    """

    service: str
    namespace: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Queries:
    """Queries by version. Each method returns PromQL for an instant vector with the label `version`, others dropped.

    `over` is a range such as `1m`, or a variable of Grafana such as `$__rate_interval`. A version of which nothing is
    known is absent from every result.
    """

    source: Source

    def requests(self, scope: Scope, over: str) -> str:
        """Requests a second, as callers saw them: answered ones, and those whose caller gave up."""
        if self.source is Source.ISTIO:
            return total(_istio(scope, over), _unsent(scope, over))
        return total(_answers(scope, over), _gave_up(scope, over))

    def responses(self, scope: Scope, over: str) -> str:
        """The same by version, response_code and response_flags; code 0 is a caller that gave up.

        Envoy's own statistics have no flags: with source envoy, only those of a caller that gave up (DC).
        """
        if self.source is Source.ISTIO:
            unsent = [
                labelled(
                    f"{_clusters(_counters(scope, over, *statistics))} > 0", response_code="503", response_flags=flag
                )
                for flag, statistics in (("UH", (NO_HEALTHY_POD,)), ("UO", LIMITS))
            ]
            return " or ".join([_istio(scope, over, by=("version", "response_code", "response_flags")), *unsent])
        codes = _by_code(scope, over, 'response_code!=""', by=("version", "response_code"))
        gave_up = labelled(f"{_gave_up(scope, over)} > 0", response_code="0", response_flags="DC")
        return f"{codes} or {gave_up}"

    def failures(self, scope: Scope, over: str) -> str:
        """Failed requests a second: status 5xx, a failed call of gRPC, no pod reached, or given up. 0 without any.

        A request whose cluster does not exist (NC) is in no version's counters.
        """
        if self.source is Source.ISTIO:
            failed = _istio(scope, over, 'response_code=~"0|5.."')
            calls = _istio(scope, over, 'response_code!~"0|5.."', f'grpc_response_status=~"{"|".join(FAILED_CALLS)}"')
            return total(failed, calls, _unsent(scope, over), f"0 * {_istio(scope, over)}")
        return total(_failed_answers(scope, over), _gave_up(scope, over))

    def success_rate(self, scope: Scope, over: str) -> str:
        """Share of the requests that did not fail, 0..1; absent where there were no requests.

        Not below 0: the counter of failures may begin later than that of requests, which rate() extrapolates.
        """
        return f"clamp_min(1 - {self.failures(scope, over)} / ({self.requests(scope, over)} > 0), 0)"

    def share(self, scope: Scope, over: str) -> str:
        """Share of the service's requests, 0..1; absent while the service has none."""
        requests = self.requests(scope, over)
        return f"{requests} / on () group_left () (sum ({requests}) > 0)"

    def duration(self, scope: Scope, quantile: float, over: str) -> str:
        """A quantile of the durations, in milliseconds; absent where there were no requests."""
        return f"histogram_quantile({quantile:g}, {self.durations(scope, over)}) >= 0"  # drops NaN

    def durations(self, scope: Scope, over: str) -> str:
        """Requests a second up to each bound of the durations, by version and `le`, in milliseconds."""
        if self.source is Source.ISTIO:
            buckets = _istio_version(scope, f"rate({istio_selector(ISTIO_TIME, scope)}[{over}])")
        else:
            buckets = _cluster_version(f"rate({_cluster(scope, TIME)}[{over}])", by_host=bool(scope.hosts))
        return sum_by(buckets, by=("version", "le"))

    def retries(self, scope: Scope, over: str) -> str:
        """Retried tries a second."""
        return _clusters(_counters(scope, over, RETRIED))

    def connection_failures(self, scope: Scope, over: str) -> str:
        """Requests a second that reached no pod: none was healthy (UH), refused (UF), over a limit (UO).

        With source envoy, a broken HTTP/2 connection counts too, and a retried reset hides a refused connection.
        """
        if self.source is Source.ISTIO:
            refused = _istio(scope, over, 'response_flags=~"(.+,)?UF(,.+)?"')
            return total(refused, _unsent(scope, over), f"0 * {_istio(scope, over)}")
        refused = _clusters(_counters(scope, over, REFUSED, RETRIED_ANSWERS), minus=_counters(scope, over, RETRIED))
        return total(f"clamp_min({refused}, 0)", _unsent(scope, over))

    def ejections(self, scope: Scope) -> str:
        """Endpoints that outlier detection has ejected now: the most that any caller's Envoy has."""
        return f"max by (version) ({_cluster_version(_cluster(scope, EJECTED))})"

    def pods_ready(self, scope: Scope) -> str:
        """Healthy endpoints: the most that any caller's Envoy has."""
        return f"max by (version) ({_cluster_version(_cluster(scope, HEALTHY))})"

    def weight(self, scope: Scope) -> str:
        """Wanted share by the default rule, 0..1, from the recorded series."""
        return f"max by (version) ({_recorded(WEIGHT, scope)})"


def weight_changes(scope: Scope, over: str) -> str:
    """Return PromQL for the versions whose weight changed within `over`, with the number of changes."""
    return f"max by (version) (changes({_recorded(WEIGHT, scope)}[{over}]) > 0)"


def weight_in_alert(scope: Scope) -> str:
    """Return the template of the weight, in percent, of the version that an alert is about (Prometheus: "Template")."""
    weight = _recorded(WEIGHT, scope, version='"%s"')
    percent = f"round(100 * {weight}, 0.0001)"  # without the noise of floats
    return f"{{{{ with printf `{percent}` $labels.version | query }}}}{{{{ . | first | value }}}}{{{{ end }}}}"


def label_values(label: str, namespace: str | None = None) -> str:
    """Return the query of a variable of Grafana: the values of a label of the recorded weights, in one namespace."""
    weights = WEIGHT if namespace is None else selector_of(WEIGHT, equals("namespace", namespace))
    return f"label_values({weights}, {label})"


def constant(value: float) -> str:
    """Return PromQL for a number as an instant vector without labels."""
    return f"vector({value:g})"


def worse_than_stable(scope: Scope, stable: str, points: float, minimum_requests: int) -> str:
    """Return PromQL for the versions that fail more often than `stable` by more than `points`, and by how much.

    In percentage points, of the recorded 5 minutes; only versions with at least `minimum_requests` in them.
    """
    failed = f"100 * {_recorded(FAILURES, scope)} / ({_recorded(REQUESTS, scope)} > 0)"
    of_stable = quoted(stable)
    failed_of_stable = (
        f"100 * {_recorded(FAILURES, scope, version=of_stable)} / ({_recorded(REQUESTS, scope, version=of_stable)} > 0)"
    )
    enough = f"{_recorded(REQUESTS, scope)} * {RECORDED_SECONDS} >= {minimum_requests}"
    return (
        f"({failed}) - ignoring (version) group_left () ({failed_of_stable}) > {points:g}\nand on (version) ({enough})"
    )


def share_off(scope: Scope, points: float, minimum_requests: int) -> str:
    """Return PromQL for the versions whose share is more than `points` away from their weight, with the share in %.

    Of the recorded 5 minutes, if the service had `minimum_requests` in them and the weight did not change in them. A
    version with a weight and without any request has the share 0.
    """
    weight, requests = _recorded(WEIGHT, scope), _recorded(REQUESTS, scope)
    of_service = f"sum without (version) ({requests}) * {RECORDED_SECONDS} >= {minimum_requests}"
    share = f"100 * {RECORDED_SECONDS} * ({requests} or 0 * {weight}) / ignoring (version) group_left () ({of_service})"
    return (
        f"({share})\nand abs(({share}) - 100 * {weight}) > {points:g}\n"
        f"and changes({weight}[{RECORDED_OVER}]) == 0 and {weight} offset {RECORDED_OVER}"
    )


# Requests that are counted, by version


def _istio(scope: Scope, over: str, *matchers: str, by: Sequence[str] = ("version",)) -> str:
    """Requests a second by Istio's counters, without those of `_unsent`, of which Istio does not know the version."""
    selector = istio_selector(ISTIO_REQUESTS, scope, 'response_flags!~"(.+,)?UH(,.+)?"', *matchers)
    return sum_by(_istio_version(scope, _growth(selector, over)), by=by)


def _unsent(scope: Scope, over: str) -> str:
    """Requests a second for which Envoy chose no pod: none was healthy (UH), or a limit was reached (UO)."""
    return _clusters(_counters(scope, over, NO_HEALTHY_POD, *LIMITS))


def _answers(scope: Scope, over: str) -> str:
    """Answers a second that callers got, from a pod or from Envoy itself."""
    return _clusters(_counters(scope, over, COMPLETED))


def _by_code(scope: Scope, over: str, matcher: str, by: Sequence[str] = ("version",)) -> str:
    """The same by their status, or its class."""
    return _clusters([_growth(_cluster(scope, BY_CODE, matcher), over)], by=by)


def _failed_answers(scope: Scope, over: str) -> str:
    """Answers 5xx a second, and failed calls of gRPC; an answer of Envoy's own to a call is in both counters."""
    failed = _by_code(scope, over, 'response_code_class="5xx"')
    calls = _clusters(_counters(scope, over, *(f"{CALLS}{status}" for status in FAILED_CALLS)))
    return f"max by (version) ({union(failed, calls)})"


def _gave_up(scope: Scope, over: str) -> str:
    """Requests a second whose caller gave up; 0 wherever the version's cluster is known."""
    tries = _counters(scope, over, CONNECTED, CANCELLED, REFUSED, *LIMITS, NO_HEALTHY_POD)
    ended = [*_counters(scope, over, COMPLETED, RETRIED), _growth(_cluster(scope, ACTIVE), over, gauge=True)]
    ended_by_envoy = _counters(scope, over, CANCELLED, RESET, CLOSED)
    return f"clamp_min(min by (version) ({union(_clusters(tries, ended), _clusters(ended_by_envoy))}), 0)"


def _clusters(plus: Sequence[str], minus: Sequence[str] = (), by: Sequence[str] = ("version",)) -> str:
    """The sum of vectors of clusters by version, those of `minus` subtracted; a missing one counts as 0."""
    return sum_by(_cluster_version(union(*plus, *(f"-({vector})" for vector in minus))), by=by)


def _counters(scope: Scope, over: str, *statistics: str) -> list[str]:
    """The growth of several counters of clusters a second."""
    return [_growth(_cluster(scope, statistic), over) for statistic in statistics]


def _growth(series: str, over: str, gauge: bool = False) -> str:
    """The growth of series a second; a series that began within the range has grown from 0 to its value.

    It began if it was not there before the range, and within it was seen less often than its pod was scraped.
    """
    rate = f"delta({series}[{over}]) / {_seconds(over)}" if gauge else f"rate({series}[{over}])"
    scraped = f"max by (job, instance) (sum_over_time(up[{over}]))"
    began = (
        f"count_over_time({series}[{over}]) < on (job, instance) group_left () {scraped} unless {series} offset {over}"
    )
    return f"last_over_time({series}[{over}]) / {_seconds(over)} and {began} or {rate}"


def _seconds(over: str) -> str:
    """The length of a range in seconds; that of a variable of Grafana is in another one, in milliseconds."""
    return f"({over}_ms / 1000)" if is_variable(over) else str(prometheus_seconds(over))


# Names


def _cluster(scope: Scope, statistic: str, *matchers: str) -> str:
    """The selector of a statistic of the clusters of the service's versions."""
    return selector_of(f"{ENVOY}{statistic}", f"cluster_name=~{quoted(cluster_pattern(scope))}", *matchers)


def cluster_pattern(scope: Scope) -> str:
    """Return a regular expression for the names of the clusters of the service's versions, in any local domain.

    `.+` for the subset, since Prometheus takes ten times as long with `[^|]+`.
    """
    if scope.hosts:
        hosts = "|".join(map(pattern_of, scope.hosts))
        return rf"outbound\|[0-9]+\|\|({hosts})\.{pattern_of(scope.namespace)}\.svc\..*"
    return rf"outbound\|[0-9]+\|.+\|{pattern_of(scope.service)}\.{pattern_of(scope.namespace)}\.svc\..*"


def _cluster_version(vector: str, by_host: bool = False) -> str:
    """The vector with the label `version` from its cluster's name: the subset, or the name of the Service."""
    if by_host:
        return version_from(vector, "cluster_name", r"outbound\|[0-9]+\|\|(?P<name>[^|.]+)\..*")
    return version_from(vector, "cluster_name", r"outbound\|[0-9]+\|(?P<name>[^|]+)\|.*")


def istio_selector(metric: str, scope: Scope, *matchers: str) -> str:
    """Return the selector of one of Istio's metrics, of requests to a known version."""
    return selector_of(
        metric,
        'reporter="source"',
        equals("destination_service_name", scope.service),
        equals("destination_service_namespace", scope.namespace),
        f'{REVISION}!="{UNKNOWN_REVISION}"',
        *matchers,
    )


def _istio_version(scope: Scope, vector: str) -> str:
    """The vector with the label `version` from the pods' label, which begins with the service's name."""
    return version_from(vector, REVISION, rf"(?:{pattern_of(scope.service)}-)?(?P<name>.+)")


def _recorded(series: str, scope: Scope, version: str | None = None) -> str:
    matchers = [equals("service", scope.service), equals("namespace", scope.namespace)]
    return selector_of(series, *matchers, *([f"version={version}"] if version else []))
