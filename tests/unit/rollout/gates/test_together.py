"""One verdict on several services: the average of their e-values, with weights 1/n."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates.decide import Answer, Verdict
from rollout.gates.together import log_average, one_verdict

ALPHA = 0.01


def says(answer: Answer, e: float = 1.0, calm: Answer = Answer.RISE) -> Verdict:
    return Verdict(
        answer=answer,
        reason=answer.value,
        log_e=log(e),
        observed_seconds=60.0,
        calm=(calm, calm.value),
        has_blocks=True,
    )


@pytest.mark.parametrize(
    ("own", "answers"),
    [
        ((1.0, 1.0, 1.0), ("Rise", "Rise", "Rise")),
        ((150.0, 1.0, 1.0), ("Suspect", "Rise", "Rise")),
        ((298.0, 1.0, 1.0), ("Harm", "Rise", "Rise")),
        ((297.0, 1.0, 1.0), ("Suspect", "Rise", "Rise")),
        ((50.0, 1.0, 1.0), ("Rise", "Rise", "Rise")),
        ((90.0, 120.0, 95.0), ("Rise", "Harm", "Rise")),
        ((99.0, 99.0, 99.0), ("Suspect", "Rise", "Rise")),
    ],
)
def test_harm_and_suspicion_are_of_the_average(own: tuple[float, ...], answers: tuple[str, ...]) -> None:
    verdicts = {f"s{index}": says(Answer.HARM if e >= 100 else Answer.RISE, e) for index, e in enumerate(own)}

    found = one_verdict(verdicts, ALPHA)

    assert tuple(one.answer.value for one in found.values() if one is not None) == answers


def test_the_reason_names_the_groups_evidence() -> None:
    found = one_verdict({"a": says(Answer.HARM, 400.0), "b": says(Answer.RISE)}, ALPHA)["a"]

    assert found is not None
    assert "the canary is worse (e = 200 of 100 over 2 services)" in found.reason


@pytest.mark.parametrize("answer", [Answer.NO_DATA, Answer.SPLIT_WRONG])
def test_what_holds_one_service_is_still_its_own(answer: Answer) -> None:
    found = one_verdict({"a": says(answer, 900.0), "b": says(Answer.RISE)}, ALPHA)

    assert [one.answer for one in found.values() if one is not None] == [answer, Answer.RISE]


def test_harm_that_needs_no_evidence_is_of_the_service_that_has_it() -> None:
    lost = replace(says(Answer.HARM), certain=True)

    found = one_verdict({"a": says(Answer.RISE), "b": lost, "c": says(Answer.SUSPECT, 30.0)}, ALPHA)

    assert found["b"] is lost
    assert found["a"] is not None
    assert found["a"].answer is Answer.RISE


def test_a_service_without_a_verdict_counts_as_one() -> None:
    assert exp(log_average({"a": None, "b": says(Answer.RISE, 9.0)})) == pytest.approx(5.0)
    assert one_verdict({"a": None, "b": says(Answer.RISE, 9.0)}, ALPHA)["a"] is None
    assert one_verdict({}, ALPHA) == {}


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6))
def test_one_service_is_harmful_exactly_if_the_average_is_above_the_bound(own: list[float]) -> None:
    verdicts = {str(index): says(Answer.RISE, e) for index, e in enumerate(own)}

    harmful = [one for one in one_verdict(verdicts, ALPHA).values() if one is not None and one.answer is Answer.HARM]

    average = sum(own) / len(own)
    if abs(average - 100) > 1e-6:
        assert len(harmful) == (average > 100)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6))
def test_the_order_of_the_services_does_not_matter(own: list[float]) -> None:
    shuffled = sorted(own)

    first = log_average({str(index): says(Answer.RISE, e) for index, e in enumerate(own)})
    second = log_average({str(index): says(Answer.RISE, e) for index, e in enumerate(shuffled)})

    assert first == pytest.approx(second)
