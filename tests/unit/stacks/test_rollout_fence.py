"""Whether a stack has a fence: what its file says, and otherwise who runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.rollout_fence import KINDS, VERBS, has_fence
from stacks.rollout_states import RolloutState
from stacks.settings.loading import load
from stacks.settings.problems import SettingsError
from tests.unit.mocks import run_program

OWNER = "istio-canary/dev"
FENCE = "istio-canary-fence.istio-canary.dev"
WITH_ROLLOUT = {"website": RolloutState()}
ALL = {(verb, resource) for verb in VERBS for resource in KINDS.values()}


class Server:
    """An API server that knows the rights of whoever asks, and whether there is a fence already."""

    def __init__(self, may: set[tuple[str, str]], read: int = 404) -> None:
        self.may, self.read = may, read
        self.asked = 0
        config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
        self.client = Client(config=config, transport=httpx2.MockTransport(self._answer), trust_env=False)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if request.method == "GET":
            assert request.url.path.endswith(f"/validatingadmissionpolicies/{FENCE}")
            answer: Mapping[str, Any] = {
                "metadata": {"name": FENCE},
                "kind": "Status",
                "message": "no",
                "code": self.read,
            }
            return httpx2.Response(self.read, json=answer)
        spec = json.loads(request.content)["spec"]["resourceAttributes"]
        assert spec["group"] == "admissionregistration.k8s.io"
        allowed = (spec["verb"], spec["resource"]) in self.may
        return httpx2.Response(201, json={"spec": {}, "status": {"allowed": allowed}})


@pytest.mark.parametrize(
    ("server", "fenced"),
    [
        pytest.param(Server(ALL), True, id="all rights"),
        pytest.param(Server(set()), False, id="no rights"),
        pytest.param(Server(set(), read=403), False, id="no rights, not even to read"),
        pytest.param(Server(ALL, read=403), True, id="all rights but to read"),
        pytest.param(Server(ALL - {("delete", "validatingadmissionpolicybindings")}), False, id="one right is missing"),
        pytest.param(Server(set(), read=200), True, id="no rights, but somebody else has made it"),
    ],
)
def test_without_a_setting_a_stack_with_rollouts_has_a_fence_where_the_rights_are(server: Server, fenced: bool) -> None:
    assert has_fence(server.client, load({}), OWNER, WITH_ROLLOUT) is fenced


@pytest.mark.parametrize(
    ("values", "rollouts", "fenced"),
    [({"fence": True}, {}, True), ({"fence": False}, WITH_ROLLOUT, False), ({}, {}, False)],
    ids=["on", "off", "no rollouts"],
)
def test_what_the_file_says_needs_no_question(
    values: dict[str, Any], rollouts: Mapping[str, RolloutState], fenced: bool
) -> None:
    server = Server(ALL)
    assert has_fence(server.client, load(values), OWNER, rollouts) is fenced
    assert server.asked == 0


@pytest.mark.parametrize(
    ("values", "has", "fences"),
    [({}, False, 0), ({}, True, 1), ({"fence": True}, False, 1), ({"fence": False}, False, 0)],
)
def test_the_program_builds_it(website: dict[str, Any], values: dict[str, Any], has: bool, fences: int) -> None:
    settings, facts = load({**website, **values}), ClusterFacts(uid="u", has_fence=has)
    run = run_program(lambda: Environment(settings, facts, OWNER), preview=False)
    assert len(run.of_type(":RolloutFence")) == fences


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("false", False), ("", None), (True, True)])
def test_pulumi_writes_it_as_text(written: Any, meant: bool | None) -> None:
    assert load({"fence": written}).fence is meant


@pytest.mark.parametrize("written", ["yes", 1, {"on": True}])
def test_anything_else_is_refused_with_what_is_allowed(written: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"fence": written})
    (problem,) = caught.value.problems
    assert problem.path == "istio-canary:fence"
    assert "true" in problem.allowed
