"""What a service's strategy decides: how pods are replaced, and where requests go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from stacks.settings.model import ServiceSettings
from stacks.settings.strategy import NAMES, ServiceStrategy
from tests.unit.mocks import Deploy

VERSION = {"image": "shop:1", "port": 8080}
SCALED = {"minReplicas": 2, "maxReplicas": 10, "cpu": 70}
TESTERS = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": "v2"}
API = {"match": [{"uri": {"prefix": "/api"}}]}


def shop(strategy: Any = None, versions: Any = None, **keys: Any) -> ServiceSettings:
    """The settings of the service `shop` with this strategy, by default in the versions v1 and v2."""
    given_versions = versions or {"v1": VERSION, "v2": VERSION}
    service = {
        "hosts": ["*"],
        "versions": given_versions,
        **({} if strategy is None else {"strategy": strategy}),
        **keys,
    }
    return load({"services": {"shop": service}}).services["shop"]


def one(strategy: Any, version: dict[str, Any] | None = None) -> ServiceSettings:
    """The service with one version."""
    return shop(strategy, {"v1": {**VERSION, **(version or {})}})


ROLLING = ("RollingUpdate", 1, 0, 0)
"""Type, maxSurge, maxUnavailable, minReadySeconds."""


@pytest.mark.parametrize(
    ("strategy", "version", "expected"),
    [
        (None, {}, ROLLING),
        ("canary", {}, ROLLING),
        ({"canary": {}}, {}, ROLLING),
        ("recreate", {}, ("Recreate", 1, 0, 0)),
        ("recreate", {"strategy": {"type": "Recreate"}, "minReadySeconds": 3}, ("Recreate", 1, 0, 3)),
        ("ramped", {}, ROLLING),
        ({"ramped": {"maxUnavailable": 1, "maxSurge": 2}}, {}, ("RollingUpdate", 2, 1, 0)),
        ({"ramped": {"maxUnavailable": "25%", "minReadySeconds": 5}}, {}, ("RollingUpdate", 1, "25%", 5)),
        ({"ramped": {"maxUnavailable": 1, "maxSurge": 0}}, {}, ("RollingUpdate", 0, 1, 0)),
        ({"ramped": {"maxUnavailable": 1}}, {"strategy": {"maxUnavailable": 0}}, ROLLING),
        ({"ramped": {"minReadySeconds": 5}}, {"minReadySeconds": 0}, ROLLING),
        ({"ramped": {"minReadySeconds": 5}}, {"minReadySeconds": 7}, ("RollingUpdate", 1, 0, 7)),
        ("canary", {"strategy": {"type": "Recreate"}}, ("Recreate", 1, 0, 0)),
    ],
    ids=str,
)
def test_the_strategy_decides_how_pods_are_replaced_unless_the_version_does(
    strategy: Any, version: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    read = one(strategy, version).deployed["v1"]

    pods = read.strategy
    assert (pods.type, pods.max_surge, pods.max_unavailable, read.min_ready_seconds) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_is_one_word(name: str) -> None:
    assert shop(name, route=[TESTERS] if name == "blueGreen" else [TESTERS, {"to": "v1"}]).strategy.name == name


@pytest.mark.parametrize(
    ("strategy", "route", "weights"),
    [
        ("blueGreen", None, [{"v1": 100, "v2": 0}]),
        ({"blueGreen": {"active": "v1"}}, None, [{"v1": 100, "v2": 0}]),
        ({"blueGreen": {"active": "v2"}}, None, [{"v2": 100, "v1": 0}]),
        ({"blueGreen": {"active": "v1"}}, [TESTERS], [{"v2": 100}, {"v1": 100, "v2": 0}]),
        ({"blueGreen": {"active": "v2"}}, [TESTERS, {"timeout": "2s"}], [{"v2": 100}, {"v2": 100, "v1": 0}]),
        (
            {"blueGreen": {"active": "v2"}},
            [API, {"directResponse": {"status": 404}}],
            [{"v2": 100, "v1": 0}, {}],
        ),
    ],
    ids=str,
)
def test_blue_green_sends_what_no_rule_sends_elsewhere_to_the_active_version(
    strategy: Any, route: Any, weights: list[dict[str, int]]
) -> None:
    read = shop(strategy, **({} if route is None else {"route": route}))

    assert [rule.weights for rule in read.route] == weights


def test_the_actions_of_a_rule_without_a_destination_are_kept() -> None:
    (rule,) = shop("blueGreen", route=[{"timeout": "2s", "retries": {"attempts": 1}}]).route

    assert (rule.timeout, rule.weights) == ("2s", {"v1": 100, "v2": 0})


@pytest.mark.parametrize(
    ("versions", "replicas"),
    [
        ({"v1": VERSION, "v2": VERSION}, {"v1": 1, "v2": 1}),
        ({"v1": {**VERSION, "replicas": 4}, "v2": VERSION}, {"v1": 4, "v2": 4}),
        ({"v1": VERSION, "v2": {**VERSION, "replicas": 3}}, {"v1": 3, "v2": 3}),
        ({"v1": {**VERSION, "replicas": 4}, "v2": {**VERSION, "replicas": 2}}, {"v1": 4, "v2": 2}),
        ({"v1": {**VERSION, "replicas": None}, "v2": VERSION}, {"v1": None, "v2": None}),
        ({"v1": {**VERSION, "autoscaling": SCALED}, "v2": VERSION}, {"v1": None, "v2": None}),
        ({"v1": {**VERSION, "autoscaling": SCALED}, "v2": {**VERSION, "replicas": 2}}, {"v1": None, "v2": 2}),
    ],
    ids=str,
)
def test_both_versions_of_blue_green_have_as_many_pods_unless_configured_otherwise(
    versions: Any, replicas: dict[str, int | None]
) -> None:
    read = shop("blueGreen", versions)

    assert {name: version.replicas for name, version in read.deployed.items()} == replicas


def website(over: dict[str, Any]) -> ServiceSettings:
    """The sample website with what a stack lays over it."""
    return load({"samples": ["website"], "services": {"website": over}}).services["website"]


def test_one_line_turns_a_sample_into_blue_green_and_the_testers_rule_stays() -> None:
    read = website({"strategy": {"blueGreen": {"active": "version-2"}}})

    assert [rule.weights for rule in read.route] == [{"version-2": 100}, {"version-2": 100, "version-1": 0}]
    assert {name: version.replicas for name, version in read.deployed.items()} == {"version-1": 4, "version-2": 1}


def test_a_strategy_replaces_that_of_the_sample_and_details_of_the_same_one_are_merged() -> None:
    mesh = {"gateway": {"ports": [80, 9191]}}

    def go(strategy: Any) -> str:
        over = {"cloudnative-go-service": {"strategy": strategy}}
        loaded = load({"mesh": mesh, "samples": ["java-service"], "services": over})
        return str(loaded.services["cloudnative-go-service"].strategy)

    assert go({"ramped": {"maxSurge": 2}}) == "ramped, maxSurge 2, maxUnavailable 1, minReadySeconds 10"
    assert go("recreate") == "recreate"
    assert go("canary") == "canary"


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("recreate", "recreate"),
        ("ramped", "ramped, maxSurge 1, maxUnavailable 0"),
        ({"blueGreen": {"active": "v2"}}, "blueGreen, v2 is active"),
        ("canary", "canary"),
    ],
)
def test_a_strategy_in_words(strategy: Any, words: str) -> None:
    assert str(ServiceStrategy.model_validate(strategy)) == words


def test_a_switch_of_blue_green_changes_exactly_one_resource(deploy: Deploy) -> None:
    def inputs(active: str) -> dict[str, Any]:
        versions = {"v1": VERSION, "v2": VERSION}
        service = {"hosts": ["*"], "versions": versions, "strategy": {"blueGreen": {"active": active}}}
        settings = load({"services": {"shop": service}})
        return deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "istio-canary/test").outputs).inputs()

    before, after = inputs("v1"), inputs("v2")
    changed = [urn.rpartition("::")[2] for urn in before if before[urn] != after[urn]]
    assert changed == ["shop-routing-virtual-service"]


PERCENT = st.integers(0, 100).map(lambda number: f"{number}%")


@given(st.integers(0, 5) | PERCENT, st.integers(0, 5) | PERCENT)
def test_the_limits_of_ramped_are_those_of_the_deployment_or_refused(surge: int | str, unavailable: int | str) -> None:
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    if surge in (0, "0%") and unavailable in (0, "0%"):
        with pytest.raises(Exception, match="no pod can be replaced"):
            one({"ramped": limits})
        return
    read = one({"ramped": limits}).deployed["v1"].strategy
    assert (read.max_surge, read.max_unavailable) == (surge, unavailable)
