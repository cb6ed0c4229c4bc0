"""The sandbox's provider under the real engine and API server, with programs that are not istio-canary's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.layout import TOOLS
from tests.e2e.tools import CHECKOUT, Cluster

NAMESPACE = "provider-e2e"
READY_SECONDS = 12
WEB: dict[str, Any] = {"container": {}, "pod": {}, "spec": {}, "service": False}


@dataclass(frozen=True)
class Stack:
    """A stack of one of the programs in ``provider_programs``, in a backend of its own."""

    cluster: Cluster
    folder: Path

    def run(self, operation: str, program: str = "nothing", **args: Any) -> tuple[dict[str, str], str]:
        """Return what becomes of which resource, and the error."""
        given = {
            "kubeconfig": str(self.cluster.layout.kubeconfig),
            "context": self.cluster.layout.context,
            "seconds": READY_SECONDS,
            "program": program,
            "args": args,
        }
        env = {
            "PULUMI_BACKEND_URL": f"file://{self.folder}",
            "PULUMI_CONFIG_PASSPHRASE": "only for tests",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "ISTIO_CANARY_PYTHON": sys.executable,
            "PATH": f"{TOOLS}:{CHECKOUT / 'sandbox/provider/bin'}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.e2e.provider_programs", operation],
            cwd=CHECKOUT,
            env={**os.environ, **env},
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        return answer["changes"], answer["error"]

    def changes(self, operation: str, program: str, **args: Any) -> dict[str, str]:
        """Return what becomes of which resource in an operation that succeeds."""
        changes, error = self.run(operation, program, **args)
        assert not error, error
        return changes

    def get(self, *words: str) -> Any:
        """Return an object of the tests' namespace."""
        return self.cluster.get(*words, f"--namespace={NAMESPACE}")


