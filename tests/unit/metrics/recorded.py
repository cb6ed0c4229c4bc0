"""Recorded series: what the Envoys of callers, with and without Istio's filters, count for known requests.

What a request of each kind does to Envoy's counters was measured on Envoy 1.40 with Istio's bootstrap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.unit.metrics.promtool import Recorded

SCRAPE_SECONDS = 15
SCRAPES = 60  # 15 minutes
BASE = 1000
"""A value with which steady counters start, so that they have a history."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of request: its counters in Envoy's cluster, its status and flags, and what its caller saw.

    A status of "" is a request that Envoy's cluster never answers: its caller gave up. `call` is the status of gRPC.
    """

    statistics: tuple[str, ...]
    code: str
    flags: str = "-"
    failed: bool = False
    reached_a_pod: bool = True
    retries: int = 0
    call: str = ""

    @property
    def pod_answered(self) -> bool:
        return self.flags == "-" or self.code == "200"


TOTAL, EJECT, CANCELLED = "upstream_rq_total", "upstream_rq_pending_failure_eject", "upstream_rq_cancelled"
RESET, CLOSED, RETRY = "upstream_rq_tx_reset", "upstream_cx_destroy_local_with_active_rq", "upstream_rq_retry"
PENDING_OVERFLOW, ACTIVE_OVERFLOW = "upstream_rq_pending_overflow", "upstream_rq_active_overflow"
UNHEALTHY = "upstream_cx_none_healthy"
RETRIED_ANSWER = "retry_upstream_rq_completed"
STATISTICS = (TOTAL, EJECT, CANCELLED, RESET, CLOSED, RETRY, PENDING_OVERFLOW, ACTIVE_OVERFLOW, UNHEALTHY)
"""Statistics that exist as soon as a cluster has been used; the others begin with their first event."""

KINDS = {
    "answered": Kind(statistics=(TOTAL,), code="200"),
    "not found": Kind(statistics=(TOTAL,), code="404"),
    "error": Kind(statistics=(TOTAL,), code="500", failed=True),
    "no healthy pod": Kind(statistics=(UNHEALTHY,), code="503", flags="UH", failed=True, reached_a_pod=False),
    "refused": Kind(statistics=(EJECT,), code="503", flags="UF", failed=True, reached_a_pod=False),
    "over the limit, HTTP/1.1": Kind(
        statistics=(PENDING_OVERFLOW,), code="503", flags="UO", failed=True, reached_a_pod=False
    ),
    "over the limit, HTTP/2": Kind(
        statistics=(ACTIVE_OVERFLOW,), code="503", flags="UO", failed=True, reached_a_pod=False
    ),
    "timeout, HTTP/1.1": Kind(statistics=(TOTAL, CLOSED), code="504", flags="UT", failed=True),
    "timeout, HTTP/2": Kind(statistics=(TOTAL, RESET), code="504", flags="UT", failed=True),
    "timeout while connecting": Kind(statistics=(CANCELLED,), code="504", flags="UT", failed=True),
    "reset by the pod": Kind(statistics=(TOTAL,), code="503", flags="UC", failed=True),
    # Envoy counts it as if there had been no connection, too.
    "sent, then the HTTP/2 connection broke": Kind(statistics=(TOTAL, EJECT), code="503", flags="UC", failed=True),
    "gave up, HTTP/1.1": Kind(statistics=(TOTAL, CLOSED), code="", flags="DC", failed=True),
    "gave up, HTTP/2": Kind(statistics=(TOTAL, RESET), code="", flags="DC", failed=True),
    "gave up while connecting": Kind(statistics=(CANCELLED,), code="", flags="DC", failed=True),
    "answered, then cut by the caller": Kind(statistics=(TOTAL, RESET), code="200", flags="DC"),
    "error, answered at the second try": Kind(
        statistics=(TOTAL, TOTAL, RETRY, RETRIED_ANSWER, RESET), code="200", retries=1
    ),
    "refused, answered at the second try": Kind(statistics=(EJECT, RETRY, TOTAL), code="200", retries=1),
    "reset by the pod, answered at the third try": Kind(
        statistics=(TOTAL, RETRY, TOTAL, RETRY, TOTAL), code="200", retries=2
    ),
    "try timed out, answered at the second": Kind(statistics=(TOTAL, CLOSED, RETRY, TOTAL), code="200", retries=1),
    "call answered": Kind(statistics=(TOTAL,), code="200", call="0"),
    "call for what is not there": Kind(statistics=(TOTAL,), code="200", call="5"),
    "call failed": Kind(statistics=(TOTAL,), code="200", call="13", failed=True),
    # Envoy's own answer is counted as 5xx, and by the status of the call, too.
    "call without a healthy pod": Kind(
        statistics=(UNHEALTHY,), code="503", flags="UH", failed=True, reached_a_pod=False, call="14"
    ),
}
CALLS = tuple(name for name, kind in KINDS.items() if kind.call)
"""Calls of gRPC, which have a port, and so clusters, of their own."""
EXACT = tuple(name for name in KINDS if name not in (*CALLS, "sent, then the HTTP/2 connection broke"))
"""Kinds that may be mixed without any effect on each other's numbers."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests of one caller to one version: how many of each kind between two scrapes.

    `active` are the requests in flight at each scrape, in promtool's notation.
    """

    version: str
    kinds: Mapping[str, int]
    caller: str = "gateway"
    service: str = "website"
    namespace: str = "shop"
    domain: str = "cluster.local"
    active: str = f"3+0x{SCRAPES}"

    def counts(self) -> Iterator[tuple[Kind, int]]:
        for kind, count in self.kinds.items():
            yield KINDS[kind], count

    def of_envoy(self) -> Iterator[Recorded]:
        """Series of the statistics of the version's cluster, labelled as by Istio's bootstrap."""
        cluster = f"outbound|80|{self.version}|{self.service}.{self.namespace}.svc.{self.domain}"
        labels = {**target(self.caller), "cluster_name": cluster}
        statistics: Counter[tuple[str, str, str]] = Counter({(name, "", ""): 0 for name in STATISTICS})
        for kind, count in self.counts():
            for statistic in kind.statistics:
                statistics[statistic, "", ""] += count
            if kind.code:
                statistics["upstream_rq_completed", "", ""] += count
                statistics["upstream_rq", "response_code", kind.code] += count
                statistics["upstream_rq", "response_code_class", f"{kind.code[0]}xx"] += count
                if kind.call:
                    statistics[f"grpc_{kind.call}", "", ""] += count
                for le in ("10", "25", "+Inf") if kind.reached_a_pod else ():
                    statistics["upstream_rq_time_bucket", "le", le] += count
        for (statistic, label, value), count in statistics.items():
            more = {label: value} if label else {}
            yield Recorded(f"envoy_cluster_{statistic}", {**labels, **more}, steady(count))
        yield Recorded("envoy_cluster_upstream_rq_active", labels, self.active)

    def of_istio(self) -> Iterator[Recorded]:
        """Series of Istio's metrics, as its callers report them."""
        pod = f"{self.service}-{self.version}"
        requests: Counter[tuple[str, str, str, str, str]] = Counter()
        for kind, count in self.counts():
            revision = "latest" if kind.flags in ("UH", "UO") else pod
            answered = pod if kind.pod_answered else "unknown"
            requests[revision, answered, kind.code or "0", kind.flags, kind.call] += count
        for (revision, version, code, flags, call), count in requests.items():
            labels = {
                **target(self.caller),
                "reporter": "source",
                "destination_service_name": self.service,
                "destination_service_namespace": self.namespace,
                "destination_canonical_revision": revision,
                "destination_version": version,
                "response_code": code,
                "response_flags": flags,
                **({"grpc_response_status": call} if call else {}),
            }
            yield Recorded("istio_requests_total", labels, steady(count))
            for le in ("10", "25", "+Inf"):
                name = "istio_request_duration_milliseconds_bucket"
                yield Recorded(name, {**labels, "le": le}, steady(count))


