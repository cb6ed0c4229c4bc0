"""PromQL for raw samples: the counters of a service's versions as they were scraped, without rate() or increase().

Those extrapolate, which the gates of a rollout cannot use (Prometheus: "Query functions"). Each query is a range
selector, whose result is a matrix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metrics.promql import pattern_of, quoted, selector_of
from metrics.queries import Scope, Source, cluster_pattern, istio_selector
from metrics.series_names import (
    ACTIVE,
    BY_CODE,
    CALLS,
    CANCELLED,
    CLOSED,
    COMPLETED,
    CONNECTED,
    ENVOY,
    FAILED_CALLS,
    ISTIO_REQUESTS,
    ISTIO_TIME,
    LIMITS,
    NO_CLUSTER,
    NO_HEALTHY_POD,
    REFUSED,
    RESET,
    RETRIED,
    TIME,
)

OUTBOUND = 'http_conn_manager_prefix=~"outbound_.*"'
"""The listeners that callers' requests come in by; others are for requests to the Envoy's own pod."""


def raw_counters(source: Source, scope: Scope, over: str, bound: float | None = None) -> tuple[str, ...]:
    """Return PromQL for the raw samples, within `over`, of all counters that the numbers of `queries` are made of.

    Of durations only the buckets are asked for, with `bound` only those of this bound, in milliseconds, and of all.
    """
    own = [CONNECTED, CANCELLED, REFUSED, COMPLETED, RESET, CLOSED, BY_CODE, f"{CALLS}({'|'.join(FAILED_CALLS)})"]
    names = [RETRIED, NO_HEALTHY_POD, *LIMITS, ACTIVE, *(own if source is Source.ENVOY else [])]
    in_clusters = f"cluster_name=~{quoted(cluster_pattern(scope))}"
    selectors = [selector_of("", f'__name__=~"{ENVOY}({"|".join(names)})"', in_clusters)]
    buckets = [] if bound is None else [f"le=~{quoted(pattern_of(f'{bound:g}') + '([.]0)?|[+]Inf')}"]
    if source is Source.ISTIO:
        selectors += [istio_selector(ISTIO_REQUESTS, scope), istio_selector(ISTIO_TIME, scope, *buckets)]
    else:
        selectors.append(selector_of(f"{ENVOY}{TIME}", in_clusters, *buckets))
    return tuple(f"{selector}[{over}]" for selector in selectors)


def raw_series(query: str, over: str, every: str) -> str:
    """Return PromQL for the samples of a query of a person's own within `over`: raw, if it is a selector."""
    is_selector = re.fullmatch(r"\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{[^{}]*\})?\s*", query)
    return f"{query.strip()}[{over}]" if is_selector else f"({query})[{over}:{every}]"


def raw_scrapes(instances: Sequence[str], over: str) -> tuple[str, str]:
    """Return PromQL for the raw samples, within `over`, of the scrapes of some instances and of their uptime."""
    found = _of_instances(instances)
    return f"{selector_of('up', found)}[{over}]", f"{selector_of('envoy_server_uptime', found)}[{over}]"


def raw_unrouted(instances: Sequence[str], over: str) -> str:
    """Return PromQL for the raw samples, within `over`, of requests whose cluster some instances do not have."""
    return f"{selector_of(NO_CLUSTER, OUTBOUND, _of_instances(instances))}[{over}]"


def _of_instances(instances: Sequence[str]) -> str:
    return f"instance=~{quoted('|'.join(map(pattern_of, instances)))}"
