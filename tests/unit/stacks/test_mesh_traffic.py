"""What the mesh's own keys and the values of Istio's charts say about requests, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.mesh_traffic import assumed, mesh_traffic, unsimulated
from stacks.settings.loading import load, load_stack, warnings
from stacks.settings.problems import SettingsError
from tests.unit.mocks import Deploy
from tests.unit.problems import HERE, Case, assert_is_reported, config
from traffic.model import MeshTraffic, OutboundTrafficPolicy, PathNormalization, Retries

ROOT = Path(__file__).parents[3]
NO_RETRIES = Retries(attempts=0)
FIVE = Retries(attempts=5, retry_on="connect-failure,503", per_try_timeout="2s")
VALUES = "istio-canary:mesh.values"


def mesh_config(**keys: Any) -> dict[str, Any]:
    """Values of the mesh with these keys of MeshConfig."""
    return {"values": {"istiod": {"meshConfig": keys}}}


def topology(number: Any) -> dict[str, Any]:
    """Values of the mesh whose proxies trust this number of proxies in front of them."""
    return mesh_config(defaultConfig={"gatewayTopology": {"numTrustedProxies": number}})


def annotation(text: str) -> dict[str, Any]:
    """Values of the gateway's chart with this ProxyConfig."""
    return {"gateway": {"podAnnotations": {"proxy.istio.io/config": text}}}


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        ({}, MeshTraffic()),
        ({"retries": {"attempts": 0}}, MeshTraffic(default_retries=NO_RETRIES)),
        (mesh_config(defaultHttpRetryPolicy={"attempts": 0}), MeshTraffic(default_retries=NO_RETRIES)),
        # istiod reads missing attempts as 0 (retry.ConvertPolicy).
        (mesh_config(defaultHttpRetryPolicy={"retryOn": "5xx"}), MeshTraffic(default_retries=NO_RETRIES)),
        (mesh_config(defaultHttpRetryPolicy={"attempts": 5, "retryOn": "connect-failure, 503", "perTryTimeout": "2s"}),
         MeshTraffic(default_retries=FIVE)),
        (mesh_config(defaultHttpRetryPolicy=None), MeshTraffic()),
        ({"pathNormalization": "NONE"}, MeshTraffic(path_normalization=PathNormalization.NONE)),
        (mesh_config(pathNormalization={"normalization": "DEFAULT"}), MeshTraffic()),
        (mesh_config(pathNormalization={"normalization": "MERGE_SLASHES"}),
         MeshTraffic(path_normalization=PathNormalization.MERGE_SLASHES)),
        ({"gateway": {"numTrustedProxies": 2}}, MeshTraffic(num_trusted_proxies=2)),
        ({"install": False, "gateway": {"numTrustedProxies": 2}}, MeshTraffic(num_trusted_proxies=2)),
        (topology(1), MeshTraffic(num_trusted_proxies=1)),
        (topology("1"), MeshTraffic(num_trusted_proxies=1)),
        ({"values": {**topology(1)["values"], **annotation("gatewayTopology: {numTrustedProxies: 3}")}},
         MeshTraffic(num_trusted_proxies=3)),
        # The annotation's gatewayTopology replaces that of MeshConfig (mesh.MergeProxyConfig).
        ({"values": {**topology(1)["values"], **annotation("gatewayTopology: {}")}}, MeshTraffic()),
        ({"values": {**topology(1)["values"], **annotation("concurrency: 2")}}, MeshTraffic(num_trusted_proxies=1)),
        (mesh_config(outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}),
         MeshTraffic(outbound_traffic_policy=OutboundTrafficPolicy.REGISTRY_ONLY)),
    ],
)  # fmt: skip
def test_the_simulator_knows_what_the_file_says_about_the_mesh(mesh: dict[str, Any], expected: MeshTraffic) -> None:
    assert mesh_traffic(load({"mesh": mesh})) == expected


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"istiod": {"meshConfig": {"h2UpgradePolicy": "UPGRADE"}}}, "istiod.meshConfig.h2UpgradePolicy"),
        ({"istiod": {"meshConfig": {"default_http_retry_policy": {}}}}, "istiod.meshConfig.default_http_retry_policy"),
        ({"istiod": {"meshConfig": {"defaultHttpRetryPolicy": {"attempts": 2, "retryOn": "often"}}}},
         "istiod.meshConfig.defaultHttpRetryPolicy"),
        ({"istiod": {"meshConfig": {"pathNormalization": {"normalization": 3}}}},
         "istiod.meshConfig.pathNormalization.normalization"),
        ({"istiod": {"meshConfig": {"defaultVirtualServiceExportTo": ["."]}}},
         "istiod.meshConfig.defaultVirtualServiceExportTo"),
        ({"istiod": {"meshConfig": {"defaultConfig": {"gatewayTopology": {"proxyProtocol": {}}}}}},
         "istiod.meshConfig.defaultConfig.gatewayTopology.proxyProtocol"),
        ({"istiod": {"meshConfig": {"defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}}}},
         "istiod.meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE"),
        ({"istiod": {"meshConfig": {"localityLbSetting": {"enabled": False}}}},
         "istiod.meshConfig.localityLbSetting"),
        ({"istiod": {"env": {"PILOT_HTTP10": "1"}}}, "istiod.env.PILOT_HTTP10"),
        ({"istiod": {"env": {"PILOT_OF_THE_FUTURE": "true"}}}, "istiod.env.PILOT_OF_THE_FUTURE"),
        ({"istiod": {"revision": "canary"}}, "istiod.revision"),
        ({"gateway": {"labels": {"istio": "other"}}}, "gateway.labels.istio"),
        ({"gateway": {"env": {"ISTIO_META_HTTP10": "1"}}}, "gateway.env.ISTIO_META_HTTP10"),
        (annotation("proxyHeaders: {requestId: {disabled: true}}"),
         'gateway.podAnnotations["proxy.istio.io/config"].proxyHeaders'),
        (annotation("[1"), 'gateway.podAnnotations["proxy.istio.io/config"]'),
    ],
)  # fmt: skip
def test_a_value_that_is_not_simulated_gets_a_warning(values: dict[str, Any], path: str) -> None:
    settings = load({"mesh": {"values": values}})

    assert len(unsimulated(settings)) == 1
    assert f"{VALUES}.{path}" in {warning.path for warning in warnings(settings)}


@pytest.mark.parametrize(
    "values",
    [
        {"istiod": {"meshConfig": {"accessLogFile": "/dev/stdout", "enableAutoMtls": True}}},
        {"istiod": {"meshConfig": {"defaultServiceExportTo": ["*"], "localityLbSetting": {"enabled": True}}}},
        {"istiod": {"env": {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_HTTP10": "false"}}},
        {"gateway": {"labels": {"team": "edge"}, "podAnnotations": {"example.com/a": "b"}, "env": {}}},
        {"base": {"anything": 1}},
    ],
)
def test_a_value_that_decides_nothing_gets_no_warning(values: dict[str, Any]) -> None:
    assert unsimulated(load({"mesh": {"values": values}})) == ()


@pytest.mark.parametrize("file", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_the_projects_own_stacks_are_simulated_in_full(file: Path) -> None:
    assert unsimulated(load_stack(file).settings) == ()


CONTRADICTIONS = [
    Case("retries", config(f"mesh:\n  retries: {{attempts: 1}}\n  values: {{istiod: {{meshConfig: "
         f"{{defaultHttpRetryPolicy: {{attempts: 0}}}}}}}} {HERE}"),
         f"{VALUES}.istiod.meshConfig.defaultHttpRetryPolicy", ("contradicts istio-canary:mesh.retries",)),
    Case("normalization", config(f"mesh:\n  pathNormalization: BASE\n  values: {{istiod: {{meshConfig: "
         f"{{pathNormalization: {{normalization: NONE}}}}}}}} {HERE}"),
         f"{VALUES}.istiod.meshConfig.pathNormalization.normalization", ('which is "BASE"', 'given:   "NONE"')),
    Case("proxies", config(f"mesh:\n  gateway: {{numTrustedProxies: 2}}\n  values: {{istiod: {{meshConfig: "
         f"{{defaultConfig: {{gatewayTopology: {{numTrustedProxies: 1}}}}}}}}}} {HERE}"),
         f"{VALUES}.istiod.meshConfig.defaultConfig.gatewayTopology.numTrustedProxies", ("which is 2",)),
    Case("annotation", config(f"mesh:\n  gateway: {{numTrustedProxies: 2}}\n  values: {{gateway: {{podAnnotations: "
         f"{{proxy.istio.io/config: 'concurrency: 2'}}}}}} {HERE}"),
         f'{VALUES}.gateway.podAnnotations["proxy.istio.io/config"]', ("which is 2",)),
    Case("root namespace", config(f"mesh:\n  values: {{istiod: {{meshConfig: {{rootNamespace: other}}}}}} {HERE}"),
         f"{VALUES}.istiod.meshConfig.rootNamespace", ("contradicts istio-canary:mesh.namespace",)),
    Case("ports", config(f"mesh:\n  gateway: {{ports: [80, 443]}}\n  values: {{gateway: {{service: "
         f"{{ports: [{{name: http, port: 80}}]}}}}}} {HERE}"),
         f"{VALUES}.gateway.service.ports", ("which is [443]",)),
    Case("bad retries", config(f"mesh: {{retries: {{attempts: -1}}}} {HERE}"), "istio-canary:mesh.retries.attempts",
         ("from 0 to 100",)),
    Case("bad normalization", config(f"mesh: {{pathNormalization: MERGE}} {HERE}"),
         "istio-canary:mesh.pathNormalization", ("MERGE_SLASHES",)),
    Case("bad number", config(f"mesh: {{gateway: {{numTrustedProxies: one}}}} {HERE}"),
         "istio-canary:mesh.gateway.numTrustedProxies", ("a whole number from 0 to 100",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case.name)
def test_a_value_that_contradicts_an_own_key_is_an_error(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


def test_a_value_that_says_the_same_as_an_own_key_is_no_error() -> None:
    mesh = {"retries": {"attempts": 0}, **mesh_config(defaultHttpRetryPolicy={"attempts": 0})}

    assert mesh_traffic(load({"mesh": mesh})).default_retries == NO_RETRIES


def test_own_keys_are_rendered_as_istio_documents_them(deploy: Deploy) -> None:
    mesh = {"retries": {"attempts": 0}, "pathNormalization": "MERGE_SLASHES", "gateway": {"numTrustedProxies": 1}}
    settings = load({"mesh": mesh})

    run = deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "istio-canary/test").outputs)

    values = {one.inputs["chart"]: one.inputs["values"] for one in run.custom() if "chart" in one.inputs}
    config = values["istiod"]["meshConfig"]
    of_pods = yaml.safe_load(values["gateway"]["podAnnotations"]["proxy.istio.io/config"])
    assert config["defaultHttpRetryPolicy"] == {"attempts": 0}
    assert config["pathNormalization"] == {"normalization": "MERGE_SLASHES"}
    assert of_pods["gatewayTopology"] == {"numTrustedProxies": 1}
    assert of_pods["proxyMetadata"] == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}


def test_without_own_keys_nothing_is_added_to_the_charts(deploy: Deploy) -> None:
    settings = load({})

    run = deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "istio-canary/test").outputs)

    text = json.dumps([one.inputs["values"] for one in run.custom() if "chart" in one.inputs])
    assert not [key for key in ("RetryPolicy", "pathNormalization", "gatewayTopology") if key in text]


def test_of_an_existing_mesh_it_is_said_what_is_assumed_unless_the_file_says_it() -> None:
    unknown = " ".join(assumed(load({"mesh": {"install": False}})))
    said = {"retries": {"attempts": 0}, "pathNormalization": "BASE", "gateway": {"numTrustedProxies": 0}}
    known = " ".join(assumed(load({"mesh": {"install": False, **said}})))

    for key in ("mesh.retries", "mesh.pathNormalization", "mesh.gateway.numTrustedProxies"):
        assert key in unknown
        assert key not in known
    assert assumed(load({})) == ()


def test_paths_are_checked_as_the_mesh_normalises_them() -> None:
    rule = {"match": [{"uri": {"prefix": "/a//b"}}], "to": "v1"}
    shop = {"hosts": ["shop.example.com"], "versions": {"v1": {"image": "shop:1", "port": 8080}},
            "route": [rule, {"to": "v1"}]}  # fmt: skip
    load({"services": {"shop": shop}})

    with pytest.raises(SettingsError, match="no request's path begins with '/a//b'"):
        load({"mesh": {"pathNormalization": "MERGE_SLASHES"}, "services": {"shop": shop}})


def test_pods_that_refuse_plain_text_and_callers_that_send_it_are_a_warning() -> None:
    found = warnings(load({"mesh": mesh_config(enableAutoMtls=False)}))

    assert any("istio-canary:mesh.mtls is STRICT" in warning.what for warning in found)
