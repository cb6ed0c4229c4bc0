"""A group of three services that call each other, on real Envoys: one verdict, callee first forward, caller first back.

Each VirtualService's writes are watched: resourceVersions of one API server tell their order.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from lightkube import Client

from canary.exit_codes import ExitCode
from kube import kubeconfig
from kube.objects import kind_of
from rollout.observed_routes import ISTIO_API
from tests.e2e.load import load
from tests.e2e.rollouts.chain import echo, telemetry
from tests.e2e.tools import Access, Completed, Project

STACK, GROUP, NAMESPACE, HOST = "groups", "groups-shop", "groups-rolled", "groups-front.example"
CALLEE, MIDDLE, CALLER = "groups-articles", "groups-api", "groups-front"
ORDER = (CALLEE, MIDDLE, CALLER)
OLD, NEW = "version-1", "version-2"
RATE = 50
TIMED = {"steps": [{"weight": 20, "for": "3s"}, {"weight": 100}], "keepPrevious": "10m"}
GATED = {
    "steps": [{"weight": 20, "for": "5m"}, {"weight": 100}],
    "gates": {"promote": "time", "tolerance": "5%", "latency": {"enabled": False}},
}


class Watched:
    """The writes of the group's VirtualServices: name, resourceVersion and the weight of the new version, in order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.writes: list[tuple[str, int, float]] = []
        self.changed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def of_new_weights(self) -> list[tuple[str, float]]:
        """The services whose weight of the new version changed, by resourceVersion, with that weight."""
        found: list[tuple[str, float]] = []
        last: dict[str, float] = {}
        for name, _, weight in sorted(self.writes, key=lambda one: one[1]):
            if last.get(name, 0.0) != weight:
                found.append((name, weight))
            last[name] = weight
        return found

    def _items(self, resource: Any) -> Iterator[Any]:
        """What the watch tells, until its connection is closed at the end of the tests."""
        with suppress(httpx2.HTTPError, OSError):
            yield from self._client.watch(resource, namespace=NAMESPACE)

    def _run(self) -> None:
        resource = kind_of(ISTIO_API, "VirtualService")
        for _, item in self._items(resource):
            routes = item["spec"]["http"][0]["route"]
            weight = sum(one.get("weight", 100) for one in routes if one["destination"]["subset"] == NEW)
            self.writes.append((item["metadata"]["name"], int(item["metadata"]["resourceVersion"]), float(weight)))
            self.changed.set()


def write(project: Project, strategy: dict[str, Any], *, rolled: bool = True, callee: tuple[str, ...] = ()) -> None:
    """The stack's file: the callee's new version has the flags `callee`."""
    rule: dict[str, Any] = {"to": NEW, "timeout": "3s", "rollout": "together"}
    if not rolled:
        rule = {"to": {OLD: 100, NEW: 0}, "timeout": "3s"}
    nexts = {
        CALLER: (f"-next=http://{MIDDLE}.{NAMESPACE}/chain",),
        MIDDLE: (f"-next=http://{CALLEE}.{NAMESPACE}/chain",),
    }
    services = {}
    for name in ORDER:
        own = nexts.get(name, ())
        services[name] = {
            "namespace": NAMESPACE,
            "hosts": [HOST if name == CALLER else f"{name}.example"],
            **({} if name == CALLER else {"gateways": ["mesh"]}),
            "versions": {
                OLD: echo(f"-service={name}", f"-version={OLD}", *own),
                NEW: echo(f"-service={name}", f"-version={NEW}", *own, *(callee if name == CALLEE else ())),
            },
            "route": [rule],
        }
    config = project.service_config(services)
    config["istio-canary:rollouts"] = {"together": strategy}
    config["istio-canary:rolloutGroups"] = {GROUP: {"services": list(ORDER)}}
    config["istio-canary:telemetry"] = telemetry(NAMESPACE)
    project.write_stack(STACK, config)


@pytest.fixture(scope="module")
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The three services, whose requests all go to their old versions, under load."""
    project = Project.create(tmp_path_factory.mktemp("groups"), mesh.cluster)
    write(project, TIMED, rolled=False)
    project.up(STACK)
    with load(f"{mesh.cluster.layout.gateway_url}/chain", project.folder, rate=RATE, headers={"Host": HOST}):
        yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.fixture(scope="module")
def watched(shop: Project) -> Iterator[Watched]:
    """One watch for all tests: a connection that is closed under its thread may take the next one's answers."""
    with kubeconfig.client(kubeconfig.choose(Access(str(shop.cluster.layout.kubeconfig)))) as client:
        yield Watched(client)


