"""What an engine needs of the cluster: its CRDs, new enough, and for Flagger routes that are not this stack's."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User

from rollout.engines import argo, flagger
from stacks.engine_needs import CRDS, SINCE_1_8, engine_problems
from stacks.settings.problems import Problem
from tests.unit.stacks.engine_stacks import stack

FILE = "Pulumi.dev.yaml"


class Server:
    """An API server with some CRDs, and perhaps a VirtualService `shop`, which `manager` has applied."""

    def __init__(self, *names: str, manager: str | None = None, owned: bool = False, new: bool = True) -> None:
        self.names, self.manager, self.owned, self.new = names, manager, owned, new
        config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
        self.client = Client(config=config, transport=httpx2.MockTransport(self._answer), trust_env=False)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.rpartition("/")[2]
        if name in self.names:
            return httpx2.Response(200, json=self._crd(name))
        if name == "shop" and self.manager is not None:
            metadata: dict[str, Any] = {"name": "shop", "managedFields": [{"manager": self.manager}]}
            if self.owned:
                metadata["ownerReferences"] = [{"kind": "Canary", "name": "shop"}]
            return httpx2.Response(200, json={"metadata": metadata, "spec": {}})
        return httpx2.Response(404, json={"kind": "Status", "code": 404, "message": "not found"})

    def _crd(self, name: str) -> dict[str, Any]:
        metric = {"properties": {"name": {}, **({SINCE_1_8: {}} if self.new else {})}}
        spec = {"properties": {"metrics": {"items": metric}}}
        schema = {"openAPIV3Schema": {"properties": {"spec": spec}}}
        return {"metadata": {"name": name}, "spec": {"versions": [{"schema": schema}]}}


def problems(server: Server, engine: str, **strategy: Any) -> list[Problem]:
    return engine_problems(server.client, stack(engine, **strategy), FILE)


@pytest.mark.parametrize("engine", CRDS)
def test_an_engine_whose_crds_are_there_is_no_problem(engine: str) -> None:
    assert problems(Server(*CRDS[engine]), engine) == []


@pytest.mark.parametrize("engine", CRDS)
@pytest.mark.parametrize("index", [0, 1])
def test_a_crd_that_is_missing_is_named_with_the_fix(engine: str, index: int) -> None:
    missing = CRDS[engine][index]
    (problem,) = problems(Server(*(one for one in CRDS[engine] if one != missing)), engine)
    assert missing in problem.what
    assert (problem.path, problem.given, problem.file) == ("istio-canary:rollouts.careful.engine", engine, FILE)
    assert "install" in problem.fix
    assert "engine: canary" in problem.fix


def test_crds_that_would_let_a_step_pass_without_a_yes_are_refused_with_gates_alone() -> None:
    server = Server(argo.ROLLOUTS, argo.TEMPLATES, new=False)
    (problem,) = problems(server, "argo")
    assert SINCE_1_8 in problem.what
    assert "1.8" in problem.fix
    assert problems(server, "argo", gates=None) == []


@pytest.mark.parametrize(
    ("manager", "owned", "refused"),
    [
        (None, False, False),
        ("pulumi-kubernetes-1a2b3c4d", False, True),
        ("pulumi-kubernetes-1a2b3c4d", True, False),
        ("flagger", False, False),
    ],
)
def test_flagger_does_not_get_a_service_whose_routes_the_stack_would_delete(
    manager: str | None, owned: bool, refused: bool
) -> None:
    found = problems(Server(flagger.CANARIES, flagger.TEMPLATES, manager=manager, owned=owned), "flagger")
    assert bool(found) is refused
    if refused:
        assert "pulumi state delete" in found[0].fix


def test_a_stack_without_another_engine_asks_nothing() -> None:
    class Nobody:
        def get(self, *args: Any, **keys: Any) -> Any:
            raise AssertionError("nobody asks")

    given = stack("canary", service={"versions": {name: {"image": "a:1", "port": 80} for name in ("main", "old")}})
    assert engine_problems(Nobody(), given, FILE) == []  # type: ignore[arg-type]
