"""Waiting for the mesh's Envoys: some are late, never in sync, or cannot be queried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from httpx2.websockets import WebSocketUpgradeError

from kube import kubeconfig
from kube.kubeconfig import ClusterUnreachableError
from rollout.proxy_sync import ProxiesForbiddenError, ProxySync, ProxySyncTimeoutError
from stacks.settings.loading import load
from stacks.settings.model import Settings
from traffic.model import Target

V2 = Target("shop", "version-2")
CLUSTER = "outbound|80|version-2|shop.shop.svc.cluster.local"
USING = json.dumps({"configs": [{"route_config": {"route": {"cluster": CLUSTER}}}]})
NOT_USING = json.dumps({"configs": []})
SHOP = {"name": "outbound|80||shop.shop.svc.cluster.local"}
HEALTH = {"health_status": {"eds_health_status": "HEALTHY"}}
HEALTHY = {"cluster_statuses": [SHOP, {"name": CLUSTER, "host_statuses": [HEALTH]}]}
EMPTY = {"cluster_statuses": [SHOP, {"name": CLUSTER}]}
NAMELESS = {"cluster_statuses": [SHOP]}
Answers = dict[str, list[Any]]


def pod(name: str, *, running: bool = True, ends: bool = False) -> Any:
    """A pod with an Envoy."""
    state = SimpleNamespace(running=object() if running else None)
    return SimpleNamespace(
        metadata=SimpleNamespace(namespace="istio-ingress", name=name, deletionTimestamp=object() if ends else None),
        status=SimpleNamespace(
            containerStatuses=[SimpleNamespace(name="istio-proxy", state=state)], initContainerStatuses=None
        ),
    )


class Envoys:
    """Pods, and the successive answers of each Envoy; the last answer is repeated."""

    def __init__(self, pods: list[Any], answers: Answers) -> None:
        self.pods, self.answers = pods, answers
        self.listed: list[str] = []

    def list(self, kind: object, *, namespace: str, labels: object) -> list[Any]:
        self.listed.append(namespace)
        return self.pods

    def exec(self, name: str, **given: Any) -> Any:
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(exit_code=0, stdout=answer, stderr="")


@pytest.fixture
def settings() -> Settings:
    """A stack with a service in two versions, and ample time for its Envoys."""
    versions = {name: {"image": "shop:1", "port": 8080} for name in ("version-1", "version-2")}
    route = [{"to": {"version-1": 90, "version-2": 10}}]
    return load({"services": {"shop": {"hosts": ["*"], "versions": versions, "route": route}}})


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """The same, with 0.2 s for its Envoys."""
    return settings.model_copy(update={"taken_within": 0.2})


def sync(settings: Settings, in_mesh: bool = False) -> ProxySync:
    """The ProxySync of this stack."""
    return ProxySync(
        cluster=settings.cluster,
        routes=settings.services,
        gateway_namespace="istio-ingress",
        gateway_selector={"istio": "ingressgateway"},
        timeout_seconds=settings.taken_within,
        in_mesh=in_mesh,
    )


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Envoys]:
    """Replace the cluster by these Envoys."""

    def put(answers: Answers, pods: list[Any] | None = None) -> Envoys:
        envoys = Envoys(pods or [pod(name) for name in answers], answers)

        @contextmanager
        def client(config: object) -> Iterator[Envoys]:
            yield envoys

        monkeypatch.setattr(kubeconfig, "choose", lambda cluster: None)
        monkeypatch.setattr(kubeconfig, "describe", lambda config: "context a")
        monkeypatch.setattr(kubeconfig, "client", client)
        return envoys

    return put


def test_every_envoy_is_queried_until_none_of_its_routes_names_the_version(
    settings: Settings, mesh: Callable[..., Envoys]
) -> None:
    envoys = mesh({"a": [NOT_USING], "b": [USING, USING, NOT_USING]})
    sync(settings).until_unused([V2])
    assert envoys.answers["b"] == [NOT_USING], "queried again until unused"


def test_failed_queries_of_different_envoys_do_not_add_up(settings: Settings, mesh: Callable[..., Envoys]) -> None:
    lost = OSError("wrong version number")
    envoys = mesh({"a": [NOT_USING, lost], "b": [lost, NOT_USING, lost], "c": [lost, lost, NOT_USING, lost]})
    sync(settings).until_unused([V2])
    assert envoys.answers == {name: [lost] for name in "abc"}, "each is queried until it is in sync, and not again"


def test_an_envoy_that_keeps_a_route_is_named_with_the_fix(hasty: Settings, mesh: Callable[..., Envoys]) -> None:
    mesh({"a": [NOT_USING], "b": [USING]})
    with pytest.raises(ProxySyncTimeoutError) as error:
        sync(hasty).until_unused([V2])
    message = str(error.value)
    assert "1 of the mesh's Envoys did not apply the routes within 0.2 s" in message
    assert "istio-ingress/b still routes requests to shop/version-2" in message
    assert "kubectl delete pod --namespace=istio-ingress b" in message
    assert "istio-ingress/a" not in message


def test_a_version_is_known_once_every_envoy_has_a_healthy_pod_of_it(
    settings: Settings, mesh: Callable[..., Envoys]
) -> None:
    envoys = mesh({"a": [json.dumps(NAMELESS), json.dumps(EMPTY), json.dumps(HEALTHY)]})
    sync(settings).until_known([V2], "shop")
    assert envoys.answers["a"] == [json.dumps(HEALTHY)], "a missing cluster or one without endpoints is not enough"


def test_pods_that_callers_address_themselves_are_known_once_their_cluster_is_there(
    mesh: Callable[..., Envoys],
) -> None:
    """With PASSTHROUGH Envoy connects to the address that the caller has asked for, and has no endpoints."""
    versions = {name: {"image": "shop:1", "port": 8080} for name in ("version-1", "version-2")}
    route = [{"to": {"version-1": 0, "version-2": 100}}]
    shop = {"gateways": ["mesh"], "port": 8080, "versions": versions, "route": route}
    passing = {**shop, "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}}
    shop_2 = CLUSTER.replace("|80|", "|8080|")
    there = {"cluster_statuses": [{"name": SHOP["name"].replace("|80|", "|8080|")}, {"name": shop_2}]}
    envoys = mesh({"a": [json.dumps({"cluster_statuses": there["cluster_statuses"][:1]}), json.dumps(there)]})
    sync(load({"services": {"shop": passing}})).until_known([V2], "shop")
    assert envoys.answers["a"] == [json.dumps(there)], "without the cluster, the route would lead nowhere"


def test_a_host_outside_is_left_once_only_its_own_callers_name_it(
    settings: Settings, hasty: Settings, mesh: Callable[..., Envoys]
) -> None:
    """A sidecar has routes to every host of a ServiceEntry, whatever the service's routes say."""
    cluster = "outbound|8080||billing.example.org"
    routes = [{"route": {"cluster": cluster}}]

    def dump(*names: str) -> str:
        hosts = [{"name": name, "routes": routes} for name in names]
        return json.dumps({"configs": [{"route_config": {"virtual_hosts": hosts}}]})

    own, shop = "billing.example.org:8080", "shop.shop.svc.cluster.local:80"
    mesh({"a": [dump(own, shop), dump(own)]})
    sync(settings).until_left([cluster])
    mesh({"a": [dump(own, shop)]})
    with pytest.raises(ProxySyncTimeoutError, match=r"still routes requests to billing\.example\.org"):
        sync(hasty).until_left([cluster])


