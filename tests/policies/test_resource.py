"""Resources of a recording, of Pulumi's engine and of a state are the same to the rules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.proxy import unknown_checking_proxy

from policies import configuration
from policies.engine import findings
from policies.policy_error import PolicyError
from policies.resource import SECRET, UNKNOWN, Resource, from_analyzed, from_recorded, from_state
from tests.policies.registered import committed

URN = "urn:pulumi:prod::shop::kubernetes:apps/v1:Deployment::web"
TYPE = "kubernetes:apps/v1:Deployment"
SECRET_VALUE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PROPS: dict[str, Any] = {"kind": "Deployment", "spec": {"replicas": 2.0, "list": [1.5, {"a": True}, "x"]}}
PLAIN = {"kind": "Deployment", "spec": {"replicas": 2, "list": [1.5, {"a": True}, "x"]}}


def _analyzed(props: dict[str, Any]) -> SimpleNamespace:
    """As the engine's wire and pulumi_policy hand it over."""
    proxy = unknown_checking_proxy(deserialize_properties(props))
    return SimpleNamespace(urn=URN, resource_type=TYPE, name="web", props=proxy)


def _state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": list(resources)}}


def test_one_resource_from_three_places() -> None:
    expected = [Resource(URN, TYPE, "web", PLAIN)]

    assert from_recorded([SimpleNamespace(urn=URN, type=TYPE, name="web", inputs=PROPS)]) == expected
    assert from_analyzed([_analyzed({**PROPS, "__inputs": {"a": 1}})]) == expected
    assert from_state(_state({"urn": URN, "type": TYPE, "inputs": PROPS, "outputs": {}})) == expected


def test_whole_stacks_have_the_same_findings_from_every_place() -> None:
    config = configuration.parse({"image-digest": "mandatory"}, "test")
    recorded = committed("prod")
    proxies = [unknown_checking_proxy(dict(r.props)) for r in recorded]
    analyzed = [
        SimpleNamespace(urn=r.urn, resource_type=r.type, name=r.name, props=props)
        for r, props in zip(recorded, proxies, strict=True)
    ]
    saved = _state(*({"urn": r.urn, "type": r.type, "inputs": r.props} for r in recorded))

    expected = findings(recorded, config)
    assert len(expected) > 5
    assert findings(from_analyzed(analyzed), config) == expected
    assert findings(from_state(saved), config) == expected


def test_secrets_and_unknown_values_are_marked() -> None:
    (saved,) = from_state(_state({"urn": URN, "type": TYPE, "inputs": {"data": {"key": SECRET_VALUE}}}))
    assert saved.props == {"data": {"key": SECRET}}

    (analyzed,) = from_analyzed([_analyzed({"metadata": {"namespace": UNKNOWN_TEXT}})])
    assert analyzed.props == {"metadata": {"namespace": UNKNOWN}}
    assert not analyzed.is_known
    assert not saved.is_known


def test_resources_that_are_about_to_be_deleted_are_not_of_the_state() -> None:
    assert from_state(_state({"urn": URN, "type": TYPE, "inputs": {}, "delete": True})) == []


@pytest.mark.parametrize("given", [{}, [], None, {"deployment": {"resources": 1}}, "text"])
def test_what_is_no_exported_state_is_said(given: Any) -> None:
    with pytest.raises(PolicyError, match="pulumi stack export"):
        from_state(given)


def test_an_empty_stack_has_no_findings() -> None:
    assert findings(from_state(_state()), configuration.default()) == []
    assert findings(from_state({"version": 3, "deployment": {}}), configuration.default()) == []
