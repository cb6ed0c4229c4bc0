"""How many pods of a rollout's versions are ready, for how long none is, and why."""

from __future__ import annotations

import httpx2
import pytest

from rollout.capacity import LONGEST_REASONS, REASONS_SECONDS, RESTARTS_EVERY, PodsLook, PodsSeen, ready_pods
from tests.unit.rollout.sample_records import NAMESPACE, record
from tests.unit.rollout.workloads import Workloads


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster() -> Workloads:
    made = Workloads()
    made.deployment("version-1", 4)
    made.deployment("version-2", 2)
    made.pods("version-1", 4)
    made.pods("version-2", 2)
    return made


def look(cluster: Workloads, needed: int = 1) -> PodsSeen:
    return PodsLook(cluster.client, NAMESPACE, "website").look(record(), needed)


def test_a_pod_is_counted_once_although_it_is_in_two_endpoint_slices(cluster: Workloads) -> None:
    seen = look(cluster)
    assert (seen.ready_to, seen.ready_from, seen.pods_text) == (2, 4, "")


def test_a_pod_that_is_not_a_ready_endpoint_is_not_ready(cluster: Workloads) -> None:
    cluster.pods("version-2", 1, 1)
    assert look(cluster).ready_to == 1


def test_a_terminating_pod_is_not_ready_whatever_its_endpoint_says(cluster: Workloads) -> None:
    cluster.terminate("website-version-2-0")
    assert look(cluster).ready_to == 1


def test_pods_are_listed_again_only_when_there_are_new_ones(cluster: Workloads) -> None:
    pods = PodsLook(cluster.client, NAMESPACE, "website")
    counts = []
    for is_new in (False, False, True):
        if is_new:
            cluster.made_anew("website-version-2-0", "version-1")
        cluster.requests.clear()
        seen = pods.look(record())
        listed = sum(request.endswith("/pods") for request in cluster.requests)
        counts.append((seen.ready_to, seen.ready_from, listed))
    assert counts == [(2, 4, 1), (2, 4, 0), (1, 5, 1)]


def test_endpoints_of_no_pod_and_pods_of_no_endpoint_do_not_count(cluster: Workloads) -> None:
    for family in ("ipv4", "ipv6"):
        endpoints = cluster.objects["endpointslices", NAMESPACE, f"website-{family}"]["endpoints"]
        del endpoints[0]["targetRef"]
        endpoints[1]["targetRef"] = {"kind": "Node", "name": "website-version-1-1"}
        endpoints[2]["targetRef"]["name"] = "of-another-service"
    assert {label: len(names) for label, names in ready_pods(cluster.client, NAMESPACE, "website").items()} == {
        "website-version-1": 1,
        "website-version-2": 2,
    }


def test_a_version_without_any_pod_has_none_that_is_ready(cluster: Workloads) -> None:
    cluster.pods("version-2", 0)
    assert look(cluster).ready_to == 0


def test_for_how_long_no_pod_is_ready_is_counted_from_the_first_look_that_saw_none(cluster: Workloads) -> None:
    clock = Clock()
    pods = PodsLook(cluster.client, NAMESPACE, "website", clock)
    seconds = []
    for ready in (2, 0, 0, 0, 1, 0):
        cluster.pods("version-2", ready, 2 - ready)
        seconds.append(pods.look(record()).to_unready_seconds)
        clock.now += 2.0
    assert seconds == [0.0, 0.0, 2.0, 4.0, 0.0, 0.0]


def test_a_look_that_failed_says_nothing_of_the_time_in_which_nobody_looked(cluster: Workloads) -> None:
    clock = Clock()
    pods = PodsLook(cluster.client, NAMESPACE, "website", clock)
    cluster.pods("version-2", 0)
    pods.look(record())
    clock.now += 4.0
    cluster.list_errors["endpointslices"] = 503
    with pytest.raises(httpx2.HTTPStatusError):
        pods.look(record())
    cluster.list_errors.clear()
    clock.now += 4.0
    assert pods.look(record()).to_unready_seconds == 0.0


@pytest.mark.parametrize(
    ("ready", "unready", "needed", "words"),
    [(1, 1, 2, "pod website-version-2-1:; container website: ImagePullBackOff"), (1, 1, 1, ""), (2, 0, 3, "")],
)
def test_pods_give_their_own_reasons_while_there_are_too_few(
    ready: int, unready: int, needed: int, words: str, cluster: Workloads
) -> None:
    cluster.pods("version-2", ready, unready)
    assert look(cluster, needed).pods_text == words


