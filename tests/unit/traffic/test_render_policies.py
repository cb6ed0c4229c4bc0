"""The DestinationRule of a service, and how callers connect to its pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import service
from traffic.model import TrafficPolicy, version_label
from traffic.render import Spec, destination_rule

HOST = "website.website-istio-ns.svc.cluster.local"


def rendered(**website: Any) -> Spec:
    """The DestinationRule of the website."""
    return destination_rule("website", service("website", namespace="website-istio-ns", **website))


def test_every_version_has_a_subset_by_its_label() -> None:
    assert version_label("website", "version-1") == "website-version-1"
    assert rendered() == {
        "host": HOST,
        "subsets": [
            {"name": "version-1", "labels": {"version": "website-version-1"}},
            {"name": "version-2", "labels": {"version": "website-version-2"}},
        ],
    }


def test_a_service_and_a_version_have_their_own_policies() -> None:
    everyone, canary = {"loadBalancer": {"simple": "RANDOM"}}, {"connectionPool": {"tcp": {"maxConnections": 1}}}
    spec = rendered(trafficPolicy=everyone, versions={"version-1": {}, "version-2": {"trafficPolicy": canary}})

    assert spec["trafficPolicy"] == everyone
    assert [subset.get("trafficPolicy") for subset in spec["subsets"]] == [None, canary]


POLICIES: list[dict[str, Any]] = [
    {"loadBalancer": {"simple": "LEAST_REQUEST", "warmup": {"duration": "30s", "minimumPercent": 5, "aggression": 2}}},
    {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user", "maglev": {"tableSize": 65537}}}},
    {"loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "path": "/", "ttl": "0s"}}}},
    {"loadBalancer": {"consistentHash": {"useSourceIp": True, "ringHash": {"minimumRingSize": 1024}}}},
    {"loadBalancer": {"consistentHash": {"httpQueryParameterName": "user"}}},
    {
        "loadBalancer": {
            "localityLbSetting": {"enabled": True, "distribute": [{"from": "eu/*", "to": {"eu/*": 80, "us/*": 20}}]}
        }
    },
    {"loadBalancer": {"localityLbSetting": {"failover": [{"from": "eu", "to": "us"}]}}, "outlierDetection": {}},
    {"loadBalancer": {"localityLbSetting": {"failoverPriority": ["example.com/rack"]}}, "outlierDetection": {}},
    {
        "connectionPool": {
            "tcp": {
                "maxConnections": 10,
                "connectTimeout": "1s",
                "idleTimeout": "1m30s",
                "maxConnectionDuration": "1h",
                "tcpKeepalive": {"probes": 3, "time": "30s", "interval": "10s"},
            },
            "http": {
                "http1MaxPendingRequests": 1,
                "http2MaxRequests": 2,
                "maxRequestsPerConnection": 3,
                "maxRetries": 4,
                "idleTimeout": "5s",
                "h2UpgradePolicy": "UPGRADE",
                "maxConcurrentStreams": 5,
            },
        }
    },
    {"connectionPool": {"http": {"useClientProtocol": True}}},
    {
        "outlierDetection": {
            "consecutive5xxErrors": 0,
            "consecutiveGatewayErrors": 3,
            "splitExternalLocalOriginErrors": True,
            "consecutiveLocalOriginFailures": 4,
            "interval": "5s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 50,
            "minHealthPercent": 10,
        }
    },
    {"tls": {"mode": "SIMPLE", "sni": "a.example.com", "subjectAltNames": ["a.example.com"]}},
    {"tls": {"mode": "MUTUAL", "clientCertificate": "/c.pem", "privateKey": "/k.pem", "caCertificates": "/ca.pem"}},
    {"tls": {"mode": "MUTUAL", "credentialName": "shop-ca", "insecureSkipVerify": True}},
    {"tls": {"mode": "DISABLE"}},
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_rendered_as_given(policy: dict[str, Any]) -> None:
    assert rendered(trafficPolicy=policy)["trafficPolicy"] == policy, "0 and false are rendered if they are set"


def test_every_key_of_a_policy_is_tested() -> None:
    assert _keys(TrafficPolicy.model_json_schema(by_alias=True)) <= {key for one in POLICIES for key in _given(one)}


def _keys(schema: dict[str, Any]) -> set[str]:
    models = [schema, *schema["$defs"].values()]
    return {key for model in models for key in model.get("properties", {})}


def _given(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in _given(item)}
    return {key for item in value for key in _given(item)} if isinstance(value, list) else set()
