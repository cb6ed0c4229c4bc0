"""Decisions come back from their file, with the same verdicts, and a changed file is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

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
        ("", "the decisions cannot be read: Expecting value"),
        ("[]", "the decisions cannot be read: list indices"),
        ("{}", "the decisions cannot be read: 'schema'"),
        ('{"schema": 2}', "the decisions are of schema 2, and this version reads 1"),
        (changed(plan={}), "the decisions cannot be read: metrics: Field required"),
        (changed(blocks=[[1, 2]]), "the decisions cannot be read: not enough values"),
        (
            changed(blocks=[[0, 15, 0, 1, {"errors": [["default", "a", "x"]]}]]),
            "the decisions cannot be read: could not",
        ),
        (changed(decisions=[{"answer": "Maybe"}]), "the decisions cannot be read: 0.moment: Field required"),
    ],
)
def test_what_is_no_file_of_decisions_is_an_error_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ReplayError) as caught:
        from_json(text)
    assert str(caught.value).startswith(reason)
