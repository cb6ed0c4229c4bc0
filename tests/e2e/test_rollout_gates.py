"""Rollouts with gates on real Envoys: a version that is as good is promoted by proof, a worse one goes back.

The old version fails in 1 % of its requests. The caller is a sidecar, whose counters the stack's Prometheus collects
each second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from tests.e2e.load import load
from tests.e2e.rollouts.chain import echo, front, telemetry
from tests.e2e.tools import Completed, Project, wait_until

pytestmark = pytest.mark.long

STACK, NAMESPACE = "gates", "gates-rolled"
HOST = "gates-front.example"
OLD, NEW = "version-1", "version-2"
RATE = 50
STEPS = [{"weight": 20, "for": "15s"}, {"weight": 50, "for": "15s"}, {"weight": 100, "for": "5s"}]
STRATEGY = {
    "steps": STEPS,
    # Durations on a busy machine are not what this is about.
    "gates": {"tolerance": "5%", "latency": {"enabled": False}},
    "keepPrevious": "1s",
    # `start` plans for the traffic of the last hour, in which there was hardly any load.
    "deadline": {"total": "3h"},
}


def write(project: Project, *, new: str = NEW, rolled: bool = True, args: tuple[str, ...] = ()) -> None:
    """The stack's file: `new` is another release of the service for each test, with these flags."""
    rule: dict[str, Any] = {"to": new, "timeout": "3s", "rollout": STRATEGY}
    if not rolled:
        rule = {"to": {OLD: 100, new: 0}, "timeout": "3s"}
    shop = {
        "namespace": NAMESPACE,
        "hosts": ["gates-shop.example"],
        "gateways": ["mesh"],
        "versions": {
            OLD: echo(f"-version={OLD}", "-fail-percent=1"),
            new: echo(f"-version={new}", *(args or ("-fail-percent=1",))),
        },
        "route": [rule],
    }
    config = project.service_config({"gates-shop": shop, "gates-front": front(NAMESPACE, HOST, "gates-shop")})
    config["istio-canary:telemetry"] = telemetry(NAMESPACE)
    project.write_stack(STACK, config)


@pytest.fixture
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A service whose requests all go to the old version, under load."""
    project = Project.create(tmp_path_factory.mktemp("gates"), mesh.cluster)
    write(project, rolled=False)
    project.up(STACK)
    with load(f"{mesh.cluster.layout.gateway_url}/chain", project.folder, rate=RATE, headers={"Host": HOST}):
        yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


def begin(project: Project, *args: str) -> None:
    """Ask for a rollout to a new version with these flags."""
    write(project, args=args)
    project.up(STACK)


def rollout(project: Project, verb: str, *words: str, timeout: float = 600) -> Completed:
    return project.canary("rollout", verb, "gates-shop", *words, "--stack", STACK, timeout=timeout)


def state(project: Project) -> dict[str, Any]:
    """What `status --json` tells."""
    done = rollout(project, "status", "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)["services"][0]
    return document


def test_a_version_that_is_as_good_is_promoted_by_proof_and_its_decisions_can_be_replayed(shop: Project) -> None:
    begin(shop)
    plan = rollout(shop, "plan")
    assert plan.returncode == 0, plan.stderr
    assert "next step proved in" in plan.stdout

    done = rollout(shop, "start")
    assert done.returncode == 0, done.stdout + done.stderr
    ended = state(shop)
    assert ended["phase"] in ("Completed", "Closed")
    assert ended["written"] == {"default": {OLD: 0, NEW: 100}}
    events = [one["type"] for one in ended["history"]]
    assert "GatesFixed" in events
    assert "Suspect" not in events
    assert ended["gates"]["answer"] == "Rise"

    assert rollout(shop, "report", "--decisions", "decisions.json").returncode == 0
    again = shop.canary("rollout", "report", "gates-shop", "--replay", "decisions.json", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    runs = json.loads(again.stdout)["runs"]
    assert [one["answer"] for run in runs for one in run].count("Rise") >= len(STEPS)


@pytest.mark.parametrize(
    "args",
    [("-fail-percent=20",), ("-delay=1h",)],
    ids=["fails twenty times as often", "hangs until its callers give up"],
)
def test_a_version_that_is_worse_goes_back_on_evidence(shop: Project, args: tuple[str, ...]) -> None:
    begin(shop, *args)
    done = rollout(shop, "start")

    assert done.returncode == ExitCode.ABORTED, done.stdout + done.stderr
    ended = state(shop)
    assert ended["phase"] == "Aborted"
    assert ended["step"] == 1, "it never had more than the first weight"
    assert "is worse" in ended["ended"]["reason"]
    assert ended["written"] == {"default": {OLD: 100, NEW: 0}}


def test_weights_that_are_edited_by_hand_are_no_evidence(shop: Project) -> None:
    begin(shop)
    process = shop.popen("rollout", "start", "gates-shop", "--stack", STACK)
    wait_until(lambda: (state(shop)["gates"] or {}).get("answer") == "Hold", "numbers of the first step", 120)
    patch = [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 50},
             {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 50}]  # fmt: skip
    shop.cluster.kubectl(
        "patch",
        "virtualservice",
        "gates-shop",
        f"--namespace={NAMESPACE}",
        "--type=json",
        f"--patch={json.dumps(patch)}",
    )
    assert process.wait(120) == ExitCode.HELD
    held = state(shop)

    assert (held["step"], held["paused"]["kind"]) == (1, "drift")
    aborted = rollout(shop, "abort", "edited", "by", "hand")
    assert aborted.returncode == 0, aborted.stderr
