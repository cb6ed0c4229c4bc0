"""The queries by name, and results as the tests write them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from metrics.queries import Queries, Scope, Source
from tests.unit.metrics.promtool import Result
from tests.unit.metrics.recorded import SCRAPE_SECONDS, Traffic

WEBSITE = Scope(service="website", namespace="shop")
V1, V2 = "version-1", "version-2"

both_sources = pytest.mark.parametrize("source", list(Source))


def by_version(values: Mapping[str, float]) -> Result:
    """The result of a query: values by version."""
    return [({"version": version}, value) for version, value in values.items()]


def ask(source: Source, scope: Scope = WEBSITE, over: str = "1m") -> dict[str, str]:
    """All queries that need no other argument, by name."""
    asked = Queries(source)
    return {
        "requests": asked.requests(scope, over),
        "failures": asked.failures(scope, over),
        "success rate": asked.success_rate(scope, over),
        "share": asked.share(scope, over),
        "median": asked.duration(scope, 0.5, over),
        "retries": asked.retries(scope, over),
        "connection failures": asked.connection_failures(scope, over),
    }


def of_both_sources(expected: Mapping[str, Mapping[str, float]]) -> dict[str, Result]:
    """Queries of both sources with the same results, given by the queries' names."""
    return {ask(source)[name]: by_version(values) for source in Source for name, values in expected.items()}


def per_second(values: Mapping[str, float]) -> dict[str, float]:
    return {version: value / SCRAPE_SECONDS for version, value in values.items()}


def traffic(version: str, kinds: Mapping[str, int], caller: str = "gateway") -> Traffic:
    return Traffic(version=version, kinds=kinds, caller=caller)
