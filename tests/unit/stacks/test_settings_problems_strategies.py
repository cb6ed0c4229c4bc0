"""Every contradiction between a strategy and the rest of its service is reported, with its line and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    SHOP,
    TWO,
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    problems_of,
    service,
    told,
)

STRATEGY = f"{SHOP}.strategy"


def by(strategy: str, more: str = "", versions: str = ONE) -> str:
    """A service with this strategy, which is wrong."""
    return service(f"strategy: {strategy} {HERE}\n{HOSTS}{versions}{more}")


def beside(strategy: str, keys: str, versions: str = "") -> str:
    """A service with this strategy and keys, of which one is wrong."""
    return service(f"strategy: {strategy}\n{HOSTS}{keys}{versions}")


def version(strategy: str, keys: str) -> str:
    """A service with this strategy, and a version with these keys, which are wrong."""
    return beside(strategy, f"versions: {{v1: {{image: shop:1, port: 8080, {keys}}}}} {HERE}\n")


def routed(strategy: str, route: str) -> str:
    """A service with this strategy, two versions, and this route, of which one line is wrong."""
    return beside(strategy, TWO + "route:\n" + "".join(f"  {line}\n" for line in route.splitlines()))


ACTIVE = "{blueGreen: {active: v1}}"
THREE = "versions: {" + ", ".join(f"v{number}: {{image: shop:1, port: 8080}}" for number in (1, 2, 3)) + "}\n"

CASES = [
    Case("an unknown strategy", by("bluegreen"), STRATEGY,
         told("'bluegreen' is not a strategy; the nearest is blueGreen", '"bluegreen"',
              "recreate, ramped, blueGreen, canary", "write blueGreen")),
    Case("a strategy that is a number", by("1"), STRATEGY, ("this is a number, but must be one of recreate, ramped",)),
    Case("an unknown key", by("{rampd: {}}"), f"{STRATEGY}.rampd", ("nearest is `ramped`",)),
    Case("no strategy in the mapping", by("{canary: null}"), STRATEGY, ("no strategy is named", "write canary")),
    Case("two strategies", by("{ramped: {maxSurge: 1}, recreate: {}}"), STRATEGY,
         ("recreate and ramped are set together", "keep one of recreate, ramped")),
    Case("recreate with maxSurge", by("{recreate: {maxSurge: 1}}"), STRATEGY,
         ("recreate has no details, so maxSurge has no effect", "or use ramped, which has these details")),
    Case("canary with details", by("{canary: {weights: 10, steps: 2}}"), STRATEGY,
         ("canary has no details, so weights, steps have no effect", "write strategy: canary")),
    Case("an unknown detail", by("{ramped: {maxsurge: 1}}"), f"{STRATEGY}.ramped.maxsurge", ("nearest is `maxSurge`",)),
    Case("ramped that replaces no pod", by("{ramped: {maxSurge: 0, maxUnavailable: '0%'}}"), f"{STRATEGY}.ramped",
         ("no pod can be replaced", "write maxSurge: 1")),
    Case("ramped with a malformed limit", by("{ramped: {maxSurge: few}}"), f"{STRATEGY}.ramped.maxSurge",
         ("neither a number of pods nor a percentage",)),
    Case("ramped that is not ready in time", by("{ramped: {minReadySeconds: 300}}"),
         f"{STRATEGY}.ramped.minReadySeconds",
         ("`up` waits 300 s (readyWithin), but no pod is available before 300 s",)),
    Case("ramped, and a version that recreates", version("ramped", "strategy: {type: Recreate}"),
         f"{SHOP}.versions.v1.strategy.type",
         told("the version's pods are replaced by Recreate, but the strategy of shop is ramped", '"Recreate"',
              "RollingUpdate, or no type, with strategy: ramped", f"remove it, or change {STRATEGY}")),
    Case("recreate, and a version that rolls", version("recreate", "strategy: {type: RollingUpdate}"),
         f"{SHOP}.versions.v1.strategy.type", ("replaced by RollingUpdate, but the strategy of shop is recreate",)),
    Case("recreate, and a version with a limit", version("recreate", "strategy: {maxUnavailable: 1}"),
         f"{SHOP}.versions.v1.strategy.maxUnavailable",
         ("maxUnavailable has no effect with recreate", f"or write {STRATEGY}: ramped")),
    Case("limits that together replace no pod",
         version("{ramped: {maxUnavailable: 1, maxSurge: 0}}", "strategy: {maxUnavailable: 0}"),
         f"{SHOP}.versions.v1.strategy", ("with the limits of", "are 0, and no pod can be replaced")),
    Case("blueGreen without a name", by("{blueGreen: {}}", versions=TWO), f"{STRATEGY}.blueGreen.active",
         ("this key is missing", "add `active: ")),
    Case("blueGreen with one version", by("blueGreen"), STRATEGY,
         ("blueGreen needs two versions, and the service has 1: v1", "exactly two versions, of which one is active",
          "add a version")),
    Case("blueGreen with three versions", by(ACTIVE, versions=THREE), STRATEGY,
         ("the service has 3: v1, v2, v3", "remove all versions but two")),
    Case("an active version that does not exist", by("{blueGreen: {active: v22}}", versions=TWO),
         f"{STRATEGY}.blueGreen.active",
         told("there is no version 'v22'; the nearest is 'v2'", '"v22"', "the versions of the service: v1, v2",
              "write v2")),
    Case("an idle version without pods",
         beside(ACTIVE, "versions:\n  v1: {image: shop:1, port: 8080, replicas: 2}\n"
                        f"  v2: {{image: shop:2, port: 8080, replicas: 0}} {HERE}\n"),
         f"{SHOP}.versions.v2.replicas",
         ("the idle version v2 has no pods", "give it as many as the active version")),
    Case("no pods for both versions",
         beside(ACTIVE, f"versions:\n  v1: {{image: shop:1, port: 8080, replicas: 0}} {HERE}\n"
                        "  v2: {image: shop:2, port: 8080}\n"),
         f"{V1}.replicas", ("the idle version v2 has no pods",)),
    Case("weights beside blueGreen", routed(ACTIVE, f"- to: {{v1: 90, v2: 10}} {HERE}"), f"{SHOP}.route[0].to",
         ("the active version gets all of these requests, but the rule has weights",
          f"remove `to`, or write {STRATEGY}: canary")),
    Case("weights of a cohort beside blueGreen",
         routed(ACTIVE, f"- {{match: [{{uri: {{exact: /x}}}}], to: {{v1: 50, v2: 50}}}} {HERE}"),
         f"{SHOP}.route[0].to", ("the rule has weights",)),
    Case("a default rule beside blueGreen", routed(ACTIVE, f"- to: v1 {HERE}"), f"{SHOP}.route[0].to",
         ("the rule has a destination of its own",)),
    Case("a route that blueGreen cannot change",
         routed(ACTIVE, "- {match: [{uri: {exact: /x}}], to: v1}\n"
                        "- {match: [{uri: {exact: /y}}], to: v2}\n- directResponse: {status: 404}\n"
                ).replace("route:", f"route: {HERE}"),
         f"{SHOP}.route", ("no rule leads to the active version", "remove `to` from the rule")),
    Case("two samples with the same service", config(f"samples: [assets, assets-ingress] {HERE}"),
         "istio-canary:samples", ("assets and assets-ingress both have 'asset-consumer-svc' in services",
                                  "remove assets or assets-ingress")),
]  # fmt: skip


ONCE = {
    "a default rule beside blueGreen": routed(ACTIVE, "- to: v2"),
    "more seconds than are allowed": by("{ramped: {minReadySeconds: 5000}}"),
    "an idle version without pods, to which a rule leads": routed(
        ACTIVE, "- {match: [{uri: {exact: /x}}], to: v2}\n- {}"
    ).replace("shop:2, port: 8080", "shop:2, port: 8080, replicas: 0"),
    "an idle version without pods beside one with": routed(ACTIVE, "- {}")
    .replace("shop:1, port: 8080", "shop:1, port: 8080, replicas: 2")
    .replace("shop:2, port: 8080", "shop:2, port: 8080, replicas: 0"),
    "a version in upper case": service(f"{HOSTS}{TWO}route: [{{to: {{V1: 50, v2: 50}}}}]\n"),
}


@pytest.mark.parametrize("text", ONCE.values(), ids=ONCE)
def test_one_mistake_is_one_message(text: str, tmp_path: Path) -> None:
    error = problems_of(tmp_path, text)

    assert len(error.problems) == 1, error


def test_a_version_without_pods_is_not_suggested_as_the_active_one(tmp_path: Path) -> None:
    versions = "versions: {v1: {image: a, port: 80}, v22: {image: a, port: 80, replicas: 0}}\n"
    error = problems_of(tmp_path, by("{blueGreen: {active: v222}}", versions=versions))

    assert "write v22" not in str(error)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_contradiction_is_reported_with_its_line_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)
    assert_is_reported_once(case, tmp_path)
