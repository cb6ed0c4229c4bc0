"""Gates that seem to compare something and do not, and keys that others have, or that stand one level too high."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from tests.unit.problems import HERE, HOSTS, Case, assert_is_reported, assert_is_reported_once, config

GATES = "istio-canary:rollouts.careful.gates"
STRATEGY = "istio-canary:rollouts.careful"


def strategy(keys: str, more: str = "", telemetry: str = "") -> str:
    """A strategy with these keys on the line of the mistake, in a stack with Prometheus."""
    return config(
        f"telemetry:\n  prometheus: {{enabled: true}}\n{telemetry}"
        f"rollouts:\n  careful:\n    steps: [{{weight: 10, for: 10m}}, {{weight: 100}}]\n    {keys}\n"
        f"services:\n  shop:\n    {HOSTS}    versions:\n      v1: {{image: shop:1, port: 8080}}\n"
        f"      v2: {{image: shop:2, port: 8080}}\n    route: [{{to: v2, timeout: 5s, rollout: careful}}]\n{more}"
    )


def gates(keys: str) -> str:
    return strategy(f"gates: {{{keys}}} {HERE}")


def custom(failures: str, requests: str = "shop_carts_total") -> str:
    return gates(f"custom: [{{name: a, failures: '{failures}', requests: '{requests}'}}]")


FAILURES = f"{GATES}.custom[0].failures"
CASES = [
    Case("answers 4xx that are not switched on", gates("clientErrors: {ratio: 2}"), f"{GATES}.clientErrors",
         ("compared only where `enabled` is true", 'write clientErrors: {"enabled": true, "ratio": 2')),
    Case("answers 4xx with the defaults", gates("clientErrors: {}"), f"{GATES}.clientErrors",
         ('write clientErrors: {"enabled": true}',)),
    Case("a metric that compares itself", custom("shop_carts_total"), f"{GATES}.custom[0]",
         ("the same counters", "write the counters of the failures alone")),
    Case("a range", custom("shop_carts_empty_total[5m]"), FAILURES, ("[5m] makes a range", "leave out [5m]")),
    Case("a number", custom("1"), FAILURES, ("it names no counter",)),
    Case("a sum over the versions", custom("sum(shop_carts_empty_total)"), FAILURES,
         ("sum leaves out the label `version`", "write sum by (version) (…)")),
    Case("a sum by something else", custom("sum by (code) (shop_carts_empty_total)"), FAILURES,
         ("sum leaves out the label `version`",)),
    Case("a warm-up beside latency", gates("warmup: 3m"), f"{GATES}.warmup", ("write latency: {warmup: 3m}",)),
    Case("a template of Argo Rollouts", custom("f_total{version=\"{{args.hash}}\"}"), FAILURES,
         ("a template is not filled in here",)),
    Case("a list of metrics", strategy(f"gates: [errors, clientErrors] {HERE}"), GATES,
         ("write {clientErrors: {enabled: true}}",)),
    Case("a limit with many decimals", gates("limits: {errors: 0.123456%}"), f"{GATES}.limits.errors",
         ("write 0.1234%",)),
    Case("a tolerance with many decimals", gates("tolerance: 0.12349%"), f"{GATES}.tolerance", ("write 0.1234%",)),
    Case("a slow start", gates("latency: {slowStart: 3m}"), f"{GATES}.latency.slowStart", ("rename it to `warmup`",)),
    Case("a warm-up in words", gates("latency: {warmup: 3min}"), f"{GATES}.latency.warmup",
         ("allowed: a duration from 0s to 10m, in ms, s or m", "write 3m")),
    Case("a success rate of Flagger", gates("request-success-rate: 99"), f"{GATES}.request-success-rate",
         ("failures are compared without more", "write limits: {errors: 1%}")),
    Case("a share of success", gates("successRate: 0.99"), f"{GATES}.successRate", ("write limits: {errors: 1%}",)),
    Case("a rate of failures", gates("errorRate: 0.5"), f"{GATES}.errorRate", ("write limits: {errors: 0.5%}",)),
    Case("a rate that is none", gates("successRate: high"), f"{GATES}.successRate",
         ("write limits: {errors: 2%}, for example",)),
    Case("a duration of Flagger", gates("request-duration: 500"), f"{GATES}.request-duration",
         ("no duration is too long by itself", "latency: {tail: 1%}")),
    Case("a range of Flagger", gates("thresholdRange: {min: 99}"), f"{GATES}.thresholdRange",
         ("there is no threshold to set",)),
    Case("a limit of Argo Rollouts", gates("inconclusiveLimit: 3"), f"{GATES}.inconclusiveLimit",
         ("there is no threshold to set",)),
    Case("gates that are off", gates("enabled: false"), f"{GATES}.enabled", ("wherever `gates` is written",)),
    Case("the split", gates("split: {enabled: false}"), f"{GATES}.split", ("fix:     remove it",)),
    Case("a limit of success", gates("limits: {success: 99.5%}"), f"{GATES}.limits.success",
         ("the only one is `errors`", "write errors: 0.5% instead")),
    Case("a limit of statuses", gates("limits: {5xx: 1%}"), f"{GATES}.limits.5xx", ("write errors: 1% instead",)),
    Case("a limit of answers 4xx", gates("limits: {clientErrors: 2%}"), f"{GATES}.limits.clientErrors",
         ("write clientErrors: {enabled: true} beside `limits`",)),
    Case("a limit with a comma", gates("limits: {errors: '0,5%'}"), f"{GATES}.limits.errors", ("write 0.5%",)),
    Case("a limit in words", gates("limits: {errors: 3 percent}"), f"{GATES}.limits.errors", ("write 3%",)),
    Case("answers 4xx in a strategy", strategy(f"clientErrors: {{enabled: true}} {HERE}"), f"{STRATEGY}.clientErrors",
         ("a key of `gates`", 'write it in gates: {clientErrors: {"enabled": true}}')),
    Case("a warm-up in a strategy", strategy(f"warmup: 3m {HERE}"), f"{STRATEGY}.warmup",
         ("write it in gates: {latency: {warmup: 3m}}",)),
    Case("gates of telemetry", strategy("gates: {}", telemetry=f"  gates: {{}} {HERE}\n"),
         "istio-canary:telemetry.gates", ("gates are written in a rollout's strategy", "move it there: gates: {}")),
    Case("gates of all rollouts", strategy("gates: {}", more=f"rolloutGates: {{}} {HERE}\n"),
         "istio-canary:rolloutGates", ("move it there: gates: {}",)),
    Case("gates of a group", strategy("gates: {}",
                                      more=f"rolloutGroups:\n  all: {{services: [shop], gates: {{}}}} {HERE}\n"),
         "istio-canary:rolloutGroups.all.gates", ("move it there: gates: {}",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_mistake_is_reported_with_its_line_what_is_allowed_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_one_message(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


@pytest.mark.parametrize(
    "query",
    [
        "sum by (version) (shop_carts_empty_total)",
        "sum(shop_carts_empty_total) by (version)",
        'shop_carts_empty_total{code=~"[45].."}',
        "last_over_time(shop_carts_empty_total[5m])",
        "sum without (pod) (shop_carts_empty_total)",
        "max_total",
    ],
)
def test_queries_that_have_samples_of_a_version_are_no_mistake(query: str, tmp_path: Path) -> None:
    text = strategy(f"gates: {{custom: [{{name: a, failures: '{query}', requests: shop_carts_total}}]}}")
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    assert load_stack(tmp_path / "Pulumi.test.yaml").settings.services
