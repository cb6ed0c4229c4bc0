"""The keys of a strategy's gates: defaults, bounds, and what is said of others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from traffic.model.rollout_gates import RolloutGates


def errors(gates: dict[str, Any]) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        RolloutGates.model_validate(gates)
    return caught.value.errors(include_url=False)


def test_the_defaults() -> None:
    found = RolloutGates.model_validate({})
    assert (found.tolerance_part, found.promote, found.custom, found.limits) == (None, "proof", (), None)
    assert (found.alpha, found.beta) == (0.01, 0.05)
    assert (found.attempts.enabled, found.attempts.ratio) == (True, 1.5)
    assert (found.latency.enabled, found.latency.tail, found.latency.ratio) == (True, "5%", 1.5)
    assert found.latency.warmup_seconds == 60


def test_everything_that_a_file_may_say() -> None:
    given = {
        "tolerance": "0.2%",
        "falseAbort": "0.1%",
        "confidence": "99.9%",
        "promote": "time",
        "errors": {},
        "attempts": {"enabled": False, "ratio": 2.0},
        "latency": {"enabled": True, "tail": "1%", "ratio": 1.2, "warmup": "1m30s"},
        "clientErrors": {"enabled": True, "ratio": 2.0},
        "custom": [{"name": "empty-carts", "failures": "a", "requests": "b", "ratio": 1.2}],
        "limits": {"errors": "2%"},
    }
    found = RolloutGates.model_validate(given)
    assert found.tolerance_part == 0.002
    assert (found.alpha, found.beta) == (0.001, 0.001)
    assert found.model_dump(mode="json", by_alias=True) == given


@pytest.mark.parametrize(
    ("key", "value", "what", "allowed", "fix"),
    [
        (
            "tolerance",
            "0%",
            "0% is too low: no traffic",
            "auto, or a percentage from 0.01% to 50%",
            "write 0.01% or more",
        ),
        (
            "tolerance",
            "51%",
            "51% is too high: half of all",
            "auto, or a percentage from 0.01% to 50%",
            "write auto, for example",
        ),
        ("tolerance", "5", "this is not a percentage", "auto, or a percentage", "write 5%"),
        ("tolerance", " 0,5 percent", "this is not a percentage", "auto, or a percentage", "write 0.5%"),
        ("tolerance", "Auto", "this is not a percentage", "auto, or a percentage", "write auto, for example"),
        ("tolerance", float("nan"), "this is not a percentage", "auto, or a percentage", "write auto, for example"),
        ("tolerance", 0.001, "this is not a percentage", "auto, or a percentage from 0.01%", "write 0.1%"),
        ("tolerance", 0.2, "this is not a percentage", "auto, or", "write 20% if the share 0.2 is meant, or 0.2%"),
        ("falseAbort", "0%", "0% is too low: harm", "a percentage from 0.01% to 20%", "write 0.01% or more"),
        ("falseAbort", "25 %", "25 % is too high: every fifth", "a percentage from 0.01% to 20%", "write 20% or less"),
        ("confidence", "5%", "5% is too low: a coin", "a percentage from 50% to 99.99%", "write 95%, for example"),
        (
            "confidence",
            "100%",
            "100% is too high: no traffic",
            "a percentage from 50% to 99.99%",
            "write 99.99% or less",
        ),
        ("confidence", "auto", "this is not a percentage", "a percentage from 50% to", "write 95%, for example"),
        ("confidence", 0.95, "this is not a percentage", "a percentage from 50% to 99.99%", "write 95%"),
    ],
)
def test_percentages_out_of_bounds(key: str, value: Any, what: str, allowed: str, fix: str) -> None:
    (error,) = errors({key: value})
    assert error["loc"] == (key,)
    assert error["ctx"]["what"].startswith(what)
    assert error["ctx"]["allowed"].startswith(allowed)
    assert error["ctx"]["fix"] == fix


@pytest.mark.parametrize("key", ["tolerance", "falseAbort", "confidence"])
@pytest.mark.parametrize(
    "value", ["0%", "100%", "-1%", "5", 5, 0.5, 0.0001, 95.0, True, None, [], {}, "x", "0.12345%", float("inf"), "1e-3"]
)
def test_whoever_writes_what_the_fix_says_has_a_valid_percentage(key: str, value: Any) -> None:
    try:
        RolloutGates.model_validate({key: value})
    except ValidationError as error:
        fix = error.errors(include_url=False)[0]["ctx"]["fix"]
        for text in re.findall(r"auto|[0-9.]+%", fix):
            RolloutGates.model_validate({key: text})
        assert re.match("write (auto|[0-9.]+%)", fix)


@pytest.mark.parametrize("value", [{"enabled": False}, {"ratio": 2}, "2%", False, None, 2])
def test_errors_are_always_compared(value: Any) -> None:
    (error,) = errors({"errors": value})
    assert error["loc"] == ("errors",)
    assert error["ctx"]["what"].startswith("errors are always compared")
    assert "limits: {errors: 2%}" in error["ctx"]["fix"]


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("rate(shop_carts_total[1m])", "rate makes a rate of the counters"),
        ("sum by (version) (increase(a[5m]))", "increase makes a rate"),
        ("sum(shop_carts_total", "has a bracket without its other half"),
    ],
)
def test_a_custom_metric_is_of_counters(query: str, what: str) -> None:
    (error,) = errors({"custom": [{"name": "carts", "failures": query, "requests": "b"}]})
    assert error["loc"] == ("custom", 0, "failures")
    assert what in error["ctx"]["what"]


@pytest.mark.parametrize("query", ["shop_carts_total", 'sum by (version) (a{b="c"})', "generate_total", "rate_limited"])
def test_a_custom_metric_may_have_any_expression_of_counters(query: str) -> None:
    RolloutGates.model_validate({"custom": [{"name": "carts", "failures": query, "requests": query}]})


@pytest.mark.parametrize(("tail", "what"), [("0.1%", "0.1% is too low"), ("60%", "60% is too high")])
def test_the_tail_of_slow_requests(tail: str, what: str) -> None:
    (error,) = errors({"latency": {"tail": tail}})
    assert error["loc"] == ("latency", "tail")
    assert error["ctx"]["what"].startswith(what)


@pytest.mark.parametrize(("warmup", "seconds"), [("0s", 0), ("90s", 90), ("10m", 600)])
def test_how_long_a_new_pod_is_left_out_of_latency(warmup: str, seconds: float) -> None:
    assert RolloutGates.model_validate({"latency": {"warmup": warmup}}).latency.warmup_seconds == seconds


@pytest.mark.parametrize(
    ("warmup", "what", "fix"),
    [
        ("11m", "11m is too long: a slow version would not be seen", "write 10m or less"),
        ("60", "'60' is not a duration", "write 60ms or 60s, for example"),
        ("1d", "1d is too long", "write 10m or less"),
    ],
)
def test_a_warm_up_that_is_none(warmup: str, what: str, fix: str) -> None:
    (error,) = errors({"latency": {"warmup": warmup}})
    assert error["loc"] == ("latency", "warmup")
    assert error["ctx"]["what"].startswith(what)
    assert error["ctx"]["fix"] == fix


@pytest.mark.parametrize(
    ("gates", "place"),
    [
        ({"attempts": {"ratio": 0.9}}, ("attempts", "ratio")),
        ({"latency": {"ratio": 11}}, ("latency", "ratio")),
        ({"errors": {"ratio": 1.5}}, ("errors",)),
        ({"promote": "metrics"}, ("promote",)),
        ({"custom": [{"name": "Carts", "failures": "a", "requests": "b"}]}, ("custom", 0, "name")),
        ({"custom": [{"name": "carts", "failures": "", "requests": "b"}]}, ("custom", 0, "failures")),
        ({"custom": [{"name": "carts", "failures": "a"}]}, ("custom", 0, "requests")),
        ({"limits": {}}, ("limits",)),
        ({"strict": True}, ("strict",)),
    ],
)
def test_what_is_not_allowed(gates: dict[str, Any], place: tuple[str | int, ...]) -> None:
    assert [error["loc"] for error in errors(gates)] == [place]


def test_a_custom_metric_has_no_name_of_a_metric_of_every_rollout() -> None:
    (error,) = errors({"custom": [{"name": "latency", "failures": "a", "requests": "b"}]})
    assert error["loc"] == ("custom", 0, "name")
    assert error["ctx"]["what"] == "'latency' is a metric of every rollout"
    assert "errors, attempts, latency, client-errors, limit" in error["ctx"]["allowed"]
    assert error["ctx"]["fix"] == "write my-latency, for example"


def test_custom_metrics_have_names_of_their_own() -> None:
    (error,) = errors({"custom": [{"name": "carts", "failures": "a", "requests": "b"}] * 2})
    assert error["loc"] == ("custom",)
    assert error["ctx"]["what"] == "'carts' is the name of two metrics"
    assert error["ctx"]["fix"] == "write carts-2 for the one at [1]"
