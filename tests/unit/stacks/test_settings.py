"""What a stack's file becomes: settings with defaults, samples and names filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import traffic.model.locality
import traffic.model.policy
from stacks.settings import model as settings_model
from stacks.settings import resources as settings_resources
from stacks.settings import security as settings_security
from stacks.settings import strategy as settings_strategy
from stacks.settings import telemetry as settings_telemetry
from stacks.settings.cluster import GkeSettings
from stacks.settings.loading import load, load_runtime, load_stack, warnings
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.plain_values import SECRET_KEYS
from stacks.settings.problems import Problem, SettingsError
from stacks.settings.stack_file import read_stack_file

PROJECT = Path(__file__).parents[3]
STACKS = {
    "dev": ["website"],
    "minikube": ["website"],
    "staging": ["website", "shop"],
    "staging-cluster": [],
    "prod": ["website", "shop"],
    "prod-cluster": [],
    "samples": [
        *("website", "hello-minikube", "java-service-lb", "cloudnative-go-service", "cloudnative-frontend"),
        *("asset-consumer-svc", "asset-mgr-ms-svc", "asset-dashboard-bff-svc", "web-api", "articles", "authors"),
    ],
}
"""The committed stacks, and their services."""

TWO_VERSIONS = {"v1": {"image": "shop:1", "port": 8080}, "v2": {"image": "shop:2", "port": 8080}}


def shop(**keys: Any) -> dict[str, Any]:
    """The values of a stack with the service `shop`."""
    return {"services": {"shop": {"hosts": ["shop.example.com"], "versions": TWO_VERSIONS, **keys}}}


def test_every_committed_stack_is_known_here() -> None:
    assert {path.name for path in PROJECT.glob("Pulumi.*.yaml")} == {f"Pulumi.{stack}.yaml" for stack in STACKS}


@pytest.mark.parametrize("stack", STACKS)
def test_every_committed_stack_loads_without_warnings(stack: str) -> None:
    loaded = load_stack(PROJECT / f"Pulumi.{stack}.yaml")

    assert not loaded.settings.services or loaded.settings.version_header == "x-served-version"
    assert list(loaded.settings.services) == STACKS[stack]
    assert warnings(loaded.settings, loaded.source) == ()


def test_the_samples_run_in_a_mesh_like_that_of_dev_with_one_more_port() -> None:
    dev, samples = (load_stack(PROJECT / f"Pulumi.{stack}.yaml").settings for stack in ("dev", "samples"))

    differs = {"gateway", "outbound_traffic_policy"}
    assert samples.mesh.model_dump(exclude=differs) == dev.mesh.model_dump(exclude=differs)
    assert samples.mesh.gateway.node_ports == {80: 30080, 9191: 30091}
    assert (samples.cluster, samples.telemetry) == (dev.cluster, dev.telemetry)


def test_the_environments_differ_in_weights_pods_and_what_is_allowed() -> None:
    staging, prod = (load_stack(PROJECT / f"Pulumi.{stack}.yaml").settings for stack in ("staging", "prod"))

    for name, stable, canary in (("website", "version-1", "version-2"), ("shop", "stable", "canary")):
        assert staging.services[name].route[-1].weights == {stable: 90, canary: 10}
        assert prod.services[name].route[-1].weights == {stable: 95, canary: 5}
        pods_in_prod, pods_in_staging = (one.services[name].deployed[stable].replicas for one in (prod, staging))
        assert pods_in_prod is not None
        assert pods_in_staging is not None
        assert pods_in_prod > pods_in_staging
        assert all(len(one.services[name].route) == 2 for one in (staging, prod)), "testers have a rule of their own"
    clusters = [one.cluster for one in (staging, prod)]
    assert [getattr(one, "stack_reference", None) for one in clusters] == [
        f"organization/istio-canary/{name}-cluster" for name in ("staging", "prod")
    ]
    assert prod.mesh.mtls == "STRICT"
    assert prod.namespaces["shop"].deny_by_default


def test_the_cluster_of_prod_is_larger_spans_zones_and_is_protected() -> None:
    staging, prod = (
        load_stack(PROJECT / f"Pulumi.{stack}-cluster.yaml").settings.cluster for stack in ("staging", "prod")
    )
    assert isinstance(staging, GkeSettings)
    assert isinstance(prod, GkeSettings)

    assert prod.nodes.min >= 3 > staging.nodes.min
    assert prod.deletion_protection
    assert not staging.deletion_protection
    assert (staging.location, staging.release_channel.value) == ("europe-west1-b", "REGULAR")
    assert (prod.location, prod.release_channel.value) == ("europe-west1", "STABLE")


def test_the_website_is_the_sample_as_specified() -> None:
    website = load({"samples": ["website"]}).services["website"]

    assert (website.namespace, website.port, website.gateway_port, website.hosts) == (
        "website-istio-ns",
        80,
        80,
        ("*",),
    )
    versions = {
        key: (version.name, version.replicas, version.port, version.args) for key, version in website.deployed.items()
    }
    assert versions == {
        "version-1": ("web-v1", 4, 5678, ("-listen=:5678", "-text=echo-v1")),
        "version-2": ("web-v2", 1, 5678, ("-listen=:5678", "-text=echo-v2")),
    }
    qa = website.route[0].match[0].headers["qa"]
    assert (qa.exact, website.route[0].to) == ("canary-test", "version-2")
    assert (website.route[1].match, website.route[1].to) == ((), "version-1")
    assert len(website.route) == 2


def test_staging_sends_one_request_in_ten_to_the_canary() -> None:
    route = load_stack(PROJECT / "Pulumi.staging.yaml").settings.services["website"].route

    assert [rule.weights for rule in route] == [{"version-2": 100}, {"version-1": 90, "version-2": 10}]


def test_a_stacks_settings_are_merged_over_the_sample_and_lists_are_replaced() -> None:
    over = {
        "versions": {"version-1": {"replicas": 2, "args": ["-text=hi"]}},
        "route": [{"to": {"version-1": 99, "version-2": 1}}],
    }
    website = load({"samples": ["website"], "services": {"website": over}}).services["website"]

    assert website.deployed["version-1"].replicas == 2
    assert website.deployed["version-1"].args == ("-text=hi",), "lists are replaced, not merged"
    assert website.deployed["version-1"].image == "hashicorp/http-echo:1.0.0", "unset keys keep the sample's value"
    assert website.deployed["version-2"].replicas == 1
    assert len(website.route) == 1


def test_a_version_that_is_null_is_removed_from_a_sample() -> None:
    over = {"versions": {"version-2": None}, "route": [{"to": "version-1"}]}
    website = load({"samples": ["website"], "services": {"website": over}}).services["website"]

    assert list(website.versions) == ["version-1"]


def test_names_namespaces_and_routes_are_filled_in() -> None:
    one = {"hosts": ["a.example.com"], "versions": {"v1": {"image": "cart:1", "port": 8080}}}
    cart = load({"services": {"cart": one}}).services["cart"]

    assert cart.namespace == "cart"
    assert cart.deployed["v1"].name == "cart-v1"
    assert [rule.weights for rule in cart.route] == [{"v1": 100}], "one version gets all requests"


def test_a_version_is_ready_when_its_port_accepts_connections_unless_configured_otherwise() -> None:
    probed = {**TWO_VERSIONS["v1"], "readinessProbe": {"httpGet": {"path": "/health", "port": 8081}}}
    one, other = (
        load(shop(versions={"v1": TWO_VERSIONS["v1"], "v2": probed}, route=[{"to": {"v1": 50, "v2": 50}}]))
        .services["shop"]
        .deployed.values()
    )

    assert one.readiness_probe.tcp_socket is not None
    assert one.readiness_probe.tcp_socket.port == 8080
    assert other.readiness_probe.tcp_socket is None
    assert other.readiness_probe.http_get is not None
    assert other.readiness_probe.http_get.port == 8081


@pytest.mark.parametrize(
    ("given_quantity", "read"),
    [(1, "1"), (0.5, "0.5"), ("500m", "500m"), ("64Mi", "64Mi"), ("1e3", "1e3"), (".5", ".5")],
)
def test_quantities_may_be_numbers_as_in_kubernetes(given_quantity: object, read: str) -> None:
    versions = {"v1": {**TWO_VERSIONS["v1"], "resources": {"limits": {"cpu": given_quantity}}}}

    assert load(shop(versions=versions)).services["shop"].deployed["v1"].resources.limits == {"cpu": read}


@pytest.mark.parametrize(
    "image",
    [
        "shop",
        "shop:1",
        "registry:5000/shop",
        "docker.io/hashicorp/http-echo:1.0.0",
        "ghcr.io/a/b/c_d--e:v1.2.3-rc.1",
        "a@sha256:" + "0" * 64,
    ],
)
def test_image_references_that_container_runtimes_accept_are_valid(image: str) -> None:
    versions = {"v1": {"image": image, "port": 8080}}

    assert load(shop(versions=versions)).services["shop"].deployed["v1"].image == image


def test_paths_have_their_variables_and_home_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("CHARTS", "/srv/charts")
    loaded = load({"cluster": {"kubeconfig": "~/.kube/other"}, "mesh": {"charts": "$CHARTS/istio"}})

    assert loaded.cluster.kubeconfig == "/home/ann/.kube/other"
    assert loaded.mesh.charts_folder == Path("/srv/charts/istio")
    assert load({}).mesh.charts_folder is None, "the default is a repository"


def test_keys_of_other_namespaces_are_ignored() -> None:
    assert load({"kubernetes:context": "x", "istio-canary:readyWithin": 20}).ready_within == 20


def test_a_number_that_pulumi_put_into_quotes_is_a_number() -> None:
    assert load({"istio-canary:readyWithin": "20"}).ready_within == 20, "`pulumi config set` writes it like this"


def test_pulumis_defaults_are_those_of_the_settings() -> None:
    project = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())
    declared = {key.removeprefix("istio-canary:"): entry["default"] for key, entry in project["config"].items()}

    keys = [*Settings.model_json_schema()["properties"], *SECRET_KEYS]
    assert list(declared) == keys, "every key must be declared"
    assert load(declared) == load({}), "Pulumi's defaults must not change what a stack means"
    assert not [key for key, entry in project["config"].items() if "type" in entry], "Pulumi would check it first"
    as_text = {f"istio-canary:{key}": value if value == "" else str(value) for key, value in declared.items()}
    assert load_runtime(as_text) == load({})


@pytest.mark.parametrize(
    ("node_port", "ports"),
    [(30080, {80: 30080}), ({80: 30080, 9191: 30091}, {80: 30080, 9191: 30091}), ({"9191": 30091}, {9191: 30091})],
    ids=["the first port's", "each port's", "as Pulumi hands it over"],
)
def test_the_node_ports_are_those_of_the_first_port_or_of_each(node_port: Any, ports: dict[int, int]) -> None:
    gateway = load({"mesh": {"gateway": {"ports": [80, 9191], "nodePort": node_port}}}).mesh.gateway

    assert gateway.node_ports == ports


def test_every_setting_has_a_description() -> None:
    modules = (
        settings_model,
        settings_resources,
        settings_security,
        settings_strategy,
        settings_telemetry,
        traffic.model,
        traffic.model.policy,
        traffic.model.locality,
    )
    models = [
        model
        for module in modules
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel)
    ]
    missing = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description
    ]

    assert len(models) > 10
    assert missing == [], "editors show the description"


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load({}).ready_within = 20


def test_a_merged_key_is_not_a_duplicate(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(
        "config:\n  istio-canary:services:\n    a: &a\n      hosts: [a.b]\n      versions: {v: {image: x, port: 80}}\n"
        "    b:\n      <<: *a\n      hosts: [b.b]\n"
    )

    assert load_stack(file).settings.services["b"].hosts == ("b.b",)
    assert read_stack_file(file).line(("services", "b", "hosts")) == 8


def tried(values: dict[str, Any]) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings in `values`, or what is wrong with them."""
    try:
        return load(values), ()
    except SettingsError as error:
        return None, error.problems


