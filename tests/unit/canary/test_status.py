"""What `canary status` says of services, their strategies and the ports of the gateway."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment

from canary.command_error import CommandError
from canary.commands.status import _show
from canary.status import EnvironmentState, look
from canary.ui import Ui
from stacks.settings.loading import load

VERSIONS = {name: {"image": "shop:1", "port": 8080} for name in ("one", "two")}


class FakeCluster:
    """A cluster in which every Deployment has one ready pod."""

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        assert kind is Deployment
        container = {"name": "shop", "image": "shop:1"}
        spec = {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [container]}}}
        return Deployment.from_dict({"metadata": {"name": name}, "spec": spec, "status": {"readyReplicas": 1}})

    def list(self, *_: Any, **__: Any) -> list[Any]:
        return []


@pytest.fixture
def exists(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kinds that exist in the cluster; the gateway has a node port for each port but 9999."""
    kinds: set[str] = set()

    def find(client: Any, api_version: str, kind: str, namespace: str, name: str) -> Any:
        return {"spec": {}} if kind in kinds else None

    def url(client: Any, settings: Any, port: int, scheme: str, deployment: str) -> str:
        if port == 9999:
            raise CommandError("no port 9999", fix="open it")
        return f"{scheme}://192.0.2.1:3{port}"

    monkeypatch.setattr("kube.objects.find_object", find)
    monkeypatch.setattr("canary.gateway.gateway_url", url)
    monkeypatch.setattr("stacks.rollout_states.read_rollout_states", lambda client, settings: {})
    monkeypatch.setattr("kube.client.query", lambda cluster, ask, within=None: ask(FakeCluster()))
    return kinds


def looked(services: dict[str, Any], **keys: Any) -> EnvironmentState:
    """The state of a stack with these services, of which the engine knows nothing."""
    filled = {name: {"hosts": [f"{name}.example.com"], "versions": VERSIONS, **one} for name, one in services.items()}
    session: Any = SimpleNamespace(
        settings=load({"services": filled, **keys}),
        engine=SimpleNamespace(call=lambda *_: SimpleNamespace(returncode=1)),
    )
    return look(session)


def shown(state: EnvironmentState, capsys: pytest.CaptureFixture[str]) -> str:
    _show(Ui().stdout, state, "dev")
    return capsys.readouterr().out


def test_a_services_strategy_is_below_its_table(exists: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    cart = {"route": [{"to": {"one": 90, "two": 10}}], "strategy": "ramped"}
    services = {"shop": {"strategy": {"blueGreen": {"active": "two"}}}, "cart": cart}
    text = shown(looked(services), capsys)

    assert "strategy: blueGreen, two is active\n" in text
    assert "strategy: ramped, maxSurge 1, maxUnavailable 0\n" in text


def test_every_port_of_the_gateway_that_leads_to_a_service_has_its_address(
    exists: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mesh = {"gateway": {"ports": [80, 9191, 9999]}}
    route = {"route": [{"to": {"one": 90, "two": 10}}]}
    services = {
        "shop": {**route},
        "cart": {**route, "gatewayPort": 9191},
        "more": {**route, "gatewayPort": 9191},
        "last": {**route, "gatewayPort": 9999},
    }
    state = looked(services, mesh=mesh)

    assert state.gateway == "http://192.0.2.1:380"
    assert state.gateway_ports == {
        80: "http://192.0.2.1:380",
        9191: "http://192.0.2.1:39191",
        9999: "no port 9999; fix: open it",
    }
    text = shown(state, capsys)
    assert "gateway: http://192.0.2.1:380\n" in text
    assert "gateway port 9191: http://192.0.2.1:39191\n" in text


@pytest.mark.parametrize(("kinds", "live"), [({"Ingress"}, {"one": 100}), (set(), {})])
def test_the_weights_of_an_ingress_are_live_if_it_exists(
    kinds: set[str], live: dict[str, int], exists: set[str]
) -> None:
    exists |= kinds
    (service,) = looked({"shop": {"ingressClassName": "istio", "versions": {"one": VERSIONS["one"]}}}).services

    assert [(rule.live, rule.configured) for rule in service.rules] == [(live, {"one": 100})]
    assert service.deployed


def test_weights_of_the_cluster_are_shown_as_proportions(
    exists: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = [
        {"destination": {"host": "shop.shop.svc.cluster.local", "subset": name}, "weight": weight}
        for name, weight in (("one", 995), ("two", 5))
    ]
    found = {"spec": {"http": [{"route": routes}]}}
    monkeypatch.setattr("kube.objects.find_object", lambda client, api, kind, *_: found)
    as_configured = looked({"shop": {"route": [{"to": {"one": 99.5, "two": {"weight": 0.5}}}]}})
    edited = looked({"shop": {"route": [{"to": {"one": 99.9, "two": 0.1}}]}})

    assert "0.5 % " in shown(as_configured, capsys)
    assert as_configured.services[0].rules[0].live == as_configured.services[0].rules[0].configured
    text = shown(edited, capsys).replace("\n", " ")
    assert "0.5 %" in text
    assert "config:" in text


def test_a_column_is_headed_by_the_name_of_the_rule_or_by_what_its_match_looks_at(exists: set[str]) -> None:
    rules = [
        {"match": [{"headers": {"qa": {"exact": "1"}}, "uri": {"prefix": "/a"}}], "to": "one"},
        {"match": [{"uri": {"prefix": "/b"}}], "to": "one"},
        {"match": [{"method": {"exact": "PUT"}}], "to": "one"},
        {"match": [{"method": {"exact": "POST"}}], "to": "one", "name": "writers"},
        {"to": {"one": 90, "two": 10}},
    ]
    (service,) = looked({"shop": {"route": rules}}).services

    titles = [rule.name for rule in service.rules]
    assert titles == ["1. header rule", "2. path rule", "3. match", "4. writers", "5. default"]


def test_a_version_says_who_decides_about_its_pods(exists: set[str]) -> None:
    scaled = {"image": "shop:1", "port": 8080, "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "cpu": 70}}
    versions = {"one": scaled, "two": {**VERSIONS["two"], "replicas": None}, "three": VERSIONS["one"]}
    route = [{"to": {"one": 80, "two": 10, "three": 10}}]
    (service,) = looked({"shop": {"versions": versions, "route": route}}).services

    assert [version.decided_by for version in service.versions] == ["autoscaling, 2 to 5", "not managed", ""]
