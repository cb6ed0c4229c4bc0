"""Each rule passes on the stack prod, and finds what breaks it, on what the components register."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import clusters
from policies.plain_secrets import names_a_secret
from policies.resource import Resource
from policies.rules import RULES
from tests.policies.cases import CASES, CONTAINER, DEPLOYMENT, ROUTE, Case, all_of, sets
from tests.policies.registered import changed, committed, found, registered, values_of

OPEN_BY_DEFAULT = {"image-digest"}
"""Rules that the committed stack prod does not pass, since its images are placeholders."""
NAMES = [rule.name for rule in RULES]
OF_CLUSTERS = {rule.name for rule in clusters.RULES}
"""Their cases are in test_cluster_rules.py."""


def test_every_rule_has_a_case_that_fails() -> None:
    assert {case.rule for case in CASES} | {"weight-step"} | OF_CLUSTERS == set(NAMES)


@pytest.mark.parametrize("rule", [name for name in NAMES if name not in OPEN_BY_DEFAULT])
def test_the_stack_prod_passes_the_rule(rule: str) -> None:
    resources = committed("prod")

    assert found(rule, resources, before=resources) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_the_rule_finds_what_breaks_it(case: Case) -> None:
    resources = case.resources()
    paths = {resource.urn: resource.path for resource in resources}

    findings = found(case.rule, resources, **case.parameters)

    messages = {paths[finding.urn]: finding.message for finding in findings if case.words in finding.message}
    about = case.about or (case.resource or DEPLOYMENT).partition(" ")[2]
    assert any(path.startswith(about) for path in messages), f"{case.words!r} is not about {about} in {findings}"
    assert all(finding.fix for finding in findings)


def test_an_image_with_a_digest_passes() -> None:
    digest = f"shop@sha256:{'a' * 64}"
    resources = changed(committed("prod"), DEPLOYMENT, sets(f"{CONTAINER}.image", digest))
    urn = next(resource.urn for resource in resources if resource.path == "shop/shop-canary")

    for rule in ("image-digest", "image-pinned"):
        assert urn not in [finding.urn for finding in found(rule, resources)]


def test_a_missing_request_is_taken_from_the_limit() -> None:
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}

    assert (
        found("requests-and-limits", changed(committed("prod"), DEPLOYMENT, sets(f"{CONTAINER}.resources", limits)))
        == []
    )


def test_a_mirror_needs_its_version_too() -> None:
    mirrors = [{"destination": {"host": "shop.shop.svc.cluster.local", "subset": "next"}}]
    (finding,) = found("versions-exist", changed(committed("prod"), ROUTE, sets("spec.http.0.mirrors", mirrors)))

    assert "subset next" in finding.message


def test_services_of_other_stacks_are_not_judged() -> None:
    other = {"host": "pay.other.svc.cluster.local", "subset": "v1"}

    assert (
        found("versions-exist", changed(committed("prod"), ROUTE, sets("spec.http.0.route.0.destination", other))) == []
    )


def test_a_strict_namespace_in_an_existing_mesh_passes() -> None:
    values = values_of("prod")
    values["mesh"] = {"install": False, "gateway": {"ports": [80, 443]}}
    values["namespaces"] = {name: {"mtls": "STRICT"} for name in ("shop", "website-istio-ns")}

    assert found("mtls-strict", registered(values)) == []


@cache
def _weights(old: float, new: float) -> tuple[Resource, ...]:
    values = values_of("prod")
    values["services"]["shop"]["route"][1]["to"] = {"stable": old, "canary": new}
    return tuple(registered(values))


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ((95, 5), (60, 40), 35),
        ((100, 0), (50, 50), 50),
        ((60, 40), (0, 100), 60),
        ((99.5, 0.5), (60, 40), 39.5),
        ((995, 5), (600, 400), 39.5),
    ],
)
def test_a_large_step_of_a_canarys_weight_is_found(
    before: tuple[float, float], after: tuple[float, float], step: float
) -> None:
    findings = found("weight-step", _weights(*after), before=_weights(*before))

    assert len(findings) == 1
    assert f"of which {step} come from older versions" in findings[0].message
    assert found("weight-step", _weights(*after), before=_weights(*before), largestStep=step) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((95, 5), (75, 25)),
        ((50, 50), (100, 0)),
        ((0, 100), (100, 0)),
        ((50, 50), (50, 50)),
        ((99.9, 0.1), (99.5, 0.5)),
        ((100, 0), (99.9999, 0.0001)),
        ((999, 1), (980, 20)),
    ],
)
def test_a_small_step_and_the_way_back_are_allowed(before: tuple[float, float], after: tuple[float, float]) -> None:
    assert found("weight-step", _weights(*after), before=_weights(*before)) == []


@pytest.mark.parametrize("weights", [(99.5, 0.5), (995, 5), (99.9999, 0.0001)])
def test_weights_that_are_parts_of_a_power_of_ten_pass(weights: tuple[float, float]) -> None:
    assert found("weights-sum-to-100", _weights(*weights)) == []


def test_a_small_share_without_a_cohort_is_told_in_percent() -> None:
    values = values_of("prod")
    values["services"]["shop"]["route"] = [{"to": {"stable": 99.5, "canary": 0.5}, "timeout": "3s"}]
    (finding,) = found("cohort-before-weight", registered(values))
    assert "sends 0.5 % of all requests to" in finding.message


def test_nothing_is_said_about_a_step_where_the_weights_before_are_not_known() -> None:
    assert found("weight-step", _weights(0, 100), before=None) == []


def test_a_version_that_is_removed_hands_on_its_weight_in_one_step() -> None:
    values = values_of("prod")
    shop = values["services"]["shop"]
    del shop["versions"]["stable"]
    shop["route"] = [{"to": "canary", "timeout": "3s"}]

    (finding,) = found("weight-step", registered(values), before=_weights(100, 0))
    assert "from 0 to 100" in finding.message


def test_a_version_that_had_a_cohort_before_may_lose_the_rule() -> None:
    values = values_of("prod")
    del values["services"]["shop"]["route"][0]
    resources = registered(values)

    assert found("cohort-before-weight", resources)
    assert found("cohort-before-weight", resources, before=committed("prod")) == []


def test_a_cookie_of_the_testers_own_is_a_cohort() -> None:
    values = values_of("prod")
    values["services"]["shop"]["route"][0]["match"] = [{"cookies": {"group": {"exact": "beta"}}}]

    assert found("cohort-before-weight", registered(values)) == []


@given(st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_weights_are_found_exactly_if_they_do_not_sum_to_100(weights: list[int]) -> None:
    destinations = [
        {"destination": {"host": "shop.shop.svc.cluster.local", "subset": "stable"}, "weight": weight}
        for weight in weights
    ]
    resources = changed(committed("prod"), ROUTE, all_of(sets("spec.http", [{"route": destinations}])))

    assert bool(found("weights-sum-to-100", resources)) == (sum(weights) != 100)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_routes_of_connections_are_looked_at_as_well(kind: str) -> None:
    shop = {"host": "shop.shop.svc.cluster.local"}
    given = [{"route": [{"destination": {**shop, "subset": "nobody"}, "weight": 90}]}]
    resources = changed(committed("prod"), ROUTE, all_of(sets(f"spec.{kind}", given)))

    for rule, words in (("weights-sum-to-100", "90 = 90"), ("versions-exist", "no DestinationRule")):
        (finding,) = found(rule, resources)
        assert f"{kind}[0]" in finding.message
        assert words in finding.message


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "apiToken", "secret", "AWS_SECRET_ACCESS_KEY", "api.key", "API_KEY", "github-token", "PWD_X"],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "PORT",
        "KEYCLOAK_URL",
        "PASSWORD_FILE",
        "SECRET_NAME",
        "TOKEN_URL",
        "PUBLIC_KEY",
        "MONKEY",
        "tokenizer",
        "KEYS_TTL",
    ],
)
def test_names_of_other_things_are_no_secrets(name: str) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize("value", ["", "/run/secrets/token", "${TOKEN}", "https://id.example.com", "true"])
def test_a_reference_is_no_secret(value: str) -> None:
    env = [{"name": "DB_PASSWORD", "value": value}]

    assert found("secrets-not-plain", changed(committed("prod"), DEPLOYMENT, sets(f"{CONTAINER}.env", env))) == []


def test_the_value_of_a_secret_is_never_shown() -> None:
    env = [{"name": "DB_PASSWORD", "value": "hunter2"}]
    findings = found("secrets-not-plain", changed(committed("prod"), DEPLOYMENT, sets(f"{CONTAINER}.env", env)))

    assert findings
    assert "hunter2" not in str(findings)
