"""The numbers of a block in little memory are the same numbers."""

from __future__ import annotations

from rollout.gates.blocks import ATTEMPTS, BEGUN, ERRORS, LATENCY, Counts, Strata, Stratum, compact


def numbers(failures: float) -> Strata:
    """New objects each time, as they come from Prometheus."""
    return {
        Stratum("rule", f"shop/caller-{caller}"): Counts(
            *(float(one) for one in (f"{caller}12.5", "700", f"{failures}", "0"))
        )
        for caller in (1, 2)
    }


def test_a_compact_block_has_the_same_numbers_in_the_same_order() -> None:
    metrics = {ERRORS: numbers(3.0), ATTEMPTS: numbers(3.0), LATENCY: numbers(40.0), BEGUN: {}}
    found = compact(metrics)

    assert found == metrics
    assert [(name, list(strata)) for name, strata in found.items()] == [
        (name, list(strata)) for name, strata in metrics.items()
    ]


def test_what_is_equal_in_a_block_is_one_object() -> None:
    found = compact({ERRORS: numbers(3.0), ATTEMPTS: numbers(3.0), LATENCY: numbers(40.0)})
    requests = [counts.n_c for strata in found.values() for counts in strata.values()]

    assert found[ERRORS] is found[ATTEMPTS]
    assert found[ERRORS] is not found[LATENCY]
    assert len(set(map(id, requests))) == len(set(requests)) == 2


def test_the_strata_of_all_blocks_are_the_same_objects() -> None:
    first, second = (next(iter(compact({ERRORS: numbers(3.0)})[ERRORS])) for _ in range(2))
    assert first is second
