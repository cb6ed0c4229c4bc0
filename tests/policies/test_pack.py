"""The rules as Pulumi's policies, called as Pulumi's engine calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import unknown_checking_proxy

from policies import pack
from policies.policy_error import PolicyError
from policies.resource import UNKNOWN, Resource, Resources
from policies.rules import RULES
from tests.policies.registered import ROOT, changed, committed, found, registered, values_of

GATEWAY = "Gateway istio-ingress/public"


def _named(name: str, before: Resources | None = None) -> Policy:
    return next(policy for policy in pack.policies(before) if policy.name == name)


def _reported(policy: Policy, resources: list[Resource], **config: Any) -> list[tuple[str, str | None]]:
    """What a policy reports for a stack: messages and URNs."""
    reported: list[tuple[str, str | None]] = []

    def report(message: str, urn: str | None = None) -> None:
        reported.append((message, urn))

    if isinstance(policy, StackValidationPolicy):
        given: Any = [
            SimpleNamespace(urn=r.urn, resource_type=r.type, name=r.name, props=unknown_checking_proxy(dict(r.props)))
            for r in resources
        ]
        policy.validate(StackValidationArgs(given, config), report)
    elif isinstance(policy, ResourceValidationPolicy):
        for resource in resources:
            policy.validate(_args(resource, config), report)
    return reported


def _args(resource: Resource, config: dict[str, Any] | None = None) -> ResourceValidationArgs:
    options: Any = None
    props = unknown_checking_proxy(dict(resource.props))
    return ResourceValidationArgs(resource.type, props, resource.urn, resource.name, options, None, config)


def _broken() -> list[Resource]:
    values = values_of("prod")
    del values["gateways"]["public"]["servers"][0]["tls"]
    values["services"]["shop"]["versions"]["canary"]["image"] = "shop"
    return registered(values)


def test_every_rule_is_a_policy_with_its_words_and_settings() -> None:
    policies = {policy.name: policy for policy in pack.policies(None)}

    assert list(policies) == [rule.name for rule in RULES]
    for rule in RULES:
        policy = policies[rule.name]
        assert policy.description == rule.description
        assert policy.enforcement_level == EnforcementLevel(rule.enforcement.value)
        assert policy.severity is not None
        assert policy.severity.value == rule.severity.value
        assert isinstance(policy.config_schema, PolicyConfigSchema)
        assert set(policy.config_schema.properties) == set(rule.settings)
        for name, schema in policy.config_schema.properties.items():
            Draft202012Validator.check_schema(schema)
            Draft202012Validator(schema).validate(rule.settings[name].default)


@pytest.mark.parametrize("rule", [rule.name for rule in RULES if not rule.needs_before])
def test_the_engine_reports_what_the_rule_finds(rule: str) -> None:
    resources = _broken() if rule in ("image-pinned", "tls-at-the-gateway") else list(committed("prod"))
    expected = [(f"{one.message}\n  fix: {one.fix}", one.urn) for one in found(rule, resources)]

    assert _reported(_named(rule), resources) == expected
    if rule in ("image-pinned", "tls-at-the-gateway"):
        assert expected


def test_settings_come_from_the_engine_and_whole_numbers_stay_whole() -> None:
    resources = list(committed("prod"))
    expected = [
        (f"{one.message}\n  fix: {one.fix}", one.urn) for one in found("retries-bounded", resources, mostRequests=2)
    ]

    assert "allowed are 2\n" in expected[0][0]
    assert _reported(_named("retries-bounded"), resources, mostRequests=2.0) == expected


def test_a_rule_about_a_change_needs_the_state_before() -> None:
    from pulumi_policy.policy import _NotApplicableError

    after = list(committed("prod"))
    with pytest.raises(_NotApplicableError) as caught:
        _reported(_named("weight-step"), after)
    assert "ISTIO_CANARY_BEFORE" in caught.value.message
    assert _reported(_named("weight-step", Resources(after)), after) == []


def test_the_state_before_is_read_from_the_file_that_the_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(pack.BEFORE, raising=False)
    assert pack.state_before() is None

    file = tmp_path / "before.json"
    monkeypatch.setenv(pack.BEFORE, str(file))
    with pytest.raises(PolicyError, match="cannot be read"):
        pack.state_before()
    urn = "urn:pulumi:prod::shop::kubernetes:core/v1:Service::web"
    file.write_text(json.dumps({"deployment": {"resources": [{"urn": urn, "type": "kubernetes:core/v1:Service"}]}}))
    before = pack.state_before()
    assert before is not None
    assert [resource.urn for resource in before] == [urn]


def _remediated(rule: str, resource: Resource) -> Any:
    policy = _named(rule)
    assert isinstance(policy, ResourceValidationPolicy)
    return policy.remediate(_args(resource))


def test_a_plain_port_is_made_to_redirect_to_the_same_hosts_with_tls() -> None:
    broken = _broken()
    (gateway,) = [one for one in broken if one.kind == "Gateway" and one.is_kubernetes]

    props = _remediated("tls-at-the-gateway", gateway)

    fixed = [Resource(r.urn, r.type, r.name, props) if r is gateway else r for r in broken]
    assert found("tls-at-the-gateway", fixed) == []
    (committed_gateway,) = [one for one in committed("prod") if one.urn == gateway.urn]
    assert props == committed_gateway.props, "nothing else changes"


def test_a_plain_port_of_hosts_without_tls_is_left_alone() -> None:
    def only_other_hosts(props: Any) -> None:
        props["spec"]["servers"][0] = {"port": {"number": 80, "protocol": "HTTP", "name": "x"}, "hosts": ["other.org"]}

    (gateway,) = [one for one in changed(committed("prod"), GATEWAY, only_other_hosts) if one.kind == "Gateway"]
    assert _remediated("tls-at-the-gateway", gateway) is None


def test_a_console_at_a_node_port_becomes_internal() -> None:
    def public(props: Any) -> None:
        props["spec"]["type"] = "NodePort"
        props["spec"]["ports"][0]["nodePort"] = 30123

    resources = changed(committed("prod"), "Service istio-system/kiali", public)
    (kiali,) = [one for one in resources if one.path == "istio-system/kiali" and one.kind == "Service"]
    (internal,) = [one for one in committed("prod") if one.urn == kiali.urn]
    assert _remediated("consoles-not-public", kiali) == internal.props


def test_a_resource_with_values_that_a_preview_does_not_know_is_left_alone() -> None:
    def unknown(props: Any) -> None:
        del props["spec"]["servers"][0]["tls"]
        props["metadata"]["namespace"] = UNKNOWN

    resources = changed(committed("prod"), GATEWAY, unknown)
    (gateway,) = [one for one in resources if one.kind == "Gateway"]
    assert _remediated("tls-at-the-gateway", gateway) is None, "the mark would become the resource's value"


def test_the_packs_own_configuration_is_in_pulumis_form() -> None:
    assert pack.initial_config({"all": "advisory", "probes": {"enforcementLevel": "disabled", "stacks": ["a"]}}) == {
        "all": {"enforcementLevel": EnforcementLevel.ADVISORY},
        "probes": {"enforcementLevel": EnforcementLevel.DISABLED, "stacks": ["a"]},
    }


def test_importing_the_rules_imports_no_pulumi_and_builds_no_pack() -> None:
    code = "import sys, policies.engine, policies.configuration, policies.__main__; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "'policies.rules'" in modules
    assert "'pulumi" not in modules
