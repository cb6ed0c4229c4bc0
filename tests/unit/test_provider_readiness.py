"""When the sandbox's provider takes an object to be ready, and what it says of pods that are not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.provider import pods, readiness, wait_for

REVISION = readiness.REVISION


def _deployment(conditions: dict[str, tuple[str, str]], revision: str = "1", observed: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": "d", "uid": "d-uid", "generation": 1, "annotations": {REVISION: revision}},
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": "why"}
                for kind, (status, reason) in conditions.items()
            ],
        },
    }


def _replica_set(revision: str = "1", wanted: int = 2, ready: int = 2, owner: str = "d-uid") -> dict[str, Any]:
    return {
        "metadata": {"annotations": {REVISION: revision}, "ownerReferences": [{"uid": owner}]},
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready},
    }


_AVAILABLE = {"Available": ("True", "ok"), "Progressing": ("True", "NewReplicaSetAvailable")}
_ROLLING = {"Available": ("True", "ok"), "Progressing": ("True", "ReplicaSetUpdated")}
_CLAIM = {"metadata": {"name": "data"}, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("obj", "replica_sets", "claims", "problem"),
    [
        (_deployment(_AVAILABLE), [_replica_set()], [], None),
        (_deployment(_AVAILABLE, observed=0), [_replica_set()], [], "has not seen it"),
        (_deployment({"Available": ("False", "MinimumReplicasUnavailable")}), [_replica_set(ready=0)], [], "live Pods"),
        (_deployment(_AVAILABLE), [_replica_set(ready=1)], [], "consider the application live"),
        (_deployment(_ROLLING, revision="2"), [_replica_set("2")], [], "consider the application live"),
        (_deployment(_AVAILABLE, revision="2"), [_replica_set("1")], [], "consider the application live"),
        (
            _deployment(_AVAILABLE, revision="2"),
            [_replica_set("2", owner="other")],
            [],
            "consider the application live",
        ),
        (_deployment(_ROLLING, revision="1"), [_replica_set()], [], None),
        (_deployment(_AVAILABLE), [_replica_set(wanted=0, ready=0)], [], None),
        (_deployment(_AVAILABLE), [_replica_set()], [_CLAIM], "data"),
        (
            _deployment({"Available": ("True", "ok"), "Progressing": ("False", "ProgressDeadlineExceeded")}),
            [_replica_set("1", ready=1)],
            [],
            "[ProgressDeadlineExceeded] why",
        ),
    ],
)
def test_a_deployment_is_ready_when_its_newest_pods_are(
    obj: dict[str, Any], replica_sets: list[dict[str, Any]], claims: list[dict[str, Any]], problem: str | None
) -> None:
    verdict = readiness.deployment(obj, replica_sets, claims)
    assert verdict.ready == (problem is None), verdict
    assert problem is None or any(problem in text for text in verdict.problems), verdict.problems


def _status(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "generation": 2}, "spec": {}, "status": {"observedGeneration": 2, **status}}


def _conditions(**found: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status} for kind, status in found.items()]


@pytest.mark.parametrize(
    ("check", "obj", "ready"),
    [
        (
            readiness.stateful_set,
            _status(readyReplicas=1, updatedReplicas=1, currentRevision="a", updateRevision="a"),
            True,
        ),
        (
            readiness.stateful_set,
            _status(readyReplicas=1, updatedReplicas=0, currentRevision="a", updateRevision="b"),
            False,
        ),
        (readiness.stateful_set, _status(readyReplicas=0, updatedReplicas=1), False),
        (readiness.stateful_set, {**_status(readyReplicas=1, updatedReplicas=1), "status": {}}, False),
        (readiness.daemon_set, _status(desiredNumberScheduled=0), True),
        (readiness.daemon_set, _status(desiredNumberScheduled=1, updatedNumberScheduled=1), False),
        (
            readiness.daemon_set,
            _status(desiredNumberScheduled=1, updatedNumberScheduled=1, numberReady=1, numberAvailable=1),
            True,
        ),
        (readiness.pod, _status(conditions=_conditions(PodScheduled="True", Initialized="True", Ready="True")), True),
        (readiness.pod, _status(conditions=_conditions(PodScheduled="True", Initialized="True", Ready="False")), False),
        (readiness.pod, _status(phase="Succeeded"), True),
        (readiness.pod, _status(), False),
        (readiness.job, _status(conditions=_conditions(Complete="True")), True),
        (readiness.job, _status(), False),
        (readiness.persistent_volume, _status(phase="Available"), True),
        (readiness.persistent_volume, _status(phase="Pending"), False),
        (readiness.replication_controller, _status(readyReplicas=1), True),
        (readiness.resource_quota, {**_status(hard={"a": "1"}), "spec": {"hard": {"a": "1"}}}, True),
        (readiness.resource_quota, {**_status(), "spec": {"hard": {"a": "1"}}}, False),
    ],
)
def test_each_kind_has_its_own_idea_of_ready(check: Any, obj: dict[str, Any], ready: bool) -> None:
    assert check(obj).ready == ready


def test_a_failed_job_is_not_waited_for() -> None:
    failed = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "gave up"}]
    verdict = readiness.job(_status(conditions=failed))
    assert verdict.failed
    assert verdict.problems == ("[BackoffLimitExceeded] gave up",)


def _service(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "s"},
        "spec": {"selector": {"app": "x"}, "clusterIP": "10.96.0.9", **spec},
        "status": {},
    }


_SERVING = [{"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]}]
_STARTING = [{"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}]
_BALANCED = {**_service(type="LoadBalancer"), "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}


@pytest.mark.parametrize(
    ("obj", "slices", "ready"),
    [
        (_service(), _SERVING, True),
        (_service(), _STARTING, False),
        (_service(), [], False),
        (_service(selector={}), [], True),
        (_service(clusterIP="None"), [], True),
        (_service(type="ExternalName"), [], True),
        (_service(type="LoadBalancer"), _SERVING, False),
        (_BALANCED, _SERVING, True),
    ],
)
def test_a_service_is_ready_with_pods_behind_it_and_an_address(
    obj: dict[str, Any], slices: list[dict[str, Any]], ready: bool
) -> None:
    assert readiness.service(obj, slices).ready == ready


@pytest.mark.parametrize(
    ("phase", "binds_late", "ready"), [("Bound", False, True), ("Pending", False, False), ("Pending", True, True)]
)
def test_a_claim_that_binds_late_is_not_waited_for(phase: str, binds_late: bool, ready: bool) -> None:
    assert readiness.persistent_volume_claim(_status(phase=phase), binds_late).ready == ready


def test_an_ingress_needs_its_services_and_an_address() -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    obj = {"spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": backend}]}}], "defaultBackend": backend}}
    assert readiness.ingress_services(obj) == {"web"}
    assert "web" in readiness.ingress(obj, ["web"]).problems[0]
    assert not readiness.ingress(obj, []).ready
    assert readiness.ingress({**obj, "status": {"loadBalancer": {"ingress": [{"ip": "1"}]}}}, []).ready


def _pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "ns"}, "status": status}


def _container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "c", "ready": False, "state": state, **more}


_UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
_EXIT = {"terminated": {"exitCode": 3, "reason": "Error"}}


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (_pod(conditions=[_UNSCHEDULABLE]), "[Pod ns/p]: [Unschedulable] 0/1 nodes"),
        (
            _pod(
                containerStatuses=[_container({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})]
            ),
            "[Pod ns/p]: container 'c': [ImagePullBackOff] no such image",
        ),
        (
            _pod(containerStatuses=[_container({"waiting": {"reason": "CrashLoopBackOff"}}, lastState=_EXIT)]),
            "[Pod ns/p]: container 'c' ended with exit code 3 (Error)",
        ),
        (
            _pod(
                initContainerStatuses=[
                    _container({"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}})
                ]
            ),
            "[Pod ns/p]: container 'c' ended with exit code 1 (Error): boom",
        ),
        (_pod(reason="Evicted", message="disk"), "[Pod ns/p]: [Evicted] disk"),
        (_pod(phase="Pending"), "[Pod ns/p]: not scheduled yet"),
        (
            _pod(conditions=[{"type": "Ready", "status": "False", "message": "containers with unready status: [c]"}]),
            "[Pod ns/p]: containers with unready status: [c]",
        ),
    ],
)
def test_a_pod_says_why_it_is_not_ready(pod: dict[str, Any], said: str) -> None:
    assert said in pods.reasons(pod)


def test_a_starting_or_ready_pod_has_no_complaint() -> None:
    starting = _pod(
        conditions=_conditions(PodScheduled="True"),
        containerStatuses=[_container({"waiting": {"reason": "ContainerCreating"}})],
    )
    assert pods.reasons(starting) == []
    assert pods.reasons(_pod(conditions=_conditions(Ready="True"))) == []


def test_the_log_is_wanted_of_containers_that_crashed_without_a_message() -> None:
    quiet = _pod(containerStatuses=[_container({"waiting": {}}, lastState=_EXIT)])
    talking = _pod(containerStatuses=[_container({"terminated": {"exitCode": 1, "message": "boom"}})])
    assert pods.crashed_containers(quiet) == ["c"]
    assert pods.crashed_containers(talking) == []


_OBJECT = {
    "metadata": {"annotations": {"a.b/c": "x"}},
    "spec": {"ports": [{"name": "http", "port": 80}, {"name": "tcp", "port": 81}], "on": True},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}],
    },
}


@pytest.mark.parametrize(
    ("annotation", "ready"),
    [
        ("condition=Ready", True),
        ("condition=ready", False),
        ("condition=Old", False),
        ("condition=Old=false", True),
        ("condition=Missing", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Failed", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.missing}", False),
        ("jsonpath=.spec.on=true", True),
        ("jsonpath={.spec.ports[1].port}=81", True),
        ("jsonpath={.spec.ports[*].port}=81", True),
        ('jsonpath={.spec.ports[?(@.name=="http")].port}=80', True),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', True),
        (r"jsonpath={.metadata.annotations.a\.b/c}", None),
        ("jsonpath={.metadata.annotations['a.b/c']}=x", True),
        ('["condition=Ready", "jsonpath={.status.phase}=Running"]', True),
        ('["condition=Ready", "condition=Missing"]', False),
        ("[]", None),
        ("phase=Running", None),
    ],
)
def test_the_annotation_wait_for_is_kubectls(annotation: str, ready: bool | None) -> None:
    if ready is None:
        with pytest.raises(wait_for.WaitForError, match=r"pulumi\.com/waitFor"):
            wait_for.verdict(_OBJECT, annotation)
    else:
        assert wait_for.verdict(_OBJECT, annotation).ready == ready
