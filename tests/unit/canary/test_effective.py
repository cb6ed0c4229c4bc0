"""What `status`, `verify` and runs of the engine make of a rollout, on an API server in memory."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from canary.effective import effective_routes
from canary.engine.rollout_routes import hand_over_routes
from canary.status import ServiceState, look_at_services
from kube.kubeconfig import REFUSED, ClusterUnreachableError
from rollout.record import FIELD_MANAGER, Ended, EventType, Phase
from rollout.routes import owners_of_http, write_http
from stacks.settings.loading import load_stack
from tests.unit.canary.rollouts import NAMESPACE, PULUMI, World


def at_step(world: World, step: int, **changes: Any) -> None:
    world.observing(step, **changes)
    world.write_routes(str(step))


def owners(world: World) -> set[str]:
    return set(owners_of_http(world.server.get("virtualservices", NAMESPACE, "website")))


def handed_over(world: World, *during: str) -> list[str]:
    said: list[str] = []
    hand_over_routes(load_stack(world.file).settings, frozenset(during), said.append)
    return said


def test_the_weights_are_those_that_the_rollout_wants(deployed: World) -> None:
    at_step(deployed, 1)
    settings = load_stack(deployed.file).settings
    found = effective_routes(deployed.server.client, settings)
    assert [dict(rule.weights) for rule in found.settings.services["website"].route] == [
        {"version-1": 50, "version-2": 50}
    ]
    assert found.settings.services["website"].versions == settings.services["website"].versions
    assert found.problems == {}


def status_of(world: World) -> ServiceState:
    (service,) = look_at_services(load_stack(world.file).settings)
    return service


def test_the_status_says_how_far_the_rollout_is_and_compares_with_what_it_wants(deployed: World) -> None:
    at_step(deployed, 1)
    service = status_of(deployed)
    assert service.rollout == "website-1, version-1 -> version-2: step 2 of 3"
    assert [(rule.live, rule.configured) for rule in service.rules] == [
        ({"version-1": 50, "version-2": 50}, {"version-1": 50, "version-2": 50})
    ]
    assert service.drift == ""


def test_a_step_that_is_not_written_yet_is_pending_and_an_edit_is_an_edit(deployed: World) -> None:
    at_step(deployed, 1)
    deployed.observing(0)
    assert status_of(deployed).drift == "pending"
    deployed.server.update(
        "virtualservices", NAMESPACE, "website", "kubectl-edit", lambda item: item["spec"].update(http=[])
    )
    assert status_of(deployed).drift == "edited"


def test_the_reason_of_an_abort_is_said(deployed: World) -> None:
    at_step(deployed, 1)
    deployed.write_routes("back")
    ended = Ended(kind="aborted", reason="5xx", by="ann", at=deployed.at())
    deployed.set(phase=Phase.ABORTED, wanted=deployed.record.plan.back, ended=ended, stage=None)
    assert "Aborted: 5xx" in status_of(deployed).rollout


def test_the_routes_of_a_rollout_that_has_ended_are_handed_back(deployed: World) -> None:
    at_step(deployed, 2)
    deployed.set(phase=Phase.CLOSED, stage=None, ended_at=deployed.at(), closed_at=deployed.at())
    assert owners(deployed) == {FIELD_MANAGER}
    (said,) = handed_over(deployed)
    assert said == "website: the rollout has ended, and spec.http of website is Pulumi's again"
    assert owners(deployed) == {PULUMI}
    assert deployed.record.outbox[-1].type is EventType.HANDED_BACK
    assert deployed.sent == ["ann@laptop"], "nobody else may come who sends the event"
    assert handed_over(deployed) == []


def test_the_routes_of_a_rollout_that_nobody_has_started_are_handed_back(deployed: World) -> None:
    deployed.write_routes("0")
    deployed.set(wanted=deployed.record.plan.start)
    assert handed_over(deployed) == ["website: the rollout has not started, and spec.http of website is Pulumi's again"]
    assert owners(deployed) == {PULUMI}


def test_a_bar_that_a_killed_retry_left_in_the_routes_is_taken_out(deployed: World) -> None:
    at_step(deployed, 0)
    deployed.set(phase=Phase.ABORTED, stage=None, wanted=deployed.record.plan.back, ended_at=deployed.at())
    http = deployed.store.read_routes(deployed.record.plan.routes)["back"]["website"]
    write_http(deployed.server.client, NAMESPACE, "website", http, "website-1/9", None, barred=["version-2"])
    handed_over(deployed)
    found = deployed.server.get("virtualservices", NAMESPACE, "website")
    assert "istio-canary/barred" not in found["metadata"]["annotations"]
    assert (found["spec"]["http"], owners(deployed)) == (http, {PULUMI})


def test_the_routes_of_a_rollout_that_is_under_way_stay_its_own(deployed: World) -> None:
    at_step(deployed, 1)
    assert handed_over(deployed) == []
    assert owners(deployed) == {FIELD_MANAGER}


def test_a_run_in_the_middle_of_a_rollout_pauses_it_and_gets_its_routes(deployed: World) -> None:
    at_step(deployed, 1)
    before = deployed.server.get("virtualservices", NAMESPACE, "website")["spec"]
    said = handed_over(deployed, "website")
    assert deployed.record.paused is not None
    assert "--during-rollout" in deployed.record.paused.reason
    assert deployed.record.phase is Phase.PROGRESSING
    assert owners(deployed) == {PULUMI}
    assert deployed.server.get("virtualservices", NAMESPACE, "website")["spec"] == before
    assert "canary rollout resume website" in said[-1]
    assert handed_over(deployed, "website") == [], "it is Pulumi's already"


def test_an_abort_that_still_goes_on_keeps_its_routes(deployed: World) -> None:
    at_step(deployed, 1)
    deployed.write_routes("back")
    ended = Ended(kind="aborted", reason="5xx", by="ann", at=deployed.at())
    deployed.set(phase=Phase.ABORTING, wanted=deployed.record.plan.back, ended=ended, stage=None)
    assert handed_over(deployed) == []
    assert owners(deployed) == {FIELD_MANAGER}


def test_what_cannot_be_handed_over_is_said_and_the_run_goes_on(deployed: World) -> None:
    at_step(deployed, 2)
    deployed.set(phase=Phase.CLOSED, stage=None, ended_at=deployed.at(), closed_at=deployed.at())
    deployed.forbid("patch")
    (said,) = handed_over(deployed)
    assert said.startswith("warning: ")
    assert "virtualservices" in said


@pytest.mark.parametrize("refused", [True, False])
def test_a_cluster_that_does_not_answer_ends_the_run_and_one_that_refuses_is_noted(
    refused: bool, deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ClusterUnreachableError("sandbox", "no", "ask", *([REFUSED] if refused else []))
    monkeypatch.setattr("kube.client.query", Mock(side_effect=error))
    if not refused:
        with pytest.raises(ClusterUnreachableError):
            handed_over(deployed)
        return
    (said,) = handed_over(deployed)
    assert said.startswith("warning: the routes of rollouts could not be looked at: the cluster refused")
