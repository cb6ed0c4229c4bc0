"""Samples of one service's counters for tests, and what the blocks of them sum to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import ERRORS, Block, Counts, Stratum
from rollout.gates.counters import Period, Samples, observe
from rollout.gates.fields import Reader, Subset
from rollout.gates.warm_up import Span

CANARY, STABLE = Subset("default", True), Subset("default", False)
SUBSETS = {"version-2": CANARY, "version-1": STABLE}
GATEWAY = Stratum("default", "istio-ingress/gateway")
SETTLED = 1000.0

Values = Sequence[float | None]


def series(
    name: str, values: Values, *, first: float = SETTLED - 8, pod: str = "gateway-7d4f9c6b5d-x2x4z", **labels: str
) -> Series:
    """Samples each 15 s, the first one before the weights have settled; None is a scrape without the counter."""
    found = {"__name__": name, "instance": pod, "job": "pods", "namespace": "istio-ingress", "pod": pod, **labels}
    points = ((first + 15 * index, value) for index, value in enumerate(values))
    return Series(found, tuple((time, float(value)) for time, value in points if value is not None))


def envoy(statistic: str, values: Values, version: str = "version-2", **given: Any) -> Series:
    cluster = f"outbound|80|{version}|website.shop.svc.cluster.local"
    return series(f"envoy_cluster_{statistic}", values, cluster_name=cluster, **given)


def istio(values: Values, version: str = "version-2", code: str = "200", flags: str = "-", **given: Any) -> Series:
    given = {
        "reporter": "source",
        "destination_canonical_revision": f"website-{version}",
        "response_code": code,
        "response_flags": flags,
        **given,
    }
    return series("istio_requests_total", values, **given)


def observed(
    counters: Sequence[Series],
    *,
    source: Source = Source.ENVOY,
    periods: Sequence[Period] = (Period(step=0, settled=SETTLED),),
    now: float = SETTLED + 61,
    bound: float | None = None,
    subsets: Mapping[str, Subset] = SUBSETS,
    warming: Sequence[Span] = (),
    client_errors: bool = False,
    **given: Any,
) -> tuple[Block, ...]:
    reader = Reader(service="website", source=source, subsets=subsets, bound=bound, client_errors=client_errors)
    samples = Samples(counters=counters, **given)
    return tuple(observe(samples, reader, periods, now=now, warming=warming).blocks)


def summed(found: Sequence[Block], metric: str = ERRORS, stratum: Stratum = GATEWAY) -> Counts:
    together = Counts()
    for block in found:
        together = together.plus(block.metrics.get(metric, {}).get(stratum, Counts()))
    return together
