"""Mistakes in the strategies of rollouts, and in the rules that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    ROUTE,
    TWO,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    service,
)
from traffic.model import RolloutStrategy

ROLLOUTS = "istio-canary:rollouts"
CAREFUL = f"{ROLLOUTS}.careful"
STEPS = "steps: [{weight: 10, for: 10m}, {weight: 100}]"
THIRD = f"{TWO}  v3: {{image: shop:3, port: 8080}}\n"


def strategy(keys: str, steps: str = STEPS) -> str:
    """A strategy with these keys on the line of the mistake."""
    return config(
        f"rollouts:\n  careful:\n    {steps}\n    {keys} {HERE}\n"
        f"services:\n  shop:\n    {HOSTS}    versions:\n      v1: {{image: shop:1, port: 8080}}\n"
        "      v2: {image: shop:2, port: 8080}\n    route: [{to: v2, rollout: careful}]\n"
    )


def steps(*lines: str) -> str:
    """A strategy with these steps, each on a line of its own."""
    listed = "".join(f"      - {line}\n" for line in lines)
    return config(
        f"rollouts:\n  careful:\n    steps:\n{listed}"
        f"services:\n  shop:\n    {HOSTS}    versions:\n      v1: {{image: shop:1, port: 8080}}\n"
        "      v2: {image: shop:2, port: 8080}\n    route: [{to: v2, rollout: careful}]\n"
    )


def rule(keys: str, before: str = "", versions: str = TWO, more: str = "") -> str:
    """A service whose last rule has these keys; `before` are the rules before it."""
    return service(f"{HOSTS}{versions}{more}route:\n{before}  - {{{keys}}} {HERE}\n")


COHORT = (
    "  - {match: [{headers: {x-plan: {exact: beta}}}], to: v2, "
    "rollout: {steps: [{weight: 50, for: 30m}, {weight: 100}]}}\n"
)
STEP = f"{CAREFUL}.steps"
WINDOW = f"{CAREFUL}.windows[0]"
HOOK = f"{CAREFUL}.hooks[0]"


def window(keys: str) -> str:
    """A strategy with one window that has these keys."""
    return strategy(f"windows: [{{{keys}}}]")


def hook(keys: str) -> str:
    """A strategy with one hook that has these keys."""
    return strategy(f"hooks: [{{{keys}}}]")


CASES = [
    Case("a weight that falls", steps("{weight: 30, for: 1m}", f"{{weight: 10}} {HERE}"), f"{STEP}[1].weight",
         ("does not rise", "the step before has 30 %", "given:   10", "write a weight above 30")),
    Case("a weight twice", steps("{weight: 30, for: 1m}", f"{{weight: 30}} {HERE}"), f"{STEP}[1].weight",
         ("does not rise", "remove this step")),
    Case("a step after the end", steps("{weight: 100, for: 1m}", f"{{weight: 100}} {HERE}"), f"{STEP}[1].weight",
         ("does not rise", "put the steps in order")),
    Case("a weight of 0", steps(f"{{weight: 0, for: 1m}} {HERE}", "{weight: 100}"), f"{STEP}[0].weight",
         ("a step at 0 moves no request", "given:   0")),
    Case("a weight above 100", steps("{weight: 50, for: 1m}", f"{{weight: 101}} {HERE}"), f"{STEP}[1].weight",
         ("101 is more than 100", "a number from 0.0001 to 100")),
    Case("a weight with five decimals", steps(f"{{weight: 0.00001, for: 1m}} {HERE}", "{weight: 100}"),
         f"{STEP}[0].weight", ("has more than 4 decimals", "write 0.0001")),
    Case("a weight as text", steps(f"{{weight: '10', for: 1m}} {HERE}", "{weight: 100}"), f"{STEP}[0].weight",
         ("remove the quotes: 10",)),
    Case("no steps", strategy("steps: []", ""), STEP, ("the value is empty",)),
    Case("a hold without a unit", steps(f"{{weight: 10, for: 600}} {HERE}", "{weight: 100}"), f"{STEP}[0].for",
         ("write 600s for seconds",)),
    Case("a step's key that is none", steps(f"{{weight: 10, hold: 10m}} {HERE}", "{weight: 100}"), f"{STEP}[0].hold",
         ("there is no such key", "weight, for, approve")),
    Case("gates without Prometheus", strategy("gates: {tolerance: auto}"), f"{CAREFUL}.gates",
         ("Prometheus is off, so that no step would ever rise", "telemetry.prometheus.enabled: true",
          "or write promote: hand instead of gates", 'given:   {"tolerance": "auto"}')),
    Case("gates of a rule without Prometheus", rule("to: v2, rollout: {steps: [{weight: 10, for: 1m}], gates: {}}"),
         f"{ROUTE}[0].rollout.gates", ("Prometheus is off",)),
    Case("promote beside gates", strategy(f"promote: hand {HERE}\n    gates: {{promote: hand}}"), f"{CAREFUL}.promote",
         ("with gates, promote is one of their keys", "move it: gates: {promote: hand}")),
    Case("limits beside gates", strategy(f"limits: {{errors: 2%}} {HERE}\n    gates: {{}}"), f"{CAREFUL}.limits",
         ("with gates, limits is one of their keys", 'move it: gates: {limits: {"errors": "2%"}}')),
    Case("a gate that does not exist", strategy("gates: {sucess: {}}"), f"{CAREFUL}.gates.sucess",
         ("there is no such key",)),
    Case("a tolerance without its sign", strategy("gates: {tolerance: 0.2}"), f"{CAREFUL}.gates.tolerance",
         ("or 0.2%",)),
    Case("other gates in the second rule",
         rule("to: v2, rollout: {steps: [{weight: 10, for: 1m}], gates: {tolerance: 1%}}",
              before=COHORT.replace("{weight: 100}]", "{weight: 100}], gates: {}")),
         f"{ROUTE}[1].rollout",
         ("its gates are others than those of", "write the same gates in both strategies: {}, or ",
          'given:   {"tolerance": "1%"}')),
    Case("gates without a value", strategy("gates:"), f"{CAREFUL}.gates", ("the key has no value", "gates: {}")),
    Case("gates of a rule without a value", rule("to: v2, rollout: {steps: [{weight: 10, for: 1m}], gates: }"),
         f"{ROUTE}[0].rollout.gates", ("the key has no value", "gates: {}")),
    Case("gates that are false", strategy("gates: false"), f"{CAREFUL}.gates",
         ("without the key there are none", "remove the key")),
    Case("gates that are true", strategy("gates: true"), f"{CAREFUL}.gates", ("write {}, for the defaults",)),
    Case("gates beside a rollout", rule("to: v2, rollout: {steps: [{weight: 10, for: 1m}]}, gates: {}"),
         f"{ROUTE}[0].gates", ("gates are written in a rollout's strategy", "move it there: gates: {}")),
    Case("gates of a step", steps(f"{{weight: 10, for: 1m, gates: {{}}}} {HERE}", "{weight: 100}"),
         f"{STEP}[0].gates", ("beside `steps`, once for all of them", "move it there")),
    Case("gates of the stack", config(f"gates: {{tolerance: 1%}} {HERE}\nsamples: [website]\n"), "istio-canary:gates",
         ("gates are written in a rollout's strategy", 'gates: {"tolerance": "1%"}')),
    Case("a key of the strategy in gates", strategy("gates: {onNoData: abort}"), f"{CAREFUL}.gates.onNoData",
         ("a key of the strategy, not of its gates", "write onNoData: abort beside `gates`")),
    Case("a deadline in gates", strategy("gates: {deadline: 1h}"), f"{CAREFUL}.gates.deadline",
         ("write deadline: {step: 1h} beside `gates`",)),
    Case("a threshold", strategy("gates: {threshold: 5}"), f"{CAREFUL}.gates.threshold",
         ("there is no threshold to set", "remove it; for an absolute limit")),
    Case("metrics as other engines have them", strategy("gates: {metrics: [{name: a}]}"), f"{CAREFUL}.gates.metrics",
         ("metrics of your own are in `custom`",)),
    Case("a limit of latency", strategy("gates: {latency: {p99: 500ms}}"), f"{CAREFUL}.gates.latency.p99",
         ("no duration is too long by itself", "tail: 1%")),
    Case("a limit that is none", strategy("gates: {limits: {latency: 1s}}"), f"{CAREFUL}.gates.limits.latency",
         ("the only one is `errors`",)),
    Case("a query", strategy("gates: {custom: [{name: a, query: b, failures: c, requests: d}]}"),
         f"{CAREFUL}.gates.custom[0].query", ("`failures` and `requests`",)),
    Case("retries in gates", strategy("gates: {retries: {ratio: 3}}"), f"{CAREFUL}.gates.retries",
         ("its name here is `attempts`",)),
    Case("attempts without a value", strategy("gates: {attempts: }"), f"{CAREFUL}.gates.attempts",
         ('give it a value, for example {"enabled": true}',)),
    Case("promotion that is true", strategy("gates: {promote: true}"), f"{CAREFUL}.gates.promote",
         ("must be one of proof, time, hand", 'write "proof", for example')),
    Case("promotion by hand in another word", strategy("gates: {promote: manual}"), f"{CAREFUL}.gates.promote",
         ("write hand",)),
    Case("a deadline as a number", strategy("deadline: {step: 90}"), f"{CAREFUL}.deadline.step",
         ("write 90s for seconds",)),
    Case("a deadline in quotes", strategy("deadline: {step: '90'}"), f"{CAREFUL}.deadline.step",
         ("write 90ms or 90s, for example",)),
    Case("a deadline in days", strategy("deadline: {step: 2 days}"), f"{CAREFUL}.deadline.step", ("write 48h",)),
    Case("a deadline in ISO 8601", strategy("deadline: {step: PT1H30M}"), f"{CAREFUL}.deadline.step",
         ("write 1h30m",)),
    Case("a deadline in words", strategy("deadline: {step: 1h 30 minutes}"), f"{CAREFUL}.deadline.step",
         ("write 1h30m",)),
    Case("a step's key as Argo Rollouts has it", steps("{weight: 5, for: 1m}", f"{{weight: 10, setWeight: 10}} {HERE}"),
         f"{STEP}[1].setWeight", ("its name here is `weight`",)),
    Case("a pause beside a weight", steps(f"{{weight: 10, pause: {{duration: 10m}}}} {HERE}", "{weight: 100}"),
         f"{STEP}[0].pause", ("how long a weight is kept is its `for`", "write for: 10m beside its weight")),
    Case("a pause without an end", steps(f"{{weight: 10, pause: {{}}}} {HERE}", "{weight: 100}"), f"{STEP}[0].pause",
         ("write approve: true",)),
    Case("a weight with its sign", steps(f"{{weight: 20 %, for: 1m}} {HERE}", "{weight: 100}"), f"{STEP}[0].weight",
         ("must be a number", "fix:     write 20")),
    Case("an analysis", strategy("analysis: {successRate: 99}"), f"{CAREFUL}.analysis",
         ("the new version's failures are judged by `limits`", "write limits: {errors: 2%}")),
    Case("from in a strategy", strategy("from: v1"), f"{CAREFUL}.from",
         ("`from` is a key of the rule", "in the rules that name it")),
    Case("from in a rule's rollout", rule("to: v2, rollout: {steps: [{weight: 10}], from: v1}"),
         f"{ROUTE}[0].rollout.from", ("`from` is a key of the rule", "write from: v1 beside `rollout`")),
    Case("a strategy that is laid over", rule("to: v2, rollout: {steps: [{weight: 10}], strategy: careful}"),
         f"{ROUTE}[0].rollout.strategy", ("a strategy is named alone", "write rollout: careful")),
    Case("a rollout of a service",
         service(f"{HOSTS}{TWO}rollout: careful {HERE}\nroute: [{{to: {{v1: 50, v2: 50}}}}]\n"),
         "istio-canary:services.shop.rollout", ("a rollout is one of a rule", "beside `to` in the rule")),
    Case("proof", strategy("promote: proof"), f"{CAREFUL}.promote",
         ("a proof needs gates", "time (the step's `for`) or hand", "write gates: {promote: proof} instead")),
    Case("a misspelt promote", strategy("promote: hands"), f"{CAREFUL}.promote", ("one of time, hand",)),
    Case("a limit that takes nothing back", strategy("limits: {errors: 100%}"), f"{CAREFUL}.limits",
         ("all requests may fail", "errors below 100%")),
    Case("a limit without its sign", strategy("limits: {errors: 2}"), f"{CAREFUL}.limits.errors", ("write 2%",)),
    Case("a limit as a share", strategy("limits: {errors: 0.02}"), f"{CAREFUL}.limits.errors",
         ("write 2% if the share 0.02 is meant, or 0.02%",)),
    Case("a limit above 100 %", strategy("limits: {errors: 120%}"), f"{CAREFUL}.limits.errors",
         ("is not a percentage", "write 2%, for example")),
    Case("no limit", strategy("limits: {}"), f"{CAREFUL}.limits", ("no limit is given",)),
    Case("a deadline shorter than the steps", strategy("deadline: {total: 10m}"), f"{CAREFUL}.deadline.total",
         ("the steps alone are kept for 10 min", "given:   10m", "write total: 1h")),
    Case("a step longer than its deadline",
         config("rollouts:\n  careful:\n    deadline: {step: 5m}\n    steps:\n"
                f"      - {{weight: 10, for: 10m}} {HERE}\n      - {{weight: 100}}\n"), f"{STEP}[0].for",
         ("could not end before", "which is 5m", "given:   10m")),
    Case("a deadline alone", strategy("deadline: 8h"), f"{CAREFUL}.deadline", ('write {"total": "8h"}, for example',)),
    Case("a deadline that is no duration", strategy("deadline: {step: soon}"), f"{CAREFUL}.deadline.step",
         ("is not a duration",)),
    Case("an unknown end of a deadline", strategy("deadline: {then: stop}"), f"{CAREFUL}.deadline.then",
         ("one of pause, abort",)),
    Case("a day in full", window("days: [monday], from: '09:00', to: '16:00'"), f"{WINDOW}.days[0]", ("mon",)),
    Case("a day's whole name", window("days: [friday], from: '09:00', to: '16:00'"), f"{WINDOW}.days[0]",
         ("the nearest is fri", "write fri")),
    Case("a day twice", window("days: [mon, mon], from: '09:00', to: '16:00'"), f"{WINDOW}.days",
         ("'mon' is given twice",)),
    Case("no end", window("from: '09:00'"), f"{WINDOW}.to", ("this key is missing",)),
    Case("an hour that is none", window("from: '9', to: '16:00'"), f"{WINDOW}.from", ("write '09:00'",)),
    Case("an hour past midnight", window("from: '09:00', to: '25:00'"), f"{WINDOW}.to", ("is not a time of the day",)),
    Case("a city as a time zone", window("from: '09:00', to: '16:00', zone: Berlin"), f"{WINDOW}.zone",
         ("the nearest is Europe/Berlin", "write Europe/Berlin")),
    Case("a continent as a time zone", window("from: '09:00', to: '16:00', zone: Europe"), f"{WINDOW}.zone",
         ("is not a time zone",)),
    Case("a path as a time zone", window("from: '09:00', to: '16:00', zone: ../../etc/passwd"), f"{WINDOW}.zone",
         ("is not a time zone", "write UTC")),
    Case("a hook without TLS", hook("at: beforeStep, url: 'http://hooks.example.com/x'"), f"{HOOK}.url",
         ("would be reached without TLS", "write https://hooks.example.com/x")),
    Case("a Service of the cluster without TLS", hook("at: beforeStep, url: 'http://gate.tools.svc/x'"), f"{HOOK}.url",
         ("would be reached without TLS",)),
    Case("a port that is none", strategy("notify: [{url: 'https://a.example.com:x'}]"), f"{CAREFUL}.notify[0].url",
         ("is not a URL",)),
    Case("a hook that is no URL", hook("at: beforeStep, url: hooks.example.com"), f"{HOOK}.url",
         ("is not a URL of HTTP",)),
    Case("a hook with a password", hook("at: beforeStep, url: 'https://me:secret@hooks.example.com'"), f"{HOOK}.url",
         ("has a user or a password", "remove them")),
    Case("a secret of a hook", hook("at: beforeStep, url: 'https://hooks.example.com/{secret}'"), f"{HOOK}.url",
         ("a hook has no secret", "remove it")),
    Case("a mark without its secret", strategy("notify: [{url: 'https://a.example.com/{secret}'}]"),
         f"{CAREFUL}.notify[0].url", ("no Secret is named: no event would arrive", "add secret: {name:")),
    Case("a secret as a host",
         strategy("notify: [{url: 'https://{secret}.example.com/', secret: {name: hooks, key: host}}]"),
         f"{CAREFUL}.notify[0].url", ("the secret would decide about the host",)),
    Case("a mark of another name",
         strategy("notify: [{url: 'https://a.example.com/{token}', secret: {name: hooks, key: token}}]"),
         f"{CAREFUL}.notify[0].url", ("{token} is sent as it is", "write {secret}")),
    Case("a hook at an unknown point", hook("at: before, url: 'https://a.example.com'"), f"{HOOK}.at",
         ("beforeStep, afterStep, beforeEnd, afterAbort",)),
    Case("a hook that asks too often", hook("at: beforeStep, url: 'https://a.example.com', retries: 50"),
         f"{HOOK}.retries", ("50 is more than 10",)),
    Case("a hook that would hold an abort", hook("at: afterAbort, url: 'https://a.example.com', then: hold"),
         f"{HOOK}.then", ("after an abort there is nothing left to hold",)),
    Case("an unknown form of events", strategy("notify: [{url: 'https://a.example.com', format: teams}]"),
         f"{CAREFUL}.notify[0].format", ("one of cloudevents, slack",)),
    Case("a secret without its key",
         strategy("notify: [{url: 'https://a.example.com', secret: {name: hooks}}]"),
         f"{CAREFUL}.notify[0].secret.key", ("this key is missing",)),
    Case("no headroom", strategy("capacity: {headroom: 0}"), f"{CAREFUL}.capacity.headroom",
         ("0 is less than 0.01", "a number from 0.01 to 10")),
    Case("a rollout without a value", rule("to: v2, rollout: null"), f"{ROUTE}[0].rollout",
         ("the key has no value", "a name in istio-canary:rollouts", "write the strategy")),
    Case("a limit that does not exist", strategy("limits: {errors: 2%, latency: 5%}"), f"{CAREFUL}.limits.latency",
         ("there is no such key", "it is not safe to leave it out")),
    Case("a warm-up without a unit", strategy("gates: {latency: {warmup: 60}}"),
         f"{CAREFUL}.gates.latency.warmup", ("write 60s for seconds",)),
    Case("an hour of warm-up", strategy("gates: {latency: {warmup: 1h}}"), f"{CAREFUL}.gates.latency.warmup",
         ("1h is too long", "a duration from 0s to 10m", "write 10m or less")),
    Case("an unknown strategy", rule("to: v2, rollout: carful").replace("config:\n", f"config:\n  {ROLLOUTS}:\n"
         f"    careful: {{{STEPS}}}\n"), f"{ROUTE}[0].rollout",
         ("there is no strategy 'carful'; the nearest is 'careful'", "write careful")),
    Case("a strategy where there is none", rule("to: v2, rollout: careful"), f"{ROUTE}[0].rollout",
         ("there is no strategy 'careful'", f"define careful in {ROLLOUTS}")),
    Case("a group", config(f"groups: {{checkout: {{services: [shop]}}}} {HERE}\n"), "istio-canary:groups",
         ("cannot be rolled out as a group yet",)),
    Case("weights beside steps", rule("to: {v1: 90, v2: 10}, rollout: {steps: [{weight: 10}]}"), f"{ROUTE}[0]",
         ("the rule has weights, which the steps of its rollout decide", "write `to` with the new version alone")),
    Case("three versions", rule("to: {v1: 80, v2: 10, v3: 10}, rollout: {steps: [{weight: 10}]}", versions=THIRD),
         f"{ROUTE}[0]", ("names 3 versions",)),
    Case("no destination", rule("redirect: {uri: /x}, rollout: {steps: [{weight: 10}]}"), f"{ROUTE}[0]",
         ("no effect without `to`",)),
    Case("from without a rollout", rule("to: v2, from: v1"), f"{ROUTE}[0]", ("`from` has no effect without rollout",)),
    Case("from and to the same", rule("to: v2, from: v2, rollout: {steps: [{weight: 10}]}"), f"{ROUTE}[0]",
         ("are the same version",)),
    Case("from a version that does not exist", rule("to: v2, from: v7, rollout: {steps: [{weight: 10}]}"),
         f"{ROUTE}[0].from", ("there is no version 'v7'",)),
    Case("from a version without pods",
         rule("to: v2, from: v1, rollout: {steps: [{weight: 10}]}",
              versions=TWO.replace("shop:1, port: 8080", "shop:1, port: 8080, replicas: 0")),
         f"{ROUTE}[0].from", ("v1 has no pods",)),
    Case("a version of another service", rule("to: other/v2, rollout: {steps: [{weight: 10}]}"), f"{ROUTE}[0]",
         ("is a destination outside the service",)),
    Case("another target",
         rule("to: v3, rollout: {steps: [{weight: 50, for: 1m}]}", COHORT, THIRD), f"{ROUTE}[1].to",
         ("is v2: the rollouts of a service go between the same two versions",)),
    Case("another origin",
         rule("to: v2, from: v3, rollout: {steps: [{weight: 50, for: 1m}]}",
              COHORT.replace("to: v2", "to: v2, from: v1"), THIRD),
         f"{ROUTE}[1].from", ("is v1: the rollouts of a service go between the same two versions",)),
    Case("a cohort at once", service(
            f"{HOSTS}{TWO}route:\n  - {{match: [{{headers: {{x-plan: {{exact: beta}}}}}}], to: v2, "
            f"rollout: {{steps: [{{weight: 100}}]}}}} {HERE}\n  - {{to: v1}}\n"), f"{ROUTE}[0].rollout",
         ("all of the cohort (x-plan = beta) at once", "a step below 100, or limits")),
    Case("all requests at once", rule("to: v2, rollout: {steps: [{weight: 100}]}"), f"{ROUTE}[0].rollout",
         ("moves all requests at once", "or limits: {errors: 2%} and a `for` of this step")),
    Case("all requests at once, kept for a time", rule("to: v2, rollout: {steps: [{weight: 100, for: 10m}]}"),
         f"{ROUTE}[0].rollout", ("there are no limits", "or limits: {errors: 2%}")),
    Case("all requests at once, with limits that have no time",
         rule("to: v2, rollout: {steps: [{weight: 100}], limits: {errors: 2%}}"), f"{ROUTE}[0].rollout",
         ("the limits have no time to judge it in", "{weight: 50, for: 30m}, or a `for` of this step")),
    Case("rules together with other steps",
         rule("to: v2, rollout: {together: true, steps: [{weight: 10, for: 1m}, {weight: 100}]}", COHORT),
         f"{ROUTE}[1].rollout", ("the rule's steps are not those of", "name the same strategy in both rules")),
    Case("connections", rule("to: v2, rollout: {steps: [{weight: 10}]}", more="protocol: TCP\n"),
         f"{ROUTE}[0].rollout", ("the service speaks TCP",)),
    Case("a version that someone else deploys",
         rule("to: v2, rollout: {steps: [{weight: 10}]}", versions="versions:\n  v1: {image: shop:1, port: 8080}\n"
              "  v2: {labels: {app: shop, version: old}}\n"),
         f"{ROUTE}[0].to", ("is not deployed by this stack",)),
    Case("a version that someone else deploys as the other one",
         rule("to: v2, rollout: {steps: [{weight: 10}]}", versions="versions:\n  v2: {image: shop:2, port: 8080}\n"
              "  v1: {labels: {app: shop, version: old}}\n"),
         f"{ROUTE}[0].rollout", ("v1 is not deployed by this stack",)),
    Case("objects that are taken over",
         service(f"{HOSTS}{TWO}adopt: true {HERE}\nroute: [{{to: v2, rollout: {{{STEPS}}}}}]\n"),
         "istio-canary:services.shop.adopt", ("every `up` overwrites the routes", "remove adopt")),
    Case("a single version", rule("to: v1, rollout: {steps: [{weight: 10}]}",
                                  versions="versions:\n  v1: {image: shop:1, port: 8080}\n"),
         f"{ROUTE}[0].rollout", ("the service has a single version",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_mistake_is_reported_with_its_line_what_is_allowed_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_one_message(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_a_record_is_readable_where_a_time_zone_is_not_known() -> None:
    """The weights must be taken back on every machine."""
    window = {"from": "09:00", "to": "16:00", "zone": "Mars/Base"}
    assert (
        RolloutStrategy.model_validate({"steps": [{"weight": 100}], "windows": [window]}).windows[0].zone == "Mars/Base"
    )
