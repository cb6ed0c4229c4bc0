"""The record of a rollout: what is written is what is read."""

from __future__ import annotations

import json

import pytest

from rollout.record import Phase, Record, RecordError, seconds_between
from tests.unit.rollout.records import record_of, weights


def test_a_record_is_read_as_it_was_written() -> None:
    record = record_of(steps=(10, 30, 100), hold_seconds=600.0)

    assert Record.from_json(record.to_json()) == record


def test_the_keys_are_written_in_camel_case() -> None:
    written = json.loads(record_of().to_json())

    assert written["schema"] == 1
    assert written["from"]["readyPods"] == 4
    assert written["plan"]["steps"][0]["holdSeconds"] == 0.0


@pytest.mark.parametrize(
    ("change", "place"),
    [({"schema": 2}, "schema"), ({"phase": "Sleeping"}, "phase"), ({"later": 1}, "later"), ({"generation": -1}, "gen")],
)
def test_a_record_that_is_damaged_or_newer_is_not_read(change: dict[str, object], place: str) -> None:
    text = json.dumps(json.loads(record_of().to_json()) | change)

    with pytest.raises(RecordError, match=place):
        Record.from_json(text)


def test_text_that_is_not_json_is_a_damaged_record() -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        Record.from_json("{")


def test_the_routes_of_a_record_that_goes_back_are_those_of_back() -> None:
    assert record_of().routes_key == ""
    assert record_of(step=1, phase=Phase.PROGRESSING).routes_key == "1"
    assert record_of(step=1, phase=Phase.ABORTED).routes_key == "back"


def test_the_highest_weight_of_the_new_version_counts() -> None:
    two_rules = weights(50, "cohort") | weights(10, "rest")

    assert record_of().target_weight(two_rules) == 50.0


def test_times_of_different_zones_are_compared() -> None:
    assert seconds_between("2026-01-05T10:00:00Z", "2026-01-05T11:00:10+01:00") == 10.0
