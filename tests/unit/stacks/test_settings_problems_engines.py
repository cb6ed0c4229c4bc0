"""Mistakes in rollouts that another engine moves: each names what that engine cannot do, and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import HERE, HOSTS, ROUTE, SHOP, Case, assert_is_reported, assert_is_reported_once, config

CAREFUL = "istio-canary:rollouts.careful"
STEPS = "steps: [{weight: 10, for: 10m}, {weight: 100}]"
MAIN = "main: {image: shop:1, port: 8080}"
ENVOY = "telemetry: {metrics: envoy, prometheus: {enabled: true}}\n"
GATE = "gateService: {enabled: true}\n"


def strategy(keys: str, engine: str = "argo", steps: str = STEPS, means: str = ENVOY + GATE) -> str:
    """A strategy with these keys on the line of the mistake."""
    return config(
        f"{means}rollouts:\n  careful:\n    engine: {engine}\n    {steps}\n    {keys} {HERE}\n"
        f"services:\n  shop:\n    {HOSTS}    versions: {{{MAIN}}}\n    route: [{{to: main, rollout: careful}}]\n"
    )


def service(route: str, engine: str = "argo", versions: str = f"versions: {{{MAIN}}}", more: str = "") -> str:
    """A service whose rollout an engine moves; one of the parts has the mark of the mistake."""
    return config(
        f"rollouts:\n  careful: {{engine: {engine}, {STEPS}}}\n"
        f"services:\n  shop:\n    {HOSTS}    {versions}\n{more}    route:\n{route}"
        "  other:\n    hosts: [other.example.com]\n    versions: {main: {image: other:1, port: 8080}}\n"
    )


PLAIN = "      - {to: main, timeout: 5s, rollout: careful}\n"


def rule(keys: str, engine: str = "argo", before: str = "") -> str:
    return service(f"{before}      - {{to: main, rollout: careful, {keys}}} {HERE}\n", engine)


BOTH = "versions: {main: {image: shop:1, port: 8080}, next: {image: shop:2, port: 8080}}"
WINDOW = "windows: [{from: '09:00', to: '16:00'}]"
TESTERS = "      - {match: [{headers: {qa: {exact: yes}}}], to: main} # HERE\n"

CASES = [
    Case("windows", strategy(WINDOW), f"{CAREFUL}.windows", ("Argo Rollouts moves this rollout", "engine: canary")),
    Case("on harm", strategy("onHarm: pause", "flagger"), f"{CAREFUL}.onHarm", ("Flagger moves", "remove it")),
    Case("limits", strategy("limits: {errors: 2%}"), f"{CAREFUL}.limits", ("gates: {limits",)),
    Case("total deadline", strategy("deadline: {total: 2h}"), f"{CAREFUL}.deadline", ("no deadline of the whole",)),
    Case("by hand", strategy("promote: hand", "flagger"), f"{CAREFUL}.promote", ("no promotion by hand",)),
    Case(
        "by hand in gates",
        strategy("gates: {promote: hand}", "flagger"),
        f"{CAREFUL}.gates.promote",
        ("no promotion by hand",),
    ),
    Case(
        "approvals",
        strategy("steps: [{weight: 10, approve: true}, {weight: 100}]", "flagger", steps="keepPrevious: 1h"),
        f"{CAREFUL}.steps",
        ("no approvals", "steps without approve"),
    ),
    Case(
        "a lasting split",
        strategy("steps: [{weight: 10, for: 1m}, {weight: 50}]", steps="keepPrevious: 1h"),
        f"{CAREFUL}.steps[1].weight",
        ("no lasting split", "{weight: 100}", "50"),
    ),
    Case(
        "a part of a percent",
        strategy("steps: [{weight: 2.5, for: 1m}, {weight: 100}]", steps="keepPrevious: 1h"),
        f"{CAREFUL}.steps[0].weight",
        ("whole percents", "2.5"),
    ),
    Case(
        "gates without a gate service",
        strategy("gates: {}", means=ENVOY),
        f"{CAREFUL}.gates",
        ("no gate service", "istio-canary:gateService: {enabled: true}"),
    ),
    Case(
        "gates without Envoy's statistics",
        strategy("gates: {}", means=f"telemetry: {{prometheus: {{enabled: true}}}}\n{GATE}"),
        f"{CAREFUL}.gates",
        ("Envoy's clusters", "telemetry.metrics: envoy"),
    ),
    Case(
        "two versions",
        service(PLAIN, versions=f"{BOTH} {HERE}"),
        f"{SHOP}.versions",
        ("one workload", "keep main alone", "main, next"),
    ),
    Case("from", rule("from: old"), f"{ROUTE}[0].from", ("old",)),
    Case(
        "a version that is called as a subset",
        config(
            f"services:\n  shop:\n    {HOSTS}    versions:\n      stable: {{image: shop:1, port: 8080}} {HERE}\n"
            f"    route: [{{to: stable, rollout: {{engine: argo, {STEPS}}}}}]\n"
        ),
        f"{SHOP}.versions.stable",
        ("one of its subsets", "rename"),
    ),
    Case(
        "autoscaling",
        config(
            f"services:\n  shop:\n    {HOSTS}    versions:\n      main:\n        image: shop:1\n        port: 8080\n"
            f"        resources: {{requests: {{cpu: 100m}}}}\n"
            f"        autoscaling: {{minReplicas: 2, maxReplicas: 4, cpu: 70}} {HERE}\n"
            f"    route: [{{to: main, rollout: {{engine: argo, {STEPS}}}}}]\n"
        ),
        f"{SHOP}.versions.main.autoscaling",
        ("the autoscaler would scale the Deployment",),
    ),
    Case(
        "another rule that leads to the version",
        service(f"{TESTERS}{PLAIN}"),
        f"{ROUTE}[0]",
        ("leads to main", "remove the rule"),
    ),
    Case(
        "another service's rule",
        config(
            f"rollouts:\n  careful: {{engine: argo, {STEPS}}}\n"
            f"services:\n  shop:\n    {HOSTS}    versions: {{{MAIN}}}\n    route:\n{PLAIN}"
            "  other:\n    hosts: [other.example.com]\n    versions: {v1: {image: other:1, port: 8080}}\n"
            f"    route:\n      - {{match: [{{uri: {{prefix: /shop}}}}], to: shop/main}} {HERE}\n      - to: v1\n"
        ),
        "istio-canary:services.other.route[0]",
        ("leads to main",),
    ),
    Case(
        "a second rollout",
        service(
            "      - {match: [{headers: {x-plan: {exact: beta}}}], to: main, rollout: careful}\n"
            "      - to: main\n        timeout: 5s\n        rollout: careful # HERE\n"
        ),
        f"{ROUTE}[1].rollout",
        ("a second rule cannot rise by steps of its own",),
    ),
    Case(
        "Flagger and another rule",
        service(f"      - {{match: [{{uri: {{prefix: /x}}}}], to: other/main}} {HERE}\n{PLAIN}", "flagger"),
        f"{ROUTE}[0]",
        ("the rule (", "would be lost"),
    ),
    Case(
        "Flagger and a match",
        service("      - to: main\n        rollout: careful\n        match: [{uri: {prefix: /}}] # HERE\n", "flagger"),
        f"{ROUTE}[0].match",
        ("for all requests",),
    ),
    Case(
        "Flagger and a fault",
        service(
            "      - to: main\n        rollout: careful\n"
            "        fault: {abort: {httpStatus: 500, percentage: {value: 1}}} # HERE\n",
            "flagger",
        ),
        f"{ROUTE}[0].fault",
        ("it knows no fault",),
    ),
    Case(
        "Flagger and access policies",
        service(PLAIN, "flagger", more=f"    authorization: {{allow: [{{methods: [GET]}}]}} {HERE}\n"),
        f"{SHOP}.authorization",
        ("app: shop-primary", "write it for the namespace"),
    ),
    Case(
        "Argo and sticky",
        service(
            "      - to: main\n        rollout: careful\n        sticky: {cookie: version, ttl: 1h} # HERE\n",
        ),
        f"{ROUTE}[0].sticky",
        ("sticky needs two",),
    ),
    Case(
        "an unknown engine",
        config(
            f"rollouts:\n  careful:\n    {STEPS}\n    engine: spinnaker {HERE}\n"
            f"services:\n  shop:\n    {HOSTS}    versions: {{{MAIN}}}\n    route: [{{to: main, rollout: careful}}]\n"
        ),
        f"{CAREFUL}.engine",
        ("argo", "flagger"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_place_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_once(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)