def percentages(count: int) -> st.SearchStrategy[list[int]]:
    """Positive whole numbers that sum to 100."""
    cuts = st.lists(st.integers(1, 99), min_size=count - 1, max_size=count - 1, unique=True).map(sorted)
    return cuts.map(lambda at: [high - low for low, high in zip([0, *at], [*at, 100], strict=True)])


@settings(deadline=None)
@given(st.integers(1, 8).flatmap(percentages))
def test_any_positive_weights_that_sum_to_100_load(weights: list[int]) -> None:
    to = {f"v{index}": weight for index, weight in enumerate(weights)}
    versions = dict.fromkeys(to, TWO_VERSIONS["v1"])
    rule = load(shop(versions=versions, route=[{"to": to}])).services["shop"].route[0]

    assert rule.weights == to
    assert sum(rule.weights.values()) == 100


@settings(deadline=None)
@given(st.lists(st.integers(-10, 120), min_size=1, max_size=4))
def test_weights_sum_to_100_after_load_or_do_not_load(weights: list[int]) -> None:
    to = {f"v{index}": weight for index, weight in enumerate(weights)}
    versions = dict.fromkeys(to, TWO_VERSIONS["v1"])
    fits = sum(weights) == 100 and all(0 <= weight <= 100 for weight in weights)
    loaded, problems = tried(shop(versions=versions, route=[{"to": to}]))

    assert (loaded is not None) == fits, f"{to} with {problems}"
    assert all("route[0].to" in problem.path for problem in problems)
    if loaded is not None:
        assert sum(loaded.services["shop"].route[0].weights.values()) == 100


