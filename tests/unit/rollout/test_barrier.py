"""Waiting for the Envoys of a rollout: which are asked, late ones, and ones that cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from rollout.barrier import Barrier, Following
from rollout.planned import EnvoysOfGateway, PlannedEnvoys
from rollout.routes import RouteInCluster
from tests.unit.rollout.test_envoy_routes import dump, envoy, split
from tests.unit.rollout.test_proxy_sync import pod

AT_TEN, AT_ZERO = json.dumps(dump(envoy(10))), json.dumps(dump(envoy(0)))
PLANNED = PlannedEnvoys(gateways=(EnvoysOfGateway(namespace="istio-ingress", selector={"istio": "g"}),))


class Mesh:
    """A client of a mesh: pods, a Gateway, and the successive answers of each Envoy; the last one is repeated."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.listed: list[tuple[str, dict[str, str]]] = []
        self.error: Exception | None = None

    def list(self, kind: object, *, namespace: str, labels: dict[str, str]) -> list[Any]:
        if self.error is not None:
            raise self.error
        self.listed.append((namespace, labels))
        return [pod(name) for name in self.answers]

    def get(self, kind: object, name: str, *, namespace: str) -> Any:
        return SimpleNamespace(to_dict=lambda: {"spec": {"selector": {"of": f"{namespace}/{name}"}}})

    def exec(self, name: str, **given: Any) -> Any:
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(exit_code=0, stdout=answer, stderr="")

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.barrier.PAUSE", 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.barrier.PATIENCE", 0.2)


def waited(mesh: Mesh, planned: PlannedEnvoys | None = PLANNED, gateways: list[str] | None = None) -> Following:
    """Wait until all Envoys have 10 % for v2."""
    found = {"metadata": {"namespace": "shop"}, "spec": {} if gateways is None else {"gateways": gateways}}
    http = [split(10)]
    route = RouteInCluster(
        name="website", uid="u", resource_version="1", http=http, owner=None, annotation=None, found=found
    )
    client: Any = mesh
    barrier = Barrier(lambda: client)
    try:
        return barrier.wait({"website": route}, planned)
    finally:
        barrier.close()


def test_all_envoys_have_to_follow_and_late_ones_are_waited_for() -> None:
    mesh = Mesh({"a": [AT_TEN], "b": [AT_ZERO, AT_ZERO, AT_TEN]})
    assert waited(mesh) == Following(True)
    assert set(map(str, mesh.listed)) == {str(("istio-ingress", {"istio": "g"}))}


@pytest.mark.usefixtures("impatient")
def test_one_that_does_not_follow_is_named() -> None:
    found = waited(Mesh({"a": [AT_TEN], "b": [AT_ZERO]}))
    assert not found.all_follow
    assert "istio-ingress/b has other routes of website" in found.text
    assert "istio-ingress/a" not in found.text


def test_one_that_has_followed_once_need_not_answer_again() -> None:
    assert waited(Mesh({"a": [AT_TEN, OSError("gone")], "b": [AT_ZERO, AT_TEN]})).all_follow


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", [OSError("gone"), "{"])
def test_one_that_cannot_be_asked_does_not_follow(answer: Any) -> None:
    found = waited(Mesh({"a": [answer]}))
    assert not found.all_follow
    assert "istio-ingress/a" in found.text


def test_without_a_plan_the_gateways_of_the_virtual_service_are_asked_and_with_mesh_all_sidecars() -> None:
    mesh = Mesh({"a": [AT_TEN]})
    assert waited(mesh, None, ["website", "other/shared", "mesh"]).all_follow
    assert [labels for _, labels in mesh.listed] == [
        {"of": "shop/website"},
        {"of": "other/shared"},
        {"security.istio.io/tlsMode": "istio"},
    ]


def test_where_nobody_may_be_asked_a_stated_time_passes() -> None:
    mesh = Mesh({"a": [AT_ZERO]})
    assert waited(mesh, PlannedEnvoys(wait_seconds=0.01)).all_follow
    assert mesh.listed == []


def status(code: int) -> Exception:
    request = httpx2.Request("GET", "http://api.invalid")
    return httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(code, request=request))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("error", "text"),
    [(status(403), "pods/exec"), (status(500), "HTTP 500"), (httpx2.ConnectError("gone"), "does not answer")],
)
def test_what_the_api_server_says_is_why_it_is_not_known(error: Exception, text: str) -> None:
    mesh = Mesh({"a": [AT_TEN]})
    mesh.error = error
    found = waited(mesh)
    assert not found.all_follow
    assert text in found.text


def test_nobody_is_asked_any_more_when_the_result_is_not_wanted() -> None:
    answers: Iterator[bool] = iter([True, False])
    mesh = Mesh({"a": [AT_ZERO]})
    client: Any = mesh
    found = {"metadata": {"namespace": "shop"}, "spec": {}}
    route = RouteInCluster(
        name="website", uid="u", resource_version="1", http=[split(10)], owner=None, annotation=None, found=found
    )
    assert not Barrier(lambda: client).wait({"website": route}, PLANNED, lambda: next(answers)).all_follow
