"""The least number of pods while a rollout needs them: raised, never lowered, and given back."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.pins import OWN_MINIMUM, handed_over, raise_pods, release_pods
from rollout.record import FIELD_MANAGER
from tests.unit.rollout.api_server import RefusedError
from tests.unit.rollout.managed_fields import owners_of
from tests.unit.rollout.sample_records import NAMESPACE
from tests.unit.rollout.workloads import PULUMI, Workloads

MINIMUM = ("spec", "minReplicas")


@pytest.fixture
def cluster() -> Workloads:
    made = Workloads()
    made.deployment("version-1", 4)
    made.deployment("version-2", 1)
    return made


def replicas(cluster: Workloads, version: str = "version-2") -> int:
    return int(cluster.get("deployments", NAMESPACE, f"website-{version}")["spec"]["replicas"])


def autoscaler(cluster: Workloads, version: str = "version-2") -> dict[str, Any]:
    return cluster.get("horizontalpodautoscalers", NAMESPACE, f"website-{version}")


def minimum(cluster: Workloads, version: str = "version-2") -> int | None:
    found: int | None = autoscaler(cluster, version)["spec"].get("minReplicas")
    return found


def raised(cluster: Workloads, **least: int) -> tuple[str, ...]:
    pods = {version.replace("_", "-"): number for version, number in least.items()}
    return raise_pods(cluster.client, NAMESPACE, "website", pods)


def released(cluster: Workloads) -> tuple[str, ...]:
    return release_pods(cluster.client, NAMESPACE, "website", ["version-1", "version-2"])


def test_a_deployment_without_an_autoscaler_is_scaled_under_the_rollouts_field_manager(cluster: Workloads) -> None:
    assert raised(cluster, version_2=3) == ()
    assert (replicas(cluster), replicas(cluster, "version-1")) == (3, 4)
    found = cluster.get("deployments", NAMESPACE, "website-version-2")
    owners = {manager for (manager, _), paths in owners_of(found).items() if ("spec", "replicas") in paths}
    assert owners == {FIELD_MANAGER}


@pytest.mark.parametrize("least", [0, 1, 4])
def test_a_number_is_never_lowered_and_not_written_without_need(least: int, cluster: Workloads) -> None:
    writes = cluster.writes
    assert raised(cluster, version_1=least) == ()
    assert (replicas(cluster, "version-1"), cluster.writes) == (4, writes)


def test_an_autoscalers_minimum_is_raised_and_its_deployment_left_to_it(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 1, 10)
    assert raised(cluster, version_2=3) == ()
    assert (minimum(cluster), replicas(cluster)) == (3, 1)
    assert autoscaler(cluster)["metadata"]["annotations"][OWN_MINIMUM] == "1"


def test_an_autoscaler_that_has_no_minimum_has_one_pod_as_its_least(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", None, 10)
    raised(cluster, version_2=2)
    released(cluster)
    assert minimum(cluster) == 1


def test_a_deployment_without_pods_is_started_since_its_autoscaler_would_not(cluster: Workloads) -> None:
    cluster.deployment("version-2", 0)
    cluster.autoscaler("version-2", 1, 10)
    raised(cluster, version_2=3)
    assert (minimum(cluster), replicas(cluster)) == (3, 3)


def test_an_autoscaler_is_raised_as_far_as_it_may_be_and_the_rest_is_told(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 1, 3)
    assert raised(cluster, version_2=5) == (
        "HorizontalPodAutoscaler website-version-2: maxReplicas is 3, and 5 pods are needed; fix: raise "
        "autoscaling.maxReplicas to 5",
    )
    assert minimum(cluster) == 3


def test_a_version_that_has_not_one_deployment_is_left_to_a_person(cluster: Workloads) -> None:
    cluster.deployment("version-2", 1, name="website-version-2-spare")
    (two,) = raised(cluster, version_2=5)
    (none,) = raised(cluster, version_3=1)
    assert "website-version-2, website-version-2-spare; fix: scale it by hand to 5 pods" in two
    assert "not one Deployment but none" in none
    assert replicas(cluster) == 1


def test_somebody_who_scales_at_the_same_time_is_not_overwritten(cluster: Workloads) -> None:
    def faster() -> None:
        cluster.update(
            "deployments", NAMESPACE, "website-version-2", "kubectl", lambda it: it["spec"].update(replicas=9)
        )

    cluster.before = faster
    assert raised(cluster, version_2=3) == ()
    assert replicas(cluster) == 9


def test_a_status_that_is_written_at_the_same_time_means_another_try(cluster: Workloads) -> None:
    def faster() -> None:
        cluster.update("deployments", NAMESPACE, "website-version-2", "kubelet", lambda it: it.update(status={"a": 1}))

    cluster.before = faster
    assert raised(cluster, version_2=3) == ()
    assert replicas(cluster) == 3


def test_who_always_writes_at_the_same_time_is_told(cluster: Workloads) -> None:
    def faster() -> None:
        cluster.update(
            "deployments", NAMESPACE, "website-version-2", "x", lambda it: it.update(status={"n": cluster.writes})
        )
        cluster.before = faster

    cluster.before = faster
    (problem,) = raised(cluster, version_2=3)
    assert "the Deployment website-istio-ns/website-version-2 was written by somebody else" in problem
    assert replicas(cluster) == 1


def test_an_autoscaler_that_is_deleted_at_the_same_time_is_not_made_again(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 1, 10)
    key = ("horizontalpodautoscalers", NAMESPACE, "website-version-2")
    cluster.before = lambda: cluster.objects.__delitem__(key)
    assert raised(cluster, version_2=3) == ()
    assert replicas(cluster) == 3, "nothing else scales it now"
    assert key not in cluster.objects


def test_a_refusal_is_told_with_the_fix(cluster: Workloads) -> None:
    cluster.denies = lambda before, after: "no more pods this week"
    (problem,) = raised(cluster, version_2=3)
    assert "no more pods this week" in problem
    assert "fix: grant the right (docs/rights.md), or have the webhook or policy let it pass" in problem
    cluster.denies = lambda before, after: None
    cluster.list_errors["deployments"] = 503
    with pytest.raises(httpx2.HTTPStatusError):
        raised(cluster, version_2=3)


def test_a_released_autoscaler_has_its_minimum_again_and_pulumi_may_change_it(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 2, 10, annotations={"team": "web"})
    for least in (3, 5):
        raised(cluster, version_2=least)
    with pytest.raises(RefusedError):
        cluster.autoscaler("version-2", 4, 10, annotations={"team": "web"})

    assert released(cluster) == ()
    assert minimum(cluster) == 2
    assert autoscaler(cluster)["metadata"]["annotations"] == {"team": "web"}
    assert not any(manager == FIELD_MANAGER for manager, _ in owners_of(autoscaler(cluster)))
    cluster.autoscaler("version-2", 4, 10, annotations={"team": "web"})
    assert minimum(cluster) == 4


def test_an_up_that_says_the_same_number_passes_while_it_is_raised(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 2, 10)
    raised(cluster, version_2=5)
    cluster.autoscaler("version-2", 5, 10)
    released(cluster)
    assert minimum(cluster) == 2


def test_what_no_rollout_has_raised_is_not_touched(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 2, 10)
    before = cluster.writes
    assert released(cluster) == ()
    assert cluster.writes == before


def test_a_release_that_ended_halfway_is_finished_by_the_next_one(cluster: Workloads) -> None:
    cluster.autoscaler("version-2", 2, 10)
    raised(cluster, version_2=5)
    writes = 0

    def ended(before: Any, after: Any) -> str | None:
        nonlocal writes
        writes += 1
        return "ended" if writes == 2 else None

    cluster.denies = ended
    assert len(released(cluster)) == 1
    assert (minimum(cluster), OWN_MINIMUM in autoscaler(cluster)["metadata"]["annotations"]) == (2, True)
    cluster.denies = lambda before, after: None
    assert released(cluster) == ()
    assert (MINIMUM in owners_of(autoscaler(cluster))[PULUMI, "Apply"], minimum(cluster)) == (True, 2)


def test_an_autoscaler_that_nobody_else_owns_is_left_without_an_owner() -> None:
    only_ours = {
        "metadata": {
            "managedFields": [
                {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}
            ]
        }
    }
    assert handed_over(only_ours) == [{}]


NUMBERS = st.integers(1, 12)


@settings(deadline=None, max_examples=50)
@given(NUMBERS, NUMBERS, st.lists(NUMBERS, max_size=5), st.booleans())
def test_however_often_a_minimum_is_raised_it_only_rises_and_comes_back(
    least: int, most: int, steps: list[int], with_up: bool
) -> None:
    least, most = sorted((least, most))
    cluster = Workloads()
    cluster.deployment("version-2", least)
    cluster.autoscaler("version-2", least, most)
    reached = least
    for step in steps:
        raised(cluster, version_2=step)
        reached = max(reached, min(step, most))
        assert minimum(cluster) == reached
        if with_up:
            cluster.autoscaler("version-2", reached, most)
    released(cluster)
    assert minimum(cluster) == least
    cluster.autoscaler("version-2", least, most)