def target(caller: str) -> dict[str, str]:
    """Return the labels of a scraped pod."""
    return {"job": "kubernetes-pods", "instance": f"{caller}:15020", "pod": caller}


def steady(count: int) -> str:
    """Return the values of a counter that grows by `count` between two scrapes."""
    return f"{BASE}+{count}x{SCRAPES}"


def scrapes(caller: str, values: str = f"1+0x{SCRAPES}") -> Recorded:
    """Return the series that says which scrapes of a caller succeeded."""
    return Recorded("up", target(caller), values)


def record(traffic: Iterable[Traffic], noise: bool = True) -> list[Recorded]:
    """Return all series of the traffic, and of other services, directions and clusters that no query may count."""
    traffic = list(traffic)
    series = [one for part in traffic for one in (*part.of_envoy(), *part.of_istio())]
    series += [scrapes(caller) for caller in sorted({part.caller for part in traffic})]
    return series + (list(_noise()) if noise else [])


def _noise() -> Iterator[Recorded]:
    kinds = {"error": 7, "gave up, HTTP/1.1": 7, "refused": 7, "no healthy pod": 7}
    for service, namespace in (
        ("website", "shop-2"),
        ("website2", "shop"),
        ("my-website", "shop"),
        ("shop", "website"),
    ):
        other = Traffic(version="version-1", kinds=kinds, caller="other", service=service, namespace=namespace)
        yield from other.of_envoy()
        yield from other.of_istio()
    whole_service = Traffic(version="", kinds=kinds, caller="other")
    yield from whole_service.of_envoy()
    for one in Traffic(version="version-1", kinds=kinds, caller="other").of_istio():
        yield Recorded(one.name, {**one.labels, "reporter": "destination"}, one.values)
    for one in Traffic(version="version-1", kinds=kinds, caller="other").of_envoy():
        yield Recorded(one.name, {**one.labels, "cluster_name": "inbound|80||"}, one.values)
    yield istio_series("503", steady(7), flags="FI", revision="latest")  # a fault on purpose
    yield scrapes("other")


def envoy_series(statistic: str, values: str, caller: str = "gateway", **labels: str) -> Recorded:
    """Return a series of a statistic of the cluster of version-2 of the website."""
    cluster = "outbound|80|version-2|website.shop.svc.cluster.local"
    return Recorded(f"envoy_cluster_{statistic}", {**target(caller), "cluster_name": cluster, **labels}, values)


def istio_series(code: str, values: str, flags: str = "-", revision: str = "website-version-2") -> Recorded:
    """Return a series of Istio's counter of requests to a version of the website."""
    labels = {
        **target("gateway"),
        "reporter": "source",
        "destination_service_name": "website",
        "destination_service_namespace": "shop",
        "destination_canonical_revision": revision,
        "response_code": code,
        "response_flags": flags,
    }
    return Recorded("istio_requests_total", labels, values)
