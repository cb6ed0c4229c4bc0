"""Every kind of request that was measured on Envoy, alone and mixed: blocks agree with what the callers saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import ATTEMPTS, BEGUN, ERRORS, LATENCY, Block, Counts, total
from rollout.gates.counters import Period, Samples, observe
from rollout.gates.fields import Reader, Subset
from tests.unit.metrics.promtool import Recorded
from tests.unit.metrics.recorded import EXACT, KINDS, Traffic, record

SCRAPES = 5
SUBSETS = {"version-2": Subset("default", True), "version-1": Subset("default", False)}
both_sources = pytest.mark.parametrize("source", list(Source))


def sampled(one: Recorded) -> Series:
    """The first samples of a series in promtool's notation, each 15 s."""
    found = re.fullmatch(r"(\d+)([+-]\d+)x\d+", one.values)
    assert found is not None
    first, more = int(found[1]), int(found[2])
    points = tuple((15.0 * number, float(first + more * number)) for number in range(SCRAPES + 1))
    return Series({**one.labels, "__name__": one.name}, points)


def blocks_of(kinds: Mapping[str, Mapping[str, int]], source: Source) -> Sequence[Block]:
    """The blocks of kinds of requests by version."""
    traffic = [Traffic(version=version, kinds=of_version) for version, of_version in kinds.items()]
    counters = [sampled(one) for one in record(traffic, noise=False) if one.name != "up"]
    reader = Reader(service="website", source=source, subsets=SUBSETS, bound=25.0)
    return observe(Samples(counters=counters), reader, [Period(step=0, settled=0.0, until=75.0)], now=90.0).blocks


def counts_of(kinds: Mapping[str, Mapping[str, int]], source: Source) -> dict[str, Counts]:
    """What a block says of kinds of requests by version, by metric."""
    found = blocks_of(kinds, source)
    by_metric = {}
    for metric in (ERRORS, ATTEMPTS, LATENCY):
        summed = total(one for block in found for one in block.metrics[metric].values())
        by_metric[metric] = Counts(*(value / SCRAPES for value in summed))
    return by_metric


@both_sources
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_request(name: str, source: Source) -> None:
    kind = KINDS[name]
    found = counts_of({"version-2": {name: 40}, "version-1": {"answered": 50}}, source)
    assert found[ERRORS] == Counts(n_c=40, f_c=40 * kind.failed, n_s=50)
    answered, retried = 40 * bool(kind.code), 40 * kind.retries
    failed = 40 * (kind.code.startswith("5") or (kind.failed and bool(kind.call)))
    assert found[ATTEMPTS] == Counts(n_c=answered + retried, f_c=failed + retried, n_s=50)
    if source is Source.ISTIO:
        # Successes only: a canary that fails fast must not look fast.
        assert found[LATENCY].n_c == (40 if not kind.failed else 0)
    else:
        assert found[LATENCY].n_c == (40 if kind.code and kind.reached_a_pod else 0)


@both_sources
@settings(max_examples=25, deadline=None)
@given(
    kinds=st.fixed_dictionaries(
        {
            version: st.dictionaries(st.sampled_from(EXACT), st.integers(0, 40), min_size=1)
            for version in ("version-1", "version-2")
        }
    )
)
def test_mixed_kinds_of_requests(source: Source, kinds: dict[str, dict[str, int]]) -> None:
    # Something is answered, too: a block has requests.
    kinds = {version: {**mixed, "answered": mixed.get("answered", 0) + 30} for version, mixed in kinds.items()}
    errors = counts_of(kinds, source)[ERRORS]
    requests = {version: sum(mixed.values()) for version, mixed in kinds.items()}
    failures = {
        version: sum(count * KINDS[name].failed for name, count in mixed.items()) for version, mixed in kinds.items()
    }
    assert errors == Counts(requests["version-2"], requests["version-1"], failures["version-2"], failures["version-1"])


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.fixed_dictionaries(
        {
            version: st.dictionaries(st.sampled_from(EXACT), st.integers(0, 40), min_size=1)
            for version in ("version-1", "version-2")
        }
    )
)
def test_istios_counters_and_envoys_make_the_same_blocks_of_the_same_requests(kinds: dict[str, dict[str, int]]) -> None:
    kinds = {version: {**mixed, "answered": mixed.get("answered", 0) + 30} for version, mixed in kinds.items()}
    istio, envoy = (blocks_of(kinds, source) for source in (Source.ISTIO, Source.ENVOY))
    assert len(istio) > 0
    for one, other in zip(istio, envoy, strict=True):
        assert (one.start, one.end, one.step, one.cells) == (other.start, other.end, other.step, other.cells)
        for metric in (ERRORS, ATTEMPTS, BEGUN):
            assert one.metrics[metric] == other.metrics[metric], metric


def test_latency_of_requests_that_succeed_is_the_same_by_both_sources() -> None:
    kinds = {"version-2": {"answered": 40}, "version-1": {"answered": 50}}
    istio, envoy = (blocks_of(kinds, source) for source in (Source.ISTIO, Source.ENVOY))
    assert [one.metrics[LATENCY] for one in istio] == [one.metrics[LATENCY] for one in envoy]
    assert sum(total(one.metrics[LATENCY].values()).requests for one in istio) == 90 * SCRAPES
