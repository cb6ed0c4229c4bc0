"""The runner of a stack: where it moves rollouts, with which rights, and what speaks against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canary.render.manifests import parts_of
from components.rollout_runner import NAME
from policies import configuration
from policies.engine import findings
from policies.rule import Enforcement
from stacks.recording import Recorded, record
from stacks.settings.loading import load
from stacks.settings.rollout_runner import RUNNER_IMAGE
from tests.policies.registered import registered
from tests.unit.problems import HERE, Case, assert_is_reported, assert_is_warned_of, config, told

ECHO = {"image": "registry.example.com/shop:1.4.2", "port": 8080}
STEPS = [{"weight": 10, "for": "10m"}, {"weight": 100}]


def service(host: str, **strategy: Any) -> dict[str, Any]:
    return {
        "hosts": [host],
        "versions": {"one": ECHO, "two": ECHO},
        "route": [{"to": "two", "from": "one", "timeout": "5s", "rollout": {"steps": STEPS, **strategy}}],
    }


def shop(**strategy: Any) -> dict[str, Any]:
    return service("shop.example.com", **strategy)


def api(**strategy: Any) -> dict[str, Any]:
    return service("api.example.com", **strategy)


def stack(runner: dict[str, Any] | None = None, **more: Any) -> tuple[Recorded, ...]:
    """What a stack with a runner registers."""
    given = {"enabled": True, **(runner or {})}
    values = {"mesh": {"install": False}, "services": {"shop": shop(), "api": api()}, **more}
    return tuple(record(load({**values, "rolloutRunner": given}), "dev"))


def of_kind(resources: tuple[Recorded, ...], kind: str) -> list[Recorded]:
    return [one for one in resources if one.type.endswith(f":{kind}")]


def places(resources: tuple[Recorded, ...], kind: str = "Role", name: str = NAME) -> set[str]:
    """The namespaces of the runner's objects of a kind."""
    found = of_kind(resources, kind)
    return {one.inputs["metadata"]["namespace"] for one in found if one.inputs["metadata"]["name"] == name}


def test_a_stack_has_no_runner_unless_it_asks_for_one() -> None:
    values = {"mesh": {"install": False}, "services": {"shop": shop()}}
    assert not of_kind(tuple(record(load(values), "dev")), "RolloutRunner")


def test_it_moves_the_rollouts_of_the_stacks_services_or_of_the_namespaces_that_are_named() -> None:
    assert places(stack()) == {"shop", "api"}
    only = stack({"namespaces": ["shop"]})
    assert places(only) == {"shop"}
    (deployment,) = [one for one in of_kind(only, "Deployment") if one.inputs["metadata"]["name"] == NAME]
    assert deployment.inputs["metadata"]["namespace"] == "istio-canary"
    (container,) = deployment.spec["template"]["spec"]["containers"]
    assert container["image"] == RUNNER_IMAGE
    assert container["args"][:4] == ["rollout", "run", "--namespace", "shop"]


def test_its_namespace_is_made_by_the_stack_and_has_no_sidecars() -> None:
    made = [one for one in of_kind(stack(), "Namespace") if not one.is_component]
    labels = {one.inputs["metadata"]["name"]: one.inputs["metadata"].get("labels", {}) for one in made}
    assert "istio-injection" in labels["shop"]
    assert "istio-injection" not in labels["istio-canary"]


def test_it_reads_the_secrets_that_the_strategies_name_where_they_are() -> None:
    notify = [{"url": "https://hooks.example.com", "secret": {"name": "hooks", "key": "token"}}]
    services = {"shop": shop(notify=notify), "api": api(capacity={"scale": False})}
    rules = {
        one.inputs["metadata"]["namespace"]: one.inputs["rules"] for one in of_kind(stack(services=services), "Role")
    }
    named = [rule["resourceNames"] for rule in rules["shop"] if "secrets" in rule["resources"]]
    assert named == [["hooks"]]
    assert not [rule for rule in rules["api"] if "secrets" in rule["resources"]]
    assert not [rule for rule in rules["api"] if "deployments/scale" in rule["resources"]]


@pytest.mark.parametrize(
    ("ask", "in_mesh", "gateway", "everywhere"),
    [
        ("all", False, True, False),
        ("all", True, False, True),
        ("gateway", True, True, False),
        ("none", True, False, False),
    ],
)
def test_it_may_ask_the_envoys_that_proxy_sync_allows_to_ask(
    ask: str, in_mesh: bool, gateway: bool, everywhere: bool
) -> None:
    services = {"shop": {**shop(), **({"gateways": ["mesh"]} if in_mesh else {})}}
    made = stack(services=services, proxySync={"ask": ask, "waitSeconds": 3})
    assert (places(made, name=f"{NAME}-ask") == {"istio-ingress"}) is gateway
    assert bool(of_kind(made, "ClusterRole")) is everywhere