def test_an_envoy_whose_sidecar_resource_excludes_the_caller_is_not_waited_for(
    settings: Settings, mesh: Callable[..., Envoys]
) -> None:
    mesh({"a": [json.dumps(HEALTHY)], "in-a-narrow-sidecar": [json.dumps({})]})
    sync(settings, in_mesh=True).until_known([V2], "shop")


@pytest.mark.parametrize(
    ("in_mesh", "message"),
    [
        (False, "in the namespace istio-ingress"),
        (False, "kubectl create role query-envoys --namespace=istio-ingress --verb=list,get,create"),
        (True, "in all namespaces"),
        (True, "kubectl create clusterrole query-envoys --verb=list,get,create --resource=pods,pods/exec"),
    ],
)
def test_missing_rights_to_query_the_envoys_are_reported_at_once(
    settings: Settings, mesh: Callable[..., Envoys], in_mesh: bool, message: str
) -> None:
    request = httpx2.Request("GET", "https://cluster/exec")
    mesh({"a": [WebSocketUpgradeError(httpx2.Response(403, request=request))]})
    with pytest.raises(ProxiesForbiddenError, match=re.escape(message)) as error:
        sync(settings.model_copy(update={"taken_within": 600}), in_mesh).until_unused([V2])
    assert "to list `pods` and to get and create `pods/exec`" in str(error.value)


def test_an_api_server_that_does_not_answer_is_queried_again(
    settings: Settings, hasty: Settings, mesh: Callable[..., Envoys]
) -> None:
    envoys = mesh({"a": [NOT_USING]})
    answers: list[Any] = [httpx2.ConnectError("refused"), envoys.pods]

    def listed(kind: object, **_: object) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    envoys.list = listed  # type: ignore[method-assign]
    sync(settings).until_unused([V2])
    answers[:] = [httpx2.ConnectError("refused")]
    with pytest.raises(ClusterUnreachableError, match="cannot list the pods with Envoys: refused"):
        sync(hasty).until_unused([V2])


def test_a_deleted_pod_is_not_queried_again(settings: Settings, mesh: Callable[..., Envoys]) -> None:
    refused = WebSocketUpgradeError(httpx2.Response(500))
    envoys = mesh({"a": [NOT_USING], "gone": [refused]})
    listed = iter([envoys.pods, envoys.pods[:1]])
    envoys.list = lambda kind, **_: next(listed)  # type: ignore[method-assign]
    sync(settings).until_unused([V2])


@pytest.mark.parametrize("failure", [TimeoutError("no answer"), OSError("connection refused")])
def test_an_envoy_that_cannot_be_queried_is_not_in_sync(
    hasty: Settings, mesh: Callable[..., Envoys], failure: Exception
) -> None:
    mesh({"a": [failure]})
    with pytest.raises(ProxySyncTimeoutError, match=f"istio-ingress/a cannot be queried: {failure}"):
        sync(hasty).until_unused([V2])


def test_starting_and_terminating_pods_are_not_waited_for(settings: Settings, mesh: Callable[..., Envoys]) -> None:
    pods = [pod("a"), pod("starts", running=False), pod("ends", ends=True)]
    mesh({"a": [NOT_USING], "starts": [OSError("no container")], "ends": [USING]}, pods)
    sync(settings).until_unused([V2])


@pytest.mark.parametrize(("in_mesh", "namespaces"), [(False, ["istio-ingress"]), (True, ["istio-ingress", "*"])])
def test_sidecars_are_queried_only_if_routes_apply_inside_the_mesh(
    settings: Settings, mesh: Callable[..., Envoys], in_mesh: bool, namespaces: list[str]
) -> None:
    envoys = mesh({"a": [NOT_USING]})
    sync(settings, in_mesh).until_unused([V2])
    assert envoys.listed == namespaces