def test_what_keeps_a_deployment_from_having_pods_is_told(cluster: Workloads) -> None:
    quota = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: few"}
    cluster.deployment("version-2", 2, conditions=[quota])
    cluster.pods("version-2", 0)
    assert look(cluster).pods_text == "Deployment website-version-2: exceeded quota: few"
    cluster.deployment("version-2", 0, conditions=[])
    assert look(cluster).pods_text == "Deployment website-version-2: 0 replicas"
    del cluster.objects["deployments", NAMESPACE, "website-version-2"]
    assert look(cluster).pods_text == "there is no Deployment of website-version-2"


def test_missing_rights_leave_the_number_and_say_why_there_are_no_reasons(cluster: Workloads) -> None:
    cluster.pods("version-2", 0, 1)
    cluster.list_errors["events"] = 403
    seen = look(cluster)
    assert seen.ready_to == 0
    assert (
        seen.pods_text
        == "pod website-version-2-0:; container website: ImagePullBackOff; reasons cannot be read: HTTP 403"
    )


def test_long_reasons_are_cut(cluster: Workloads) -> None:
    cluster.pods("version-2", 0, 3, waiting="x" * 500)
    text = look(cluster).pods_text
    assert (len(text), text[-1]) == (LONGEST_REASONS, "…")


def test_reasons_are_looked_for_at_intervals_only(cluster: Workloads) -> None:
    clock = Clock()
    pods = PodsLook(cluster.client, NAMESPACE, "website", clock)
    cluster.pods("version-2", 0, 1)
    pods.look(record())
    cluster.requests.clear()
    pods.look(record())
    assert len(cluster.requests) == 1, "the EndpointSlices"
    clock.now += REASONS_SECONDS
    cluster.pods("version-2", 0, 1, waiting="CrashLoopBackOff")
    assert "CrashLoopBackOff" in pods.look(record()).pods_text


def ready_since(cluster: Workloads, name: str, at: str, *, restarts: int = 0, ready: bool = True) -> None:
    """A pod whose condition Ready has changed at a time."""
    status = cluster.objects["pods", NAMESPACE, name]["status"]
    status["conditions"] = [{"type": "Ready", "status": str(ready), "lastTransitionTime": f"2026-01-05T{at}Z"}]
    status["containerStatuses"][0]["restartCount"] = restarts
    cluster.endpoints_again()


def since(pods: PodsLook) -> dict[str, str]:
    return {one.pod: one.ready_at[11:19] for one in pods.look(record()).started}


def test_the_ready_pods_of_both_versions_tell_since_when_they_are(cluster: Workloads) -> None:
    pods = PodsLook(cluster.client, NAMESPACE, "website")
    ready_since(cluster, "website-version-1-0", "09:00:00")
    ready_since(cluster, "website-version-2-0", "10:00:00")
    assert since(pods) == {"website-version-1-0": "09:00:00", "website-version-2-0": "10:00:00"}
    assert {one.version for one in pods.look(record()).started} == {"version-1", "version-2"}


def test_a_pod_whose_container_was_restarted_is_new_and_one_that_was_not_ready_for_a_while_is_not(
    cluster: Workloads,
) -> None:
    pods = PodsLook(cluster.client, NAMESPACE, "website")
    for name in ("website-version-2-0", "website-version-2-1"):
        ready_since(cluster, name, "10:00:00")
    since(pods)
    ready_since(cluster, "website-version-2-0", "10:05:00", ready=False, restarts=1)
    ready_since(cluster, "website-version-2-1", "10:05:00", ready=False)
    assert since(pods) == {}
    ready_since(cluster, "website-version-2-0", "10:05:10", restarts=1)
    ready_since(cluster, "website-version-2-1", "10:05:10")
    assert since(pods) == {"website-version-2-0": "10:05:10", "website-version-2-1": "10:00:00"}


def test_a_container_that_was_restarted_and_was_ready_all_the_time_is_new_since_its_start(cluster: Workloads) -> None:
    clock = Clock()
    pods = PodsLook(cluster.client, NAMESPACE, "website", clock)
    ready_since(cluster, "website-version-2-0", "10:00:00")
    since(pods)
    ready_since(cluster, "website-version-2-0", "10:00:00", restarts=1)
    status = cluster.objects["pods", NAMESPACE, "website-version-2-0"]["status"]["containerStatuses"][0]
    status["state"] = {"running": {"startedAt": "2026-01-05T10:05:00Z"}}
    assert since(pods) == {"website-version-2-0": "10:00:00"}, "pods are not listed at each look"
    clock.now += RESTARTS_EVERY
    assert since(pods) == {"website-version-2-0": "10:05:00"}
