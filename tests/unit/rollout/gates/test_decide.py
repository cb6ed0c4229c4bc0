"""The five questions in their order, and what a verdict depends on: blocks, plan and times, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.blocks import (
    ATTEMPTS,
    ERRORS,
    LATENCY,
    LIMIT,
    UNROUTED,
    Block,
    Counts,
    Coverage,
    Observation,
    Stratum,
)  # fmt: skip
from rollout.gates.decide import Answer, Gate, Moment, Verdict, decide
from rollout.gates.evidence import log_average
from rollout.gates.plan import GateMetric, GatePlan, GateStep
from tests.unit.rollout.gates.drawn import GATEWAY, blocks, counts, strata

STEPS = (10.0, 50.0, 100.0)


def plan(**changes: object) -> GatePlan:
    metrics = (GateMetric(name=ERRORS, share=0.5, stable_rate=0.005, margin=0.0025, least=0.0025),)
    steps = tuple(
        GateStep(rule="default", weight=weight, weights={"default": weight}, hold_seconds=300.0) for weight in STEPS
    )
    found = GatePlan(tolerance=0.0025, metrics=metrics, steps=steps, unrouted_before=False)
    return found.model_copy(update=changes)


def good(number: int, step: int = 0, start: float = 0.0, share: float = 0.1, rate: float = 0.005) -> list[Block]:
    rows = counts(1 + step, number, requests=7500, share=share, stable=0.005, canary=rate)
    return blocks(rows, step=step, start=start)


def seen(found: Sequence[Block], step: int = 0, **changes: object) -> Observation:
    of_step = [block for block in found if block.step == step]
    number = len(of_step)
    known = {"seen": number, "expected": number, "newest": found[-1].end if found else None, **changes}
    return Observation(blocks=found, coverage={step: Coverage(**known)})  # type: ignore[arg-type]


def judged(found: Sequence[Block], step: int = 0, given: GatePlan | None = None, **changes: object) -> Verdict:
    of_step = [block for block in found if block.step == step]
    moment = Moment(step=step, settled=of_step[0].start if of_step else 0.0, now=found[-1].end if found else 60.0)
    return decide(given or plan(), seen(found, step, **changes), moment)


def test_without_numbers_a_step_is_held() -> None:
    found = judged([], missing="no answer from Prometheus at http://prometheus: HTTP 503")
    assert (found.answer, found.reason) == (Answer.NO_DATA, "no answer from Prometheus at http://prometheus: HTTP 503")
    assert judged([]).reason == "there are no numbers since the weights have settled"


@pytest.mark.parametrize(
    ("late", "answer", "reason"),
    [
        (0.0, Answer.RISE, "proved"),
        (29.0, Answer.RISE, "proved"),
        (31.0, Answer.NO_DATA, "the newest numbers are 31 s old"),
        (-14.0, Answer.RISE, "proved"),
        (-16.0, Answer.NO_DATA, "the clocks of the numbers and of the API server differ by 16 s"),
    ],
)
def test_old_numbers_and_a_wrong_clock_are_no_data(late: float, answer: Answer, reason: str) -> None:
    found = good(40)
    verdict = decide(plan(), seen(found), Moment(step=0, settled=0.0, now=found[-1].end + late))
    assert verdict.answer is answer
    assert reason in verdict.reason


@pytest.mark.parametrize(("only", "version"), [((1, 0, 1, 0), "stable"), ((0, 1, 0, 1), "canary")])
def test_a_version_without_requests_is_no_data(only: tuple[int, ...], version: str) -> None:
    rows = counts(1, 3, requests=20, share=0.1, stable=0, canary=0) + np.array([1, 1, 0, 0])
    found = judged(blocks(rows * np.array(only)))
    assert found.answer is Answer.NO_DATA
    assert found.reason == f"{version} had no requests since the weights have settled"


def lost(step: int = 0, number: int = 3) -> Block:
    return Block(
        start=0.0, end=15.0, step=step, metrics={UNROUTED: {Stratum("", "shop/cart"): Counts(number, 0, number)}}
    )


def test_requests_without_a_cluster_are_harm_at_once() -> None:
    found = judged([lost()])
    assert (found.answer, found.certain) == (Answer.HARM, True)
    assert found.reason == "requests found no cluster (NC), so that no version got them: 3 of shop/cart"
    assert judged([*good(40), replace(lost(), start=600.0, end=615.0)]).answer is Answer.HARM


def test_requests_without_a_cluster_before_the_rollout_are_none_of_its_making() -> None:
    assert judged([lost(), *good(40)], given=plan(unrouted_before=True)).answer is Answer.RISE


def test_requests_without_a_cluster_that_are_known_after_the_rise_are_harm() -> None:
    assert judged([lost(), *good(40, step=1)], step=1).answer is Answer.HARM


def test_a_plan_of_an_earlier_version_which_did_not_look_for_them_does_not_judge_them() -> None:
    written = plan().model_dump(mode="json", by_alias=True)
    del written["unroutedBefore"]
    earlier = GatePlan.model_validate_json(json.dumps(written))
    assert judged([lost(), *good(40)], given=earlier).answer is Answer.RISE


def own(requests: float) -> dict[str, dict[Stratum, Counts]]:
    return {"carts": {Stratum("default", "shop"): Counts(requests, 9 * requests)}}


@pytest.mark.parametrize(
    ("since", "answer"),
    [(200.0, Answer.RISE), (295.0, Answer.RISE), (300.0, Answer.NO_DATA)],
)  # fmt: skip
def test_a_custom_metric_is_as_old_as_it_is_behind_the_blocks_however_rare_these_are(
    since: float, answer: Answer
) -> None:
    metrics = (*plan().metrics, GateMetric(name="carts", share=0.5, tolerated=1.5))
    found = good(40)
    last = found[-1]
    long = replace(last, start=last.end, end=last.end + 300.0, cells=20)
    has_own = [replace(one, metrics={**one.metrics, **own(100)}) for one in found]
    late = replace(long, metrics={**long.metrics, **own(100)}) if answer is Answer.RISE else long
    known = seen([*has_own, late], newest=late.end + since)
    assert decide(plan(metrics=metrics), known, Moment(step=0, settled=0.0, now=late.end + since)).answer is answer


def test_too_few_requests_are_no_data() -> None:
    found = decide(plan(), seen([], newest=55.0, pending=12.0), Moment(step=0, settled=0.0, now=60.0))
    assert found.answer is Answer.NO_DATA
    assert found.reason == "there were 12 requests since the weights have settled, too few to compare"


def test_a_wrong_split_holds_even_where_the_canary_fails() -> None:
    found = judged(good(40, share=0.2, rate=0.2))
    assert found.answer is Answer.SPLIT_WRONG
    assert found.reason.startswith("canary has 20.")
    assert found.log_e == pytest.approx(math.log(0.5)), "nothing is concluded: errors say 1, with half of the weight"


def test_a_step_whose_split_was_wrong_never_counts_again() -> None:
    first, second = good(20, share=0.2, rate=0.5), good(20, step=1, start=300.0, share=0.5)
    found = judged([*first, *second], step=1)
    assert found.log_e == judged(second, step=1).log_e
    assert found.answer is not Answer.HARM


def test_a_split_that_is_not_judged_is_reported_and_stops_nothing() -> None:
    found = judged(good(40, share=0.2), given=plan(unjudged=("default",)))
    assert found.answer is Answer.RISE
    assert found.splits is not None
    assert found.splits["default"].share == pytest.approx(20, abs=1)


def test_harm_goes_back() -> None:
    found = judged(good(40, rate=0.03))
    assert found.answer is Answer.HARM
    assert found.reason.startswith("the canary is worse (e = ")
    assert "errors, " in found.reason
    assert found.metrics[0].since is not None


def test_harm_of_an_earlier_step_counts() -> None:
    found = [*good(3, rate=0.05), *good(3, step=1, start=45.0, share=0.5)]
    one = judged(found, step=1)
    assert one.log_e > judged(found[3:], step=1).log_e + 1


def test_a_suspect_canary_waits() -> None:
    found = good(40, rate=0.03)
    answers = [judged(found[: number + 1]).answer for number in range(len(found))]
    first_harm = answers.index(Answer.HARM)
    assert set(answers[:first_harm]) <= {Answer.HOLD, Answer.SUSPECT}
    one = plan(alpha=1e-30)
    assert judged(found[: first_harm + 1], given=one).answer is Answer.SUSPECT, "with a smaller alpha it only waits"


def test_a_step_waits_for_its_time() -> None:
    found = judged(good(10))
    assert (found.answer, found.reason) == (Answer.HOLD, "150 of 300 s have numbers")


@pytest.mark.parametrize(("number", "expected", "seconds"), [(36, 40, 600.0), (35, 40, 525.0), (0, 40, 0.0)])
def test_the_time_of_a_step_only_runs_with_numbers(number: int, expected: int, seconds: float) -> None:
    found = judged(good(40), seen=number, expected=expected)
    assert found.observed_seconds == seconds


def test_a_step_waits_for_the_proof_of_the_next_weight() -> None:
    found = judged(good(40), given=plan(beta=1e-200))
    assert found.answer is Answer.HOLD
    assert found.reason.startswith(
        "it is not proved yet that errors of the canary are at most 0.5 points above stable's"
    )
    assert judged(good(40)).answer is Answer.RISE


def test_promotion_by_time_needs_no_proof_and_by_hand_never_rises() -> None:
    assert judged(good(40), given=plan(beta=1e-200, promote="time")).answer is Answer.RISE
    assert judged(good(40), given=plan(promote="hand")).answer is Answer.HOLD
    assert judged(good(40, rate=0.03), given=plan(promote="hand")).answer is Answer.HARM


def test_all_blocks_of_the_rollout_prove() -> None:
    first, second = good(40), good(30, step=1, start=600.0, share=0.5)
    alone, together = judged(second, step=1), judged([*first, *second], step=1)
    assert (alone.metrics[0].proof_log_e or 0) < (together.metrics[0].proof_log_e or 0)
    assert together.metrics[0].difference == pytest.approx(0.0025)


def test_the_last_step_has_nothing_to_prove_and_no_stable() -> None:
    rows = counts(4, 40, requests=750, share=1.0, stable=0.005, canary=0.005)
    found = judged(blocks(rows, step=2), step=2)
    assert found.answer is Answer.RISE
    assert found.metrics[0].proof_log_e is None


def test_where_no_stable_runs_beside_the_limit_decides() -> None:
    limited = plan(limit=0.02, limit_share=0.5)
    rows = counts(4, 40, requests=750, share=1.0, stable=0.005, canary=0.2)
    found = judged(blocks(rows, step=2), step=2, given=limited)
    assert found.answer is Answer.HARM
    assert "which is above the limit" in found.reason
    assert next(one for one in found.metrics if one.name == LIMIT).log_e > 5
    assert judged(blocks(rows, step=2), step=2).answer is Answer.RISE


def test_more_errors_within_the_tolerance_are_reported_and_no_harm() -> None:
    rows = counts(6, 60, requests=400_000, share=0.1, stable=0.005, canary=0.0065)
    found = judged(blocks(rows))
    assert found.metrics[0].tolerated
    assert found.metrics[0].log_e == 0
    assert found.metrics[0].since is not None
    assert found.metrics[0].since.difference == pytest.approx(0.0015, abs=0.0003)
    assert found.answer is Answer.RISE


def test_two_rules_are_split_each_by_its_own_weight() -> None:
    both = GateStep(rule="default", weight=10.0, weights={"cohort": 50.0, "default": 10.0}, hold_seconds=300.0)
    one = plan(steps=(both, both))
    cohort = GATEWAY._replace(rule="cohort")
    rows = counts(2, 40, requests=7500, share=0.1, stable=0.005, canary=0.005)
    half = counts(3, 40, requests=7500, share=0.5, stable=0.005, canary=0.005)
    right = [
        Block(
            start=block.start, end=block.end, step=0, metrics={ERRORS: {**block.metrics[ERRORS], **strata(row, cohort)}}
        )
        for block, row in zip(blocks(rows), half, strict=True)
    ]
    found = judged(right, given=one)
    assert found.splits is not None
    assert {rule: split.wrong for rule, split in found.splits.items()} == {"default": False, "cohort": False}


# Laws


def with_metrics(found: Sequence[Block], rows: np.ndarray, names: Sequence[str]) -> list[Block]:
    return [
        Block(start=block.start, end=block.end, step=block.step, metrics={name: strata(row) for name in names})
        for block, row in zip(found, rows, strict=True)
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.005, 0.01, 0.03]), st.permutations([ERRORS, ATTEMPTS, LATENCY]))
def test_the_order_of_the_metrics_changes_nothing(seed: int, rate: float, names: list[str]) -> None:
    rows = counts(seed, 25, requests=3000, share=0.1, stable=0.005, canary=rate)
    shares = {ERRORS: 0.5, ATTEMPTS: 0.25, LATENCY: 0.25}

    def verdict(order: Sequence[str]) -> Verdict:
        metrics = tuple(GateMetric(name=name, share=shares[name], stable_rate=0.005) for name in order)
        return judged(with_metrics(blocks(rows), rows, order), given=plan(metrics=metrics))

    one, other = verdict([ERRORS, ATTEMPTS, LATENCY]), verdict(names)
    assert one.answer is other.answer
    assert one.log_e == pytest.approx(other.log_e, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.005, 0.02]), st.lists(st.integers(1, 40), max_size=6))
def test_it_does_not_matter_how_often_one_has_looked(seed: int, rate: float, looks: list[int]) -> None:
    rows = counts(seed, 40, requests=3000, share=0.1, stable=0.005, canary=rate)
    found = [*blocks(rows[:20]), *blocks(rows[20:], step=1, start=300.0)]
    gate = Gate(plan())
    for number in sorted(looks):
        part = found[:number]
        step = part[-1].step
        gate.judge(seen(part, step), Moment(step=step, settled=300.0 * step, now=part[-1].end))
    moment = Moment(step=1, settled=300.0, now=found[-1].end)
    assert gate.judge(seen(found, 1), moment) == decide(plan(), seen(found, 1), moment)


def test_a_proof_that_was_prepared_while_another_step_was_judged_is_the_same() -> None:
    three = plan()
    first = blocks(counts(7, 90, requests=600, share=0.1, stable=0.01, canary=0.01))
    second = blocks(counts(8, 3, requests=600, share=0.5, stable=0.01, canary=0.01), step=1, start=first[-1].end)
    gate = Gate(three)
    for known in (first[:30], first[:31], first):
        gate.judge(seen(known, 0), Moment(step=0, settled=0.0, now=known[-1].end))
    moment = Moment(step=1, settled=first[-1].end, now=second[-1].end)
    assert gate.judge(seen([*first, *second], 1), moment) == decide(three, seen([*first, *second], 1), moment)


def test_blocks_that_change_afterwards_are_judged_anew() -> None:
    gate, bad, fine = Gate(plan()), good(40, rate=0.03), good(40)
    moment = Moment(step=0, settled=0.0, now=600.0)
    assert gate.judge(seen(bad), moment).answer is Answer.HARM
    assert gate.judge(seen(fine), moment) == decide(plan(), seen(fine), moment)
    assert gate.judge(seen([]), moment).answer is Answer.NO_DATA


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 39))
def test_an_empty_block_changes_no_evidence(seed: int, at: int) -> None:
    found = blocks(counts(seed, 40, requests=3000, share=0.1, stable=0.005, canary=0.01))
    empty = Block(start=found[at].start, end=found[at].start, step=0, metrics={ERRORS: {}})
    one, other = judged(found), judged([*found[:at], empty, *found[at:]])
    assert one.metrics == other.metrics


def test_the_average_of_the_metrics_is_never_later_than_each_alone() -> None:
    found = judged(good(40, rate=0.03))
    (errors,) = found.metrics
    assert found.log_e == pytest.approx(errors.log_e + math.log(0.5))
    assert log_average([]) == -math.inf


def test_bursts_are_told() -> None:
    rows = counts(5, 120, requests=7500, share=0.1, stable=0.005, canary=0.005)
    assert not judged(blocks(rows)).metrics[0].in_bursts
    rows[::30, 2] += 60
    assert judged(blocks(rows)).metrics[0].in_bursts


def test_the_bound_of_a_report_is_the_largest_difference_that_is_not_excluded() -> None:
    gate, found = Gate(plan()), good(60)
    gate.judge(seen(found), Moment(step=0, settled=0.0, now=900.0))
    bound = gate.evidence.bound(ERRORS)
    assert 0.0002 < bound < 0.005
    looser = Gate(plan(beta=0.5))
    looser.judge(seen(found), Moment(step=0, settled=0.0, now=900.0))
    assert looser.evidence.bound(ERRORS) < bound