def rollout(project: Project, verb: str, *words: str, of: str = GROUP) -> Completed:
    done = project.canary("rollout", verb, of, *words, "--stack", STACK)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def state(project: Project) -> dict[str, Any]:
    """What `status --json` tells of the group."""
    done = rollout(project, "status", "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def begin(project: Project, strategy: dict[str, Any], callee: tuple[str, ...] = ()) -> None:
    """All requests at the old versions, and a rollout of the group that nobody has started.

    What an earlier test has moved is taken back by the first `up`, as a group; the retry lifts the bars.
    """
    write(project, strategy, rolled=False, callee=callee)
    project.up(STACK)
    rollout(project, "retry", "for the next one")
    write(project, strategy, callee=callee)
    project.up(STACK)


def phases(document: dict[str, Any]) -> set[str]:
    return {one["phase"] for one in document["services"]}


def test_a_group_goes_forward_a_callee_first_and_back_a_caller_first(shop: Project, watched: Watched) -> None:
    begin(shop, TIMED)
    alone = rollout(shop, "start", of=MIDDLE)
    assert alone.returncode == ExitCode.CONFIG
    assert f"canary rollout start {GROUP} --stack {STACK}" in alone.stderr
    watched.writes.clear()

    done = rollout(shop, "start")
    assert done.returncode == 0, done.stdout + done.stderr
    assert watched.of_new_weights() == [(one, weight) for weight in (20.0, 100.0) for one in ORDER]
    ended = state(shop)
    assert (ended["phase"], phases(ended)) == ("Completed", {"Completed"})

    undone = rollout(shop, "undo", "too", "slow", of=CALLEE)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert watched.of_new_weights()[-3:] == [(one, 0.0) for one in reversed(ORDER)]
    assert phases(state(shop)) == {"Undone"}


@pytest.mark.long
def test_a_runner_that_is_killed_between_two_services_is_followed_by_the_next(shop: Project, watched: Watched) -> None:
    begin(shop, TIMED)
    watched.writes.clear()
    process = shop.popen("rollout", "start", GROUP, "--stack", STACK)
    until = time.monotonic() + 120
    while (CALLEE, 20.0) not in watched.of_new_weights():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < until, "the callee has no first step"
        watched.changed.wait(1)
        watched.changed.clear()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    killed = watched.of_new_weights()

    done = rollout(shop, "start")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (CALLER, 20.0) not in killed, f"it was killed too late to tell anything: {killed}"
    assert watched.of_new_weights() == [(one, weight) for weight in (20.0, 100.0) for one in ORDER]
    assert phases(state(shop)) == {"Completed"}


@pytest.mark.long
def test_an_up_that_takes_one_service_back_takes_all_of_them_back(shop: Project, watched: Watched) -> None:
    watched.writes.clear()
    write(shop, TIMED, rolled=False)
    shop.up(STACK)

    assert phases(state(shop)) == {"Undone"}
    writes = [name for name, _, weight in sorted(watched.writes, key=lambda one: one[1]) if not weight]
    assert list(dict.fromkeys(writes)) == list(reversed(ORDER))


def test_a_bad_callee_takes_all_services_back_a_caller_first(shop: Project, watched: Watched) -> None:
    begin(shop, GATED, ("-fail-percent=30",))
    watched.writes.clear()

    done = rollout(shop, "start")
    assert done.returncode == ExitCode.ABORTED, done.stdout + done.stderr
    ended = state(shop)
    assert phases(ended) == {"Aborted"}
    assert "is worse" in ended["ended"]["reason"]
    changes = watched.of_new_weights()
    moved = [name for name, weight in changes if weight]
    assert moved, "the callee got its first step"
    assert moved == list(ORDER[: len(moved)]), "the evidence may come before the others have theirs"
    assert changes == [*((one, 20.0) for one in moved), *((one, 0.0) for one in reversed(moved))]


@pytest.mark.long
def test_a_group_ends_in_the_background_while_all_services_are_watched(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(shop.folder / "state"))
    begin(shop, TIMED)
    watching = shop.popen("rollout", "status", GROUP, "--stack", STACK, "--watch")
    detached = rollout(shop, "start", "--detach", "--json")
    assert detached.returncode == 0, detached.stderr
    log = json.loads(detached.stdout)["log"]
    assert log == str(shop.folder / "state" / "istio-canary" / "rollouts" / f"{NAMESPACE}.{GROUP}.log")

    told, _ = watching.communicate(timeout=120)
    assert watching.returncode == 0, told
    assert f"{GROUP}-" in told
    assert all(f" {one}-" in told for one in ORDER), told
    assert "Completed" in told
    assert phases(state(shop)) == {"Completed"}

    written = rollout(shop, "report", "--html", "group.html")
    assert written.returncode == 0, written.stderr
    page = (shop.folder / "group.html").read_text(encoding="utf-8")
    assert all(f"<h2>{one}: Rollout {one}-" in page for one in ORDER)