@pytest.fixture
def stack(cluster: Cluster, tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own; nothing of it is left at the end."""
    made = Stack(cluster, tmp_path)
    yield made
    _, error = made.run("destroy")
    assert not error, error
    assert not cluster.exists("namespace", NAMESPACE)


def test_a_change_is_one_update_and_no_change_is_none(stack: Stack) -> None:
    limits = {"limits": {"cpu": "0.5", "memory": "1024Mi"}}
    container = {"resources": limits, "env": [{"name": "E", "value": ""}], "tty": False}
    first = {**WEB, "container": container, "service": True}
    made = {"namespace": "create", "web": "create", "service": "create"}
    assert stack.changes("preview", "web", **first) == made
    assert stack.changes("up", "web", **first) == made
    assert stack.changes("up", "web", **first) == {}, "what the API server spells otherwise is no change"
    second = {**first, "container": {**container, "args": ["-listen=:5678", "-text=other"]}}
    assert stack.changes("preview", "web", **second) == {"web": "update"}
    assert stack.changes("up", "web", **second) == {"web": "update"}
    assert stack.get("deployment", "web")["status"]["readyReplicas"] == 1


def test_a_change_by_hand_is_seen_after_a_refresh_and_undone_without_a_conflict(stack: Stack) -> None:
    stack.changes("up", "web", **WEB)
    patch = ("patch", "deployment", "web", "--type=merge", '--patch={"spec": {"replicas": 2}}')
    stack.cluster.kubectl(*patch, f"--namespace={NAMESPACE}")
    assert stack.changes("preview", "web", **WEB) == {}, "without a refresh the state alone is compared"
    stack.changes("refresh", "web", **WEB)
    assert stack.changes("preview", "web", **WEB) == {"web": "update"}
    assert stack.changes("up", "web", **WEB) == {"web": "update"}
    assert stack.get("deployment", "web")["spec"]["replicas"] == 1


def test_deployments_that_do_not_get_ready_say_why_and_are_mended_by_the_next_update(stack: Stack) -> None:
    bad: dict[str, tuple[dict[str, Any], str]] = {
        "image": ({"container": {"image": "nowhere.invalid/none:1"}}, "nowhere.invalid/none:1"),
        "crash": ({"container": {"args": ["-no-such-flag"]}, "spec": {"minReadySeconds": 5}}, "no-such-flag"),
        "probe": (
            {"container": {"readinessProbe": {"httpGet": {"port": 9}, "periodSeconds": 1}}},
            "Readiness probe failed",
        ),
        "unschedulable": ({"pod": {"nodeSelector": {"no": "such-node"}}}, "Unschedulable"),
        "forbidden": ({"pod": {"serviceAccountName": "nobody"}}, "nobody"),
    }
    begun = time.monotonic()
    _, error = stack.run("up", "webs", bad={name: own for name, (own, _) in bad.items()})
    assert time.monotonic() - begun < READY_SECONDS + 20
    for name, (_, reason) in bad.items():
        assert reason in error, f"the reason of {name}"
    mended = stack.changes("up", "webs", bad={name: {} for name in bad})
    assert mended == dict.fromkeys(bad, "update"), "what was made is in the state"
    for name in bad:
        status = stack.get("deployment", name)["status"]
        assert status.get("readyReplicas") == 1, f"{name} was said to be ready: {status}"


def test_a_kind_and_an_object_of_it_come_in_one_update_and_conflicts_name_the_other_manager(stack: Stack) -> None:
    made = {"namespace": "create", "definition": "create", "widget": "create"}
    assert stack.changes("preview", "widgets", weight=10, annotations={}) == made
    stack.changes("up", "widgets", weight=10, annotations={})
    assert stack.changes("up", "widgets", weight=10, annotations={}) == {}
    theirs = {
        "apiVersion": "e2e.example/v1",
        "kind": "Widget",
        "metadata": {"name": "widget", "namespace": NAMESPACE},
        "spec": {"weight": 99},
    }
    flags = ("apply", "--server-side", "--force-conflicts", "--field-manager=argo", "--filename=-")
    stack.cluster.kubectl(*flags, stdin=json.dumps(theirs))
    _, error = stack.run("up", "widgets", weight=20, annotations={})
    for part in ('"argo"', ".spec.weight", "pulumi.com/patchForce"):
        assert part in error
    forced = {"pulumi.com/patchForce": "true"}
    assert stack.changes("up", "widgets", weight=20, annotations=forced) == {"widget": "update"}
    assert stack.get("widget", "widget")["spec"]["weight"] == 20


def test_data_is_replaced_and_what_exists_is_an_error(stack: Stack) -> None:
    stack.changes("up", "config_maps", data={"key": "1"}, again=False)
    before = {c["metadata"]["name"] for c in stack.get("configmaps")["items"]}
    assert set(stack.changes("up", "config_maps", data={"key": "2"}, again=False)) == {"autonamed", "named"}
    after = {c["metadata"]["name"]: c.get("data") for c in stack.get("configmaps")["items"]}
    assert after["named"] == {"key": "2"}
    assert len(after) == len(before), "the old one is gone"
    assert set(after) != before, "the one without a name has a new one"
    _, error = stack.run("up", "config_maps", data={"key": "2"}, again=True)
    assert "already exists" in error


def test_a_patch_adds_to_what_is_there_and_takes_it_away_again(stack: Stack) -> None:
    stack.cluster.kubectl("label", "namespace", "default", "mine=kept", "--overwrite")
    stack.changes("up", "patch")
    labels = stack.cluster.get("namespace", "default")["metadata"]["labels"]
    assert (labels["added"], labels["mine"]) == ("yes", "kept")
    assert stack.changes("up", "patch") == {}
    assert stack.changes("up", "nothing") == {"patch": "delete"}
    labels = stack.cluster.get("namespace", "default")["metadata"]["labels"]
    assert "added" not in labels
    assert labels["mine"] == "kept"
    stack.cluster.kubectl("label", "namespace", "default", "mine-")


def test_jobs_and_pods_are_waited_for(stack: Stack) -> None:
    stack.changes("up", "once")
    assert stack.get("job", "once")["status"]["succeeded"] == 1
    assert stack.get("pod", "once")["status"]["phase"] == "Succeeded"