def test_it_asks_the_stacks_prometheus_which_lets_it_in() -> None:
    made = stack(telemetry={"prometheus": {"enabled": True}})
    (runner,) = [one for one in of_kind(made, "Deployment") if one.inputs["metadata"]["name"] == NAME]
    (container,) = runner.spec["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "ISTIO_CANARY_PROMETHEUS", "value": "http://prometheus.istio-system:9090"}]
    (policy,) = [one for one in of_kind(made, "NetworkPolicy") if one.inputs["metadata"]["name"] == "prometheus"]
    assert "istio-canary" in str(policy.spec["ingress"])
    values = {"mesh": {"install": False}, "services": {"shop": shop()}}
    without = tuple(record(load({**values, "telemetry": {"prometheus": {"enabled": True}}}), "dev"))
    (policy,) = of_kind(without, "NetworkPolicy")
    assert "istio-canary" not in str(policy.spec["ingress"])


@pytest.mark.parametrize("mode", ["deployment", "cronJob"])
def test_its_pod_breaks_no_mandatory_rule_of_production(mode: str) -> None:
    def broken(**runner: Any) -> set[str]:
        own = {"enabled": True, "mode": mode, **runner}
        values = {"mesh": {"install": False}, "services": {"shop": shop()}, "rolloutRunner": own}
        found = findings(registered(values), configuration.default())
        mandatory = [one for one in found if one.enforcement is Enforcement.MANDATORY]
        return {one.rule for one in mandatory if "RolloutRunner" in one.urn}

    assert broken() == set()
    assert broken(image="registry.example.com/runner:latest") == {"image-pinned"}
    assert broken(resources={}) == {"requests-and-limits"}


@pytest.mark.parametrize(("mode", "kind"), [("deployment", "Deployment"), ("cronJob", "CronJob")])
def test_it_is_rendered_after_its_rights(mode: str, kind: str) -> None:
    names = [part.name for part in parts_of(stack({"mode": mode}), None)]
    runner = names.index(f"{kind.lower()}-istio-canary-{NAME}")
    assert names.index(f"rolebinding-shop-{NAME}") < runner
    assert names.index("namespace-istio-canary") < runner


RUNNER = "istio-canary:rolloutRunner"
PROBLEMS = [
    Case(
        "nothing to move",
        config(f"mesh: {{install: false}}\nrolloutRunner:\n  enabled: true {HERE}\n"),
        f"{RUNNER}.enabled",
        told(
            "the stack has no services, so that the runner has no rollout to move",
            "true",
            "a runner with services, or with the namespaces of others",
            "name them, such as istio-canary:rolloutRunner.namespaces: [shop]; or remove rolloutRunner",
        ),
    ),
    Case(
        "another mode",
        config(f"rolloutRunner:\n  namespaces: [shop]\n  mode: job {HERE}\n"),
        f"{RUNNER}.mode",
        ('given:   "job"', "deployment", "cronJob"),
    ),
    Case(
        "a namespace twice",
        config(f"rolloutRunner:\n  namespaces: [shop, shop] {HERE}\n"),
        f"{RUNNER}.namespaces",
        ("'shop' is given twice",),
    ),
    Case(
        "more requested than allowed",
        config(f"rolloutRunner:\n  resources: {{requests: {{memory: 1Gi}}, limits: {{memory: 1Mi}}}} {HERE}\n"),
        f"{RUNNER}.resources.requests.memory",
        ("the request 1Gi is above the limit 1Mi",),
    ),
    Case(
        "no image",
        config(f"rolloutRunner:\n  image: 'My Runner' {HERE}\n"),
        f"{RUNNER}.image",
        ("is not an image reference",),
    ),
]


@pytest.mark.parametrize("case", PROBLEMS, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_place_what_is_allowed_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


def test_a_rollout_that_nobody_starts_is_warned_of(tmp_path: Path) -> None:
    keys = (
        "mesh: {install: false}\n"
        "services:\n"
        "  shop:\n"
        "    hosts: [shop.example.com]\n"
        "    versions: {one: {image: 'shop:1', port: 8080}, two: {image: 'shop:2', port: 8080}}\n"
        "    route:\n"
        "      - to: two\n"
        "        timeout: 5s\n"
        "        rollout:\n"
        "          steps: [{weight: 10, for: 10m}, {weight: 100}]\n"
        f"          autoStart: true {HERE}\n"
    )
    case = Case(
        "nobody starts it",
        config(keys),
        "istio-canary:services.shop.route[0].rollout.autoStart",
        told(
            "the stack has no runner in the cluster, so that nobody starts it by itself",
            "true",
            "autoStart with istio-canary:rolloutRunner.enabled: true, or with the runner of another stack",
            "write istio-canary:rolloutRunner: {enabled: true}; none needed if another stack's runner has this "
            "namespace",
        ),
    )
    assert_is_warned_of(case, tmp_path)
