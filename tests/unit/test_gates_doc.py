"""docs/gates.md: its file loads, its commands and keys exist, and it has every metric and every verdict."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from canary.app import app
from rollout.gate_history import LONGEST, MOST_SCRAPES
from rollout.gates.blocks import ATTEMPTS, ERRORS, LATENCY
from rollout.gates.decide import AWAITED, LEAST_OLD, OLD, OLD_OWN, Answer
from rollout.gates.plan import SUSPICION, GatePlan
from rollout.gates.warm_up import MOST_WARM_UPS, WARM_UP
from rollout.gating import CALM
from stacks.settings.loading import load, warnings
from traffic.model.rollout_gates import LatencyGate, RolloutGates

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")
ROLLOUT: Any = get_command(app).commands["rollout"]  # type: ignore[attr-defined]
TUNED = re.findall(r"`([a-z][A-Za-z]*: [^`]+)`", PAGE[PAGE.index("## Tuning") :])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_file_of_the_page_loads_without_a_warning() -> None:
    given = yaml.safe_load(blocks("yaml")[0])
    settings = load({key.partition(":")[2]: value for key, value in given.items()})
    assert settings.rollouts["careful"].gates == RolloutGates()
    assert [one.what for one in warnings(settings) if "rollout" in one.path] == []


def test_the_metrics_of_your_own_are_keys_of_gates() -> None:
    (metric,) = RolloutGates.model_validate(yaml.safe_load(blocks("yaml")[1])["gates"]).custom
    assert (metric.name, metric.ratio) == ("empty-carts", 1.2)


def test_every_command_exists_with_its_options() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    named = re.findall(r"`(canary rollout [a-z][^`]*)`", PAGE)
    assert len(lines) > 1
    for command in (*lines, *named):
        _, _, verb, *words = shlex.split(command)
        flags = {flag for parameter in ROLLOUT.commands[verb].params for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= flags, command


def test_the_warm_up_of_the_page_is_that_of_the_gates() -> None:
    assert f"for `latency.warmup`, {LatencyGate().warmup} by default" in PAGE
    assert MOST_WARM_UPS == 3, "three times `warmup`"
    assert f"{MOST_WARM_UPS * WARM_UP:.0f} s of this step are left out" in PAGE
    assert (AWAITED, OLD_OWN) == (60, 4), "a minute and four scrapes"


def test_every_verdict_and_every_metric_has_a_row() -> None:
    rows = set(re.findall(r"^\| `([A-Za-z]+)` \|", PAGE, re.MULTILINE))
    assert {answer.value for answer in Answer} <= rows
    assert {ERRORS, ATTEMPTS, LATENCY, "custom", "limits"} <= rows


@pytest.mark.parametrize("text", TUNED)
def test_what_is_tuned_are_keys_of_gates(text: str) -> None:
    given = yaml.safe_load(text)
    if text != "promote: time":
        assert given.keys() <= {field.alias or name for name, field in RolloutGates.model_fields.items()}
    RolloutGates.model_validate(given)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    plan, gates = GatePlan.model_fields, RolloutGates()
    assert (gates.false_abort, gates.confidence, gates.latency) == ("1%", "95%", LatencyGate(tail="5%", ratio=1.5))
    assert (plan["alpha"].default, SUSPICION, round(2.718281828**CALM)) == (0.01, 20.0, 10)
    assert f"{MOST_SCRAPES:,} scrapes at most" in PAGE
    assert LONGEST == 6 * 3600
    assert (OLD, LEAST_OLD) == (2, 5.0)
