"""docs/rollout-events.md: its bodies are those that are sent, and it names every kind of event."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.event_formats import WARNINGS, body_for
from rollout.event_receivers import SECRET_MARK
from rollout.hooks import question
from rollout.outgoing import require_safe
from rollout.record import EventType, Phase
from tests.unit.rollout.sample_records import event, record, weights
from traffic.model.rollout import RolloutStrategy

PAGE = (Path(__file__).parents[2] / "docs" / "rollout-events.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


CLOUD_EVENT, SLACK, QUESTION = (json.loads(block) for block in blocks("json"))


@pytest.mark.parametrize(
    ("sink_format", "kind", "text", "expected"),
    [
        ("cloudevents", "StepWritten", "step 1 of 3: version-2 10 %", CLOUD_EVENT),
        ("slack", "Aborted", "no pod of version-2 is ready", SLACK),
    ],
)
def test_a_sink_gets_what_the_page_shows(sink_format: str, kind: str, text: str, expected: Any) -> None:
    written = event(12, kind, text, data={"phase": "Progressing", "step": 0})
    assert json.loads(body_for(sink_format, record(), written)) == expected


def test_a_hook_gets_what_the_page_shows() -> None:
    asked = question(record(step=0, phase=Phase.PROGRESSING, wanted=weights(10)), "beforeStep")
    assert asked == QUESTION


def test_the_page_names_every_kind_of_event_and_whether_it_is_a_warning() -> None:
    rows = re.findall(r"^\| ([A-Z]\w+) \| .+ \| (yes)? ?\|$", PAGE, re.MULTILINE)
    assert {kind: bool(warning) for kind, warning in rows} == {kind.value: kind in WARNINGS for kind in EventType}
    assert len(rows) == len(EventType)


def test_the_pages_file_is_a_strategy_whose_urls_are_sent_to() -> None:
    (file,) = blocks("yaml")
    strategy = RolloutStrategy.model_validate(yaml.safe_load(file)["istio-canary:rollouts"]["careful"])
    for url in (*(one.url for one in strategy.notify), *(one.url for one in strategy.hooks)):
        require_safe(url)
    assert any(SECRET_MARK in one.url for one in strategy.notify)
