"""Decisions come back from their file, with the same verdicts, and a changed file is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import isfinite
from typing import Any

import pytest

from rollout.gates.counters import observe
from rollout.gates.decide import Answer
from rollout.gates.replay import Decisions, ReplayError, differing, from_json, replay, to_json
from tests.unit.rollout.gates.test_gate_on_samples import READER, Gateway, plan, roll_out


@cache
def bad_rollout() -> Decisions:
    decisions = Decisions(plan=plan(0.01))
    gateway = Gateway(seed=6, per_second=100, stable=0.01, canary=0.016, lost=0.1, restart_at=300)
    for samples, periods, moment, verdict in roll_out(gateway, plan(0.01), 1200):
        decisions = decisions.and_then(observe(samples, READER, periods, now=moment.now), moment, verdict)
    return decisions


def test_a_replay_of_the_file_has_the_same_answers_and_reasons() -> None:
    decisions = from_json(to_json(bad_rollout()))
    assert len({one.answer for one in decisions.seen}) == 5, "all but a wrong split"
    assert decisions.seen[-1].answer is Answer.HARM
    assert [(one.answer, one.reason) for one in decisions.seen] == [
        (verdict.answer, verdict.reason) for verdict in replay(decisions)
    ]
    assert differing(decisions) == ()
    assert decisions == bad_rollout()


def test_a_changed_number_changes_the_verdict() -> None:
    decisions = bad_rollout()
    pardoned = replace(decisions, plan=decisions.plan.model_copy(update={"alpha": 1e-12}))
    ((seen, verdict),) = differing(pardoned)
    assert seen is decisions.seen[-1]
    assert verdict.answer is Answer.SUSPECT


def changed(**keys: object) -> str:
    return json.dumps({**json.loads(to_json(bad_rollout())), **keys})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON: Expecting value"),
        ("[" * 100_000, "it is not JSON: maximum recursion depth"),
        ("[]", "the decisions cannot be read: they do not say their schema"),
        ("{}", "the decisions cannot be read: they do not say their schema"),
        (changed(schema=True), "the decisions cannot be read: they do not say their schema"),
        ('{"schema": 2}', "the decisions are of schema 2, and this version reads 1"),
        ('{"schema": 0}', "the decisions are of schema 0, and this version reads 1"),
        (changed(plan={}), "the decisions cannot be read: plan.metrics is missing"),
        (changed(blocks=[[1, 2]]), "the decisions cannot be read: blocks[0][2] is missing"),
        (
            changed(blocks=[[0, 15, 0, 1, {"errors": [["default", "a", "x", 1, 1, 1]]}]]),
            "the decisions cannot be read: blocks[0][4].errors[0][2] has another form",
        ),
        (
            changed(blocks=[[0, 15, 0, 1, {"errors": [["default", "a", -5, 1, 1, 1]]}]]),
            "the decisions cannot be read: n_c of errors in blocks[0] is -5.0, and can be 0 to 1e+15",
        ),
        (changed(blocks=[[0, 15, 99, 1, {}]]), "the decisions cannot be read: the step of blocks[0] is 99"),
        (changed(blocks=[[15, 0, 0, 1, {}]]), "the decisions cannot be read: the end of blocks[0] is 0.0"),
        (changed(decisions=[{"answer": "Maybe"}]), "the decisions cannot be read: decisions[0].moment is missing"),
        (changed(more=1), "the decisions cannot be read: more is not known to this version"),
    ],
)
def test_what_is_no_file_of_decisions_is_an_error_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ReplayError) as caught:
        from_json(text)
    assert str(caught.value).startswith(reason)


def short_run() -> dict[str, Any]:
    run: dict[str, Any] = json.loads(to_json(bad_rollout()))
    return {**run, "blocks": run["blocks"][:14], "decisions": run["decisions"][:14]}


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values in a document; of lists, only the first two entries."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*place, key)
        yield from places(inner, (*place, key))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1, 1e308, 10**400, "x", None, [], {}, True])
def test_a_damaged_value_is_refused_or_decided_with_but_never_a_traceback(bad: Any) -> None:
    for place in places(short_run()):
        damaged = short_run()
        inner: Any = damaged
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = bad
        try:
            verdicts = replay(from_json(json.dumps(damaged)))
        except ReplayError:
            continue
        assert all(isfinite(one.log_e) and one.reason for one in verdicts), place


@pytest.mark.parametrize("key", ["weight", "holdSeconds"])
def test_a_plan_with_a_nan_is_refused(key: str) -> None:
    """No comparison with one is true, so that a step would seem to be over."""
    damaged = short_run()
    damaged["plan"]["steps"][0][key] = float("nan")
    with pytest.raises(ReplayError, match=r"plan\.steps\[0\]\." + key):
        from_json(json.dumps(damaged))