WORDS = st.sampled_from(
    [
        *("cluster", "mesh", "samples", "services", "website", "versions", "route", "match", "to", "headers", "hosts"),
        *("uri", "exact", "regex", "present", "secure", "version-1", "resources", "limits", "requests", "cpu", "name"),
        *("namespace", "values", "istiod", "gateway", "withoutHeaders", "env", "port", "image", "gatewayPort", "1e3"),
        *("securityContext", "capabilities", "add", "minReadySeconds", "readyWithin", "install", "mtls"),
        *("gateways", "servers", "tls", "namespaces", "egress", "authorization", "allow", "jwt", "trafficPolicy"),
        *("telemetry", "prometheus", "jaeger", "grafana", "kiali", "enabled", "url", "collector", "tracing", "alerts"),
        *("grafanaAdminPassword", "authentication", "anonymous", "accessLogs", "metricTags", "meshConfig", "metrics"),
        *("strategy", "blueGreen", "ramped", "recreate", "canary", "active", "ingressClassName", "maxSurge", "type"),
        *(
            "java-service",
            "assets",
            "assets-ingress",
            "cloud-native-starter",
            "java-service-lb",
            "replicas",
            "nodePort",
        ),
        *("redirect", "retries", "timeout", "fault", "mirrors", "sticky", "portLevelMtls", "mesh", "port", "website"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=25,
)


def test_a_key_that_is_called_as_encrypted_values_are_is_a_mistake_like_others() -> None:
    loaded, problems = tried({"secure": None})
    assert (loaded, len(problems)) == (None, 1)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS | st.text(max_size=4), VALUES, max_size=4))
def test_load_only_fails_with_settings_problems(values: dict[str, Any]) -> None:
    loaded, problems = tried(values)

    assert (loaded is None) == bool(problems)
    assert all(str(problem) for problem in problems)


@settings(max_examples=100, deadline=None)
@given(SCALARS | VALUES, st.sampled_from(list(ServiceSettings.model_json_schema()["properties"])))
def test_a_malformed_key_of_a_service_only_fails_with_settings_problems(value: Any, key: str) -> None:
    loaded, problems = tried({**shop(**{key: value}), "samples": ["website"]})

    assert (loaded is None) == bool(problems)
