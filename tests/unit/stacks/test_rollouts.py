"""What a stack's settings say of its rollouts, in words and as a state of the route."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.rollout_words import duration_words, rollout_words, steps_words
from stacks.rollouts import given_from, not_started, strategy_of
from stacks.settings.loading import load, warnings
from stacks.settings.model import Settings

STEPS = [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "35m", "approve": True}, {"weight": 100}]
EVERYBODY = {"to": "version-2", "rollout": "careful", "timeout": "5s"}
TESTERS = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": "version-2"}


def settings(*rules: dict[str, Any], versions: int = 2, **keys: Any) -> Settings:
    """A stack with a strategy, and a service that has these rules; `keys` are further keys of the strategy."""
    deployed = {f"version-{one}": {"image": f"shop:{one}", "port": 8080} for one in range(1, versions + 1)}
    shop = {"hosts": ["shop.example.com"], "versions": deployed, "route": list(rules)}
    return load({"rollouts": {"careful": {"steps": STEPS, **keys}}, "services": {"shop": shop}})


def words(rule: dict[str, Any] = EVERYBODY, versions: int = 2, **keys: Any) -> str:
    """What the rollout of a rule does."""
    loaded = settings(rule, versions=versions, **keys)
    shop = loaded.services["shop"]
    strategy = strategy_of(loaded, shop.route[0])
    assert strategy is not None
    return rollout_words(shop.route[0], strategy, given_from(shop, shop.route[0]))


def test_a_rule_has_the_strategy_that_it_names_or_its_own() -> None:
    own = {"to": "version-2", "rollout": {"steps": [{"weight": 25, "for": "1m"}]}}
    loaded = settings({**TESTERS, **own}, EVERYBODY)
    first, second = (strategy_of(loaded, rule) for rule in loaded.services["shop"].route)
    assert first is not None
    assert first.end == 25
    assert second is loaded.rollouts["careful"]
    assert strategy_of(loaded, loaded.services["shop"].route[0].model_copy(update={"rollout": None})) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (words(), "version-1 -> version-2 by rollout careful, about 45 min and an approval (at 50 %), not at once"),
        (words(steps=STEPS[:1], autoStart=True),
         "version-1 -> version-2 (up to 10 %) by rollout careful, about 10 min, not at once, started by the runner in "
         "the cluster"),
        (words(promote="hand"),
         "version-1 -> version-2 by rollout careful, as long as a person decides at each step, not at once"),
        (words(steps=[{"weight": 2, "for": "30s"}, {"weight": 20}]),
         "version-1 -> version-2 (up to 20 %) by rollout careful, about 30 s, not at once"),
        (words({"to": "version-2", "rollout": {"steps": STEPS}}),
         "version-1 -> version-2 by its rollout, about 45 min and an approval (at 50 %), not at once"),
        (words({**EVERYBODY, "from": "version-3"}, versions=3, steps=STEPS[:1]),
         "version-3 -> version-2 (up to 10 %) by rollout careful, about 10 min, not at once"),
        (words(versions=3, steps=STEPS[:1]),
         "the version that gets the requests now -> version-2 (up to 10 %) by rollout careful, about 10 min, not at "
         "once"),
    ],
)  # fmt: skip
def test_a_rollout_is_told_with_its_versions_its_end_and_its_time(found: str, expected: str) -> None:
    assert found == expected


def test_steps_are_told_in_order() -> None:
    loaded = settings(EVERYBODY)
    assert steps_words(loaded.rollouts["careful"]) == "10 % for 10m, 50 % for 35m (approval), 100 %"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (0.5, "0.5 s"), (59, "59 s"), (60, "1 min"), (3300, "55 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_times_are_told_as_people_do(seconds: float, expected: str) -> None:
    assert duration_words(seconds) == expected


def test_a_stack_whose_rollouts_have_not_started_leads_to_the_old_version_and_keeps_other_rules() -> None:
    loaded = settings(TESTERS, EVERYBODY)
    route = not_started(loaded).services["shop"].route
    assert route[0] == loaded.services["shop"].route[0]
    assert route[1].weights == {"version-1": 100, "version-2": 0}
    assert (route[1].rollout, route[1].timeout) == (None, "5s")


def test_a_rule_whose_old_version_the_file_does_not_tell_stays_as_it_is() -> None:
    loaded = settings(EVERYBODY, versions=3)
    assert not_started(loaded) == loaded


def test_a_stack_without_rollouts_is_the_same_before_them() -> None:
    loaded = settings({"to": {"version-1": 50, "version-2": 50}})
    assert not_started(loaded) is loaded


def test_with_blue_green_the_active_version_is_where_the_rollout_leads() -> None:
    versions = {one: {"image": f"shop:{one}", "port": 8080} for one in ("blue", "green")}
    shop = {
        "hosts": ["shop.example.com"],
        "versions": versions,
        "strategy": {"blueGreen": {"active": "green"}},
        "route": [{"rollout": {"steps": STEPS}}],
    }
    loaded = load({"services": {"shop": shop}}).services["shop"]
    assert (loaded.route[0].to, given_from(loaded, loaded.route[0])) == ("green", "blue")


def test_a_version_that_requests_come_from_needs_no_rule_of_its_own() -> None:
    assert settings(EVERYBODY).services["shop"].route[0].to == "version-2"


HALF = [{"weight": 10, "for": "10m"}, {"weight": 50}]
SECRET = {"name": "rollout-slack", "key": "path"}


def pods(before: int, after: int) -> dict[str, Any]:
    """Two versions with so many pods."""
    numbers = {"version-1": before, "version-2": after}
    return {name: {"image": "shop:1", "port": 8080, "replicas": number} for name, number in numbers.items()}


def scaled(least: int, most: int) -> dict[str, Any]:
    """An old version with at least so many pods, and a new one with at most so many."""
    bounds = {"version-1": (least, 9), "version-2": (1, most)}
    return {
        name: {
            "image": "shop:1",
            "port": 8080,
            "autoscaling": {"minReplicas": low, "maxReplicas": high, "cpu": 80},
            "resources": {"requests": {"cpu": "100m"}},
        }
        for name, (low, high) in bounds.items()
    }


HASHED = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}


@pytest.mark.parametrize(
    ("rule", "service", "strategy", "expected"),
    [
        ({"timeout": None}, {}, {}, ["no timeout, so a new version that hangs is seen late"]),
        ({"sticky": {"cookie": "v", "ttl": "1h"}}, {}, {}, ["each step moves new users alone"]),
        ({}, {"trafficPolicy": HASHED}, {}, ["so the split is not judged"]),
        ({}, {}, {"steps": [{"weight": 10}, {"weight": 100}]}, ["10 % is kept for no time"]),
        ({}, {}, {"steps": [{"weight": 10}, {"weight": 100}], "promote": "hand"}, []),
        ({}, {}, {"onNoData": "abort"}, ["no effect: without gates and without limits no numbers"]),
        ({}, {}, {"onHarm": "pause"}, ["no effect: without gates and without limits no harm"]),
        ({}, {}, {"limits": {"errors": "2%"}}, ["without numbers the rollout is held"]),
        ({}, {}, {"onNoData": "abort", "limits": {"errors": "2%"}}, ["without numbers the rollout goes back"]),
        ({}, {}, {"notify": [{"url": "https://hooks.slack.com/services/T0/B0/x"}]}, ["its path is a password"]),
        ({}, {}, {"notify": [{"url": "https://hooks.slack.com/services/{secret}", "secret": SECRET}]}, []),
        ({}, {"versions": pods(6, 2)}, {}, []),
        ({}, {"versions": pods(6, 2)}, {"capacity": {"scale": False}}, ["needs 6 ready pods of version-2"]),
        ({}, {"versions": pods(6, 6)}, {"capacity": {"scale": False}}, []),
        ({}, {"versions": pods(6, 3)}, {"capacity": {"scale": False}, "steps": HALF}, []),
        ({}, {"versions": scaled(4, 3)}, {}, ["version-2, which has at most 3: the rollout would be held"]),
        ({}, {"versions": scaled(4, 4)}, {}, []),
        ({"rollout": {"steps": STEPS}}, {}, {}, ["no effect: no rule names it"]),
        ({}, {}, {}, []),
    ],
)  # fmt: skip
def test_what_a_rollout_does_not_do_is_a_warning(
    rule: dict[str, Any], service: dict[str, Any], strategy: dict[str, Any], expected: list[str]
) -> None:
    given = {key: value for key, value in {**EVERYBODY, **rule}.items() if value is not None}
    versions = {f"version-{one}": {"image": f"shop:{one}", "port": 8080} for one in (1, 2)}
    shop = {"hosts": ["shop.example.com"], "versions": versions, "route": [given], **service}
    loaded = load({"rollouts": {"careful": {"steps": STEPS, **strategy}}, "services": {"shop": shop}})
    found = [problem.what for problem in warnings(loaded)]
    assert len(found) == len(expected), found
    for what, words_of_it in zip(found, expected, strict=True):
        assert words_of_it in what


SHORT = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "40s"}, {"weight": 100}]


@pytest.mark.parametrize(
    ("steps", "gates", "is_said"),
    [
        (SHORT, {"promote": "time"}, True),
        (SHORT, {"promote": "time", "latency": {"warmup": "59s"}}, False),
        (SHORT, {"promote": "time", "latency": {"enabled": False}}, False),
        (SHORT, {"promote": "proof"}, False),
        (STEPS, {"promote": "time"}, False),
    ],
)
def test_steps_that_are_over_before_latency_counts_are_a_warning(
    steps: list[dict[str, Any]], gates: dict[str, Any], is_said: bool
) -> None:
    strategy = {"steps": steps, "gates": gates}
    versions = {f"version-{one}": {"image": f"shop:{one}", "port": 8080} for one in (1, 2)}
    shop = {"hosts": ["shop.example.com"], "versions": versions, "route": [EVERYBODY]}
    telemetry = {"prometheus": {"enabled": True}}
    loaded = load({"rollouts": {"careful": strategy}, "services": {"shop": shop}, "telemetry": telemetry})
    found = [one for one in warnings(loaded) if "latency leaves out the first 60 s: it is never compared" in one.what]
    assert bool(found) is is_said
    assert all(one.path == "istio-canary:rollouts.careful.gates.latency" for one in found)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/canary?x=1",
        "http://localhost:9000/ok",
        "http://127.0.0.1:9000",
        "http://[::1]:9000/",
    ],
)
def test_hooks_are_reached_by_tls_or_on_this_machine(url: str) -> None:
    loaded = settings(EVERYBODY, hooks=[{"at": "beforeStep", "url": url}])
    assert loaded.rollouts["careful"].hooks[0].url == url


def test_a_limit_is_a_number_of_percent() -> None:
    limits = settings(EVERYBODY, limits={"errors": "0.5 %"}).rollouts["careful"].limits
    assert limits is not None
    assert limits.error_percent == 0.5


@pytest.mark.parametrize("end", ["04:00", "22:00", "24:00"])
def test_a_window_may_end_on_the_next_day(end: str) -> None:
    loaded = settings(EVERYBODY, windows=[{"from": "22:00", "to": end, "zone": "Europe/Berlin"}])
    assert loaded.rollouts["careful"].windows[0].to == end
