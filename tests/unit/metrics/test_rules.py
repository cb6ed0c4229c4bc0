"""The rules of a stack: which there are, and when their alerts fire, by Prometheus' promtool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metrics import queries
from metrics.queries import Scope, Source
from metrics.rules import AlertThresholds, rule_groups, weight_groups
from tests.unit.metrics.promtool import Recorded, check_rules, evaluate, run_tests
from tests.unit.metrics.recorded import Traffic, record
from traffic.model import ServiceRouting

ALERTS = AlertThresholds()
WEBSITE = Scope(service="website", namespace="shop")
V1, V2 = "version-1", "version-2"
NINETY_TEN = {"to": {V1: 90, V2: 10}}
HEADER = [{"headers": {"qa": {"exact": "yes"}}}]


def service(*route: dict[str, Any], versions: Any = (V1, V2), **more: Any) -> ServiceRouting:
    names = versions if isinstance(versions, dict) else {name: {} for name in versions}
    return ServiceRouting.model_validate({"namespace": "shop", "versions": names, "route": list(route), **more})


def rules_of(services: Mapping[str, ServiceRouting], alerts: AlertThresholds | None = ALERTS) -> list[dict[str, Any]]:
    return [rule for group in all_groups(services, alerts)["groups"] for rule in group["rules"]]


def all_groups(
    services: Mapping[str, ServiceRouting], alerts: AlertThresholds | None = ALERTS, source: Source = Source.ISTIO
) -> dict[str, Any]:
    """Both rule files in one."""
    return {"groups": weight_groups(services)["groups"] + rule_groups(services, alerts, source)["groups"]}


def alerts_of(services: Mapping[str, ServiceRouting], alerts: AlertThresholds | None = ALERTS) -> list[str]:
    return [rule["alert"] for rule in rules_of(services, alerts) if "alert" in rule]


def weights_of(services: Mapping[str, ServiceRouting]) -> dict[tuple[str, str], str]:
    return {
        (rule["labels"]["service"], rule["labels"]["version"]): rule["expr"]
        for rule in rules_of(services)
        if rule.get("record") == "istio_canary:weight"
    }


# Recorded series


def test_every_version_has_its_share_of_the_default_rule() -> None:
    services = {
        "website": service(
            {"match": HEADER, "to": V2}, {"to": {V1: 60, V2: 30, "other/version-1": 10}}, versions=(V1, V2, "version-3")
        ),
        "other": service({"to": V1}, versions=(V1,)),
        "moved": service({"redirect": {"authority": "example.org"}}),
        "testers-only": service({"match": HEADER, "to": V2}),
    }

    assert weights_of(services) == {
        ("website", V1): "vector(0.6)",
        ("website", V2): "vector(0.3)",
        ("website", "version-3"): "vector(0)",
        ("other", V1): "vector(1)",
        ("moved", V1): "vector(0)",
        ("moved", V2): "vector(0)",
        ("testers-only", V1): "vector(0)",
        ("testers-only", V2): "vector(0)",
    }


@pytest.mark.parametrize("source", list(Source))
def test_prometheus_accepts_the_rules_and_finds_nothing_to_criticize(source: Source, tmp_path: Path) -> None:
    services = {"website": service(NINETY_TEN), "shop": service({"match": HEADER, "to": V2}, {"to": V1})}

    check_rules(all_groups(services, ALERTS, source), tmp_path)


def test_an_alert_says_what_happened_where_and_what_to_do() -> None:
    found = [rule for rule in rules_of({"website": service(NINETY_TEN)}) if "alert" in rule]

    assert {rule["alert"]: rule["labels"]["severity"] for rule in found} == {
        "CanaryWorseThanStable": "critical",
        "CanaryShareOff": "warning",
    }
    for rule in found:
        assert rule["for"] == "2m"
        assert "{{ $labels.version }} of website" in rule["annotations"]["summary"]
        for part in ("shop", "{{ $value", "allowed:", "`canary status`"):
            assert part in rule["annotations"]["description"]


# Which services have alerts

SHARE_AND_FAILURES = ["CanaryWorseThanStable", "CanaryShareOff"]
FAILURES_ONLY = ["CanaryWorseThanStable"]
HASHED = {"loadBalancer": {"consistentHash": {"httpHeaderName": "user"}}}


@pytest.mark.parametrize(
    ("why", "website", "expected"),
    [
        ("the weights decide alone", service(NINETY_TEN), SHARE_AND_FAILURES),
        ("one version", service({"to": V1}, versions=(V1,)), []),
        ("no version has a weight", service({"redirect": {"authority": "example.org"}}), []),
        ("all requests to one of two versions", service({"to": V1}), SHARE_AND_FAILURES),
        ("a header rule", service({"match": HEADER, "to": V2}, NINETY_TEN), FAILURES_ONLY),
        ("a sticky rule", service({**NINETY_TEN, "sticky": {"cookie": "v", "ttl": "1h"}}), FAILURES_ONLY),
        ("consistent hashing", service(NINETY_TEN, trafficPolicy=HASHED), FAILURES_ONLY),
        (
            "consistent hashing in one version",
            service(NINETY_TEN, versions={V1: {}, V2: {"trafficPolicy": HASHED}}),
            FAILURES_ONLY,
        ),
        ("another service's version", service({"to": {V1: 60, V2: 20, "other/version-1": 20}}), FAILURES_ONLY),
        ("a mirror to a version", service({"to": V1, "mirrors": [{"to": V2}]}), FAILURES_ONLY),
        (
            "a mirror to another service",
            service({**NINETY_TEN, "mirrors": [{"to": "other/version-1"}]}),
            SHARE_AND_FAILURES,
        ),
    ],
)
def test_the_share_is_judged_only_where_the_weights_decide_alone(
    why: str, website: ServiceRouting, expected: list[str]
) -> None:
    services = {"website": website, "other": service({"to": V1}, versions=(V1,))}

    assert alerts_of(services) == expected


@pytest.mark.parametrize(
    "rule", [{"to": {V1: 50, "website/version-2": 50}}, {"to": V1, "mirrors": [{"to": "website/version-2"}]}]
)
def test_the_share_is_not_judged_where_another_services_route_names_a_version(rule: dict[str, Any]) -> None:
    services = {"website": service(NINETY_TEN), "other": service(rule, versions=(V1,))}

    assert alerts_of(services) == FAILURES_ONLY


def test_without_thresholds_there_are_recorded_series_only() -> None:
    assert alerts_of({"website": service(NINETY_TEN)}, None) == []
    assert len(weights_of({"website": service(NINETY_TEN)})) == 2


# When the alerts fire


def fire(
    traffic: list[Traffic],
    expected: Mapping[str, Mapping[str, str]],
    folder: Path,
    at: str = "12m",
    source: Source = Source.ISTIO,
) -> None:
    """Raise AssertionError unless exactly these alerts fire: their values by alert and version."""
    rules = all_groups({"website": service(NINETY_TEN)}, ALERTS, source)
    severity = {}
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if "alert" in rule:
            rule["annotations"] = {"value": '{{ $value | printf "%.2f" }}'}
            severity[rule["alert"]] = rule["labels"]["severity"]
    test = {
        "interval": "15s",
        "input_series": [{"series": one.selector, "values": one.values} for one in record(traffic, noise=False)],
        "alert_rule_test": [
            {
                "eval_time": at,
                "alertname": name,
                "exp_alerts": [
                    {"exp_labels": {**labels(version), "severity": severity[name]}, "exp_annotations": {"value": value}}
                    for version, value in expected.get(name, {}).items()
                ],
            }
            for name in SHARE_AND_FAILURES
        ],
    }
    run_tests([test], folder, rules)


def labels(version: str) -> dict[str, str]:
    return {"service": "website", "namespace": "shop", "version": version}


def to(version: str, **kinds: int) -> Traffic:
    """Requests to a version between two scrapes; kinds are named with `_` for spaces."""
    return Traffic(version=version, kinds={kind.replace("_", " "): count for kind, count in kinds.items()})


@pytest.mark.parametrize(
    ("why", "traffic", "expected"),
    [
        ("equal versions", [to(V1, answered=855, error=45), to(V2, answered=95, error=5)], {}),
        (
            "the canary fails more often",
            [to(V1, answered=891, error=9), to(V2, answered=95, error=5)],
            {"CanaryWorseThanStable": {V2: "4.00"}},
        ),
        ("a little more often", [to(V1, answered=1782, error=18), to(V2, answered=197, error=3)], {}),
        ("stable fails more often", [to(V1, answered=855, error=45), to(V2, answered=100)], {}),
        (
            "the canary has no healthy pods",
            [to(V1, answered=900), to(V2, no_healthy_pod=100)],
            {"CanaryWorseThanStable": {V2: "100.00"}},
        ),
        ("too few requests to the canary", [to(V1, answered=18), to(V2, error=2)], {}),
        (
            "the share is not the weight",
            [to(V1, answered=70), to(V2, answered=30)],
            {"CanaryShareOff": {V1: "70.00", V2: "30.00"}},
        ),
        ("the share is nearly the weight", [to(V1, answered=86), to(V2, answered=14)], {}),
        (
            "the canary gets nothing and is unknown",
            [to(V1, answered=90)],
            {"CanaryShareOff": {V1: "100.00", V2: "0.00"}},
        ),
        ("too few requests to the service", [to(V1, answered=1), to(V2, answered=1)], {}),
        ("stable is unknown", [to(V2, error=90)], {"CanaryShareOff": {V1: "0.00", V2: "100.00"}}),
        ("no requests", [to(V1, answered=0), to(V2, answered=0)], {}),
        ("nothing is known", [], {}),
    ],
)
def test_an_alert_fires_when_a_version_is_worse_or_gets_a_wrong_share(
    why: str, traffic: list[Traffic], expected: Mapping[str, Mapping[str, str]], tmp_path: Path
) -> None:
    fire(traffic, expected, tmp_path)


def test_the_alerts_are_the_same_by_envoys_own_statistics(tmp_path: Path) -> None:
    traffic = [to(V1, answered=700), Traffic(version=V2, kinds={"answered": 288, "gave up, HTTP/2": 12})]
    expected = {"CanaryWorseThanStable": {V2: "4.00"}, "CanaryShareOff": {V1: "70.00", V2: "30.00"}}

    fire(traffic, expected, tmp_path, source=Source.ENVOY)


def test_an_alert_waits_for_its_time(tmp_path: Path) -> None:
    # The failures are known when the rules are evaluated after a minute; then the alert waits for two.
    worse = [to(V1, answered=900), to(V2, error=100)]

    fire(worse, {}, tmp_path, at="2m")
    fire(worse, {"CanaryWorseThanStable": {V2: "100.00"}}, tmp_path, at="3m")


@pytest.mark.parametrize(
    ("why", "weights", "expected"),
    [
        ("the weight has long been the same", "0.1+0x60", {V2: 30.0}),
        ("it changed 4 minutes ago", "0.3+0x24 0.1+0x36", {}),
        ("it changed 6 minutes ago", "0.3+0x15 0.1+0x45", {V2: 30.0}),
        ("the version was added 4 minutes ago", "_x25 0.1+0x35", {}),
    ],
)
def test_the_share_is_not_judged_within_five_minutes_of_a_change_of_its_weight(
    why: str, weights: str, expected: Mapping[str, float], tmp_path: Path
) -> None:
    series = [
        Recorded("istio_canary:weight", labels(V2), weights),
        Recorded("istio_canary:requests:rate5m", labels(V1), "7+0x60"),
        Recorded("istio_canary:requests:rate5m", labels(V2), "3+0x60"),
    ]
    query = queries.share_off(WEBSITE, 5, 50)

    evaluate(series, {query: [(labels(version), value) for version, value in expected.items()]}, tmp_path, at="10m")


def test_an_alert_about_a_share_tells_the_share_and_the_weight(tmp_path: Path) -> None:
    rules = all_groups({"website": service(NINETY_TEN)})
    (rule,) = (rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == "CanaryShareOff")
    rule["annotations"] = {"told": rule["annotations"]["description"].partition("; allowed")[0]}
    told = "{} of website in namespace shop got {} % of the requests in the last 5 minutes; its weight is {} %"
    traffic = record([to(V1, answered=70), to(V2, answered=30)], noise=False)
    test = {
        "interval": "15s",
        "input_series": [{"series": one.selector, "values": one.values} for one in traffic],
        "alert_rule_test": [
            {
                "eval_time": "12m",
                "alertname": "CanaryShareOff",
                "exp_alerts": [
                    {
                        "exp_labels": {**labels(version), "severity": "warning"},
                        "exp_annotations": {"told": told.format(version, share, weight)},
                    }
                    for version, share, weight in ((V1, "70.0", 90), (V2, "30.0", 10))
                ],
            }
        ],
    }
    run_tests([test], tmp_path, rules)
