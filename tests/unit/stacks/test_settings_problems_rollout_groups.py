"""Mistakes in groups of services that are rolled out together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import HERE, Case, assert_is_reported, assert_is_reported_once, config, warnings_of

GROUPS = "istio-canary:rolloutGroups"
STEPS = "steps: [{weight: 10, for: 10m}, {weight: 100}]"
OTHER = "steps: [{weight: 20, for: 10m}, {weight: 100}]"


def shop(name: str, rollout: str = "careful") -> str:
    rule = f"{{to: v2, timeout: 5s, rollout: {rollout}}}" if rollout else "{to: {v1: 0, v2: 100}}"
    return (
        f"  {name}:\n    hosts: [{name}.example.com]\n    versions:\n"
        "      v1: {image: shop:1, port: 8080}\n      v2: {image: shop:2, port: 8080}\n"
        f"    route: [{rule}]\n"
    )


def group(
    *services: str, name: str = "checkout", here: int = -1, others: str = "", second: str = "careful", gates: str = ""
) -> str:
    """A file with a group; the line of the mistake is that of the service with the index `here`, or of the group."""
    listed = "".join(f"      - {one}{f' {HERE}' if index == here else ''}\n" for index, one in enumerate(services))
    telemetry = "telemetry: {prometheus: {enabled: true}}\n" if gates else ""
    return config(
        f"{telemetry}rollouts:\n  careful:\n    {STEPS}\n{gates}  other:\n    {OTHER}\n"
        f"  gated:\n    {STEPS}\n{gates.replace('{}', '{falseAbort: 2%}')}"
        f"rolloutGroups:\n  {name}:{f' {HERE}' if here < 0 else ''}\n    services:\n{listed}{others}"
        f"services:\n{shop('articles')}{shop('web', second)}{shop('group-pay', '')}"
    )


OTHERS = f"  pay-too:\n    services:\n      - articles {HERE}\n      - group-pay\n"
FIRST = f"{GROUPS}.checkout.services[0]"
SECOND = f"{GROUPS}.checkout.services[1]"

CASES = [
    Case("a service that does not exist", group("article", "web", here=0), FIRST,
         ("there is no service 'article'; the nearest is 'articles'", "articles, web", "write articles")),
    Case("a service twice", group("articles", "web", "articles", here=2), f"{GROUPS}.checkout.services[2]",
         (f"{FIRST} is articles, too", "each service once in all groups")),
    Case("a service in two groups", group("articles", "web", here=9, others=OTHERS),
         f"{GROUPS}.pay-too.services[0]", (f"{FIRST} is articles, too", "make one group of both")),
    Case("a group named like a service", group("articles", "group-pay", name="web"), f"{GROUPS}.web",
         ("web is also a service", "rename the group, to web-group")),
    Case("a group whose record would be a service's", group("articles", "web", name="pay"), f"{GROUPS}.pay",
         ("the record of the group would have the name of that of the service group-pay",)),
    Case("other steps", group("articles", "web", here=1, second="other"), SECOND,
         ("web has the steps 20 % for 10m, 100 %, and articles 10 % for 10m, 100 %", "name one strategy")),
    Case("a single service", config(f"rolloutGroups:\n  checkout:\n    services: [articles] {HERE}\n"
                                    f"services:\n{shop('articles', '')}"), f"{GROUPS}.checkout.services",
         ("articles is alone in its group", "at least two services")),
    Case("an empty group", config(f"rolloutGroups:\n  checkout:\n    services: [] {HERE}\n"
                                  f"services:\n{shop('articles', '')}"), f"{GROUPS}.checkout.services",
         ("the value is empty",)),
    Case("no services", config(f"rolloutGroups:\n  checkout: {{}} {HERE}\nservices:\n{shop('articles', '')}"),
         f"{GROUPS}.checkout.services", ("this key is missing",)),
    Case("a key that is none", config("rolloutGroups:\n  checkout:\n    services: [articles, web]\n"
                                      f"    strategy: careful {HERE}\n"
                                      f"services:\n{shop('articles', '')}{shop('web', '')}"),
         f"{GROUPS}.checkout.strategy", ("there is no such key",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_mistake_in_a_group_is_reported_with_line_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_mistake_in_a_group_is_reported_once(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_other_gates_are_reported(tmp_path: Path) -> None:
    text = group("articles", "web", here=1, second="gated", gates="    gates: {}\n")

    assert_is_reported(
        Case("gates", text, SECOND, ("the gates of web are others", "one rate of false aborts")), tmp_path
    )


def test_a_service_without_a_rollout_takes_no_part(tmp_path: Path) -> None:
    told = "\n".join(map(str, warnings_of(tmp_path, group("articles", "group-pay", here=9))))

    assert "no rule of group-pay has a rollout: it takes no part" in told


@pytest.mark.parametrize("auto", [(True, True), (False, False), (True, False), (False, True)])
def test_a_group_of_which_only_some_services_start_by_themselves_is_warned_of(
    auto: tuple[bool, bool], tmp_path: Path
) -> None:
    first, second = (f"{{{STEPS}, autoStart: {str(one).lower()}}}" for one in auto)
    text = config(
        f"rolloutRunner: {{enabled: true}}\nrolloutGroups:\n  checkout: {{services: [articles, web]}}\n"
        f"services:\n{shop('articles', first)}{shop('web', second)}"
    )
    told = "\n".join(map(str, warnings_of(tmp_path, text)))

    by_itself, waits = ("articles", "web") if auto[0] else ("web", "articles")
    said = f"{by_itself} has autoStart, and {waits} has not: the group waits for `canary rollout start checkout`"
    assert (said in told) is (auto[0] != auto[1])
    assert ("has not: the group waits" in told) is (auto[0] != auto[1])
