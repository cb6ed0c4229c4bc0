"""A rollout in an API server in memory, and a runner whose turns are taken one by one and that can be killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any

import httpx2

from rollout.acting import begin_rollout
from rollout.background import Done, Job
from rollout.barrier import Following
from rollout.beginning import begin
from rollout.collecting import Collector
from rollout.decision import Decision
from rollout.look import Look, look
from rollout.observed_routes import ISTIO_API
from rollout.places import Places, places
from rollout.record import Record, Release
from rollout.routes_of_steps import BACK, RoutesOfSteps, routes_of_steps
from rollout.schedule import Schedule, rule_key, schedule
from rollout.store import RolloutStore
from rollout.turns import Runner, Turn
from tests.unit.rollout.api_server import RefusedError
from tests.unit.rollout.sample_records import NAMESPACE
from tests.unit.rollout.workloads import PULUMI, Workloads
from tests.unit.route_tables import table
from traffic.model import RolloutStrategy

SERVICE = "website"
AT_GATEWAY, IN_MESH = "website", "website-mesh"
END_PHASES = ("Completed", "Closed", "Aborted", "Undone")


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@cache
def planned(strategy: str, virtual_services: int) -> tuple[Schedule, RoutesOfSteps, Places]:
    """The plan of website, with testers and everybody else: at a gateway, and with two VirtualServices in the mesh."""
    mesh = {"gateways": ["website", "mesh"], "hosts": ["*"]} if virtual_services == 2 else {}
    rules = [{"match": [{"headers": {"qa": {"exact": "x"}}}], "to": "version-2"}, {"to": "version-2", "rollout": "s"}]
    shops = table(website={"namespace": NAMESPACE, "route": rules, **mesh})
    now = {rule_key(rule): {"version-1": 100.0} for rule in shops[SERVICE].route}
    found = schedule(SERVICE, shops[SERVICE], {"s": RolloutStrategy.model_validate_json(strategy)}, now)
    assert found is not None
    steps = routes_of_steps(shops, SERVICE, found, gateway_namespace="istio-ingress")
    where = places(shops, SERVICE, ["default"], ("version-1", "version-2"), gateway_namespace="istio-ingress")
    return found, steps, where


class World(Workloads):
    """An API server with the two versions of website, ready, and its routes; somebody may be killed at a write.

    `kill_at` counts the writes from now on; with `served`, the write arrives before the process is gone. `failures` are
    what the next requests get instead of an answer: a status, or an exception of the connection.
    """

    def __init__(self, *, virtual_services: int = 1, **strategy: Any) -> None:
        super().__init__()
        self.kill_at: int | None = None
        self.served = False
        self.counted = ""
        self.failures: list[int | Exception] = []
        self.after_write: Callable[[], None] = lambda: None
        self.deployment("version-1", 2)
        self.deployment("version-2", 2)
        self.pods("version-1", 2)
        self.pods("version-2", 2)
        given: dict[str, Any] = {"steps": [{"weight": 10}, {"weight": 50}, {"weight": 100}], **strategy}
        self.schedule, self.steps, self.places = planned(json.dumps(given), virtual_services)
        for name in self.steps[BACK]:
            self.route_by_up(name)

    def route_by_up(self, name: str) -> None:
        """The VirtualService as an `up` before the rollout has left it."""
        body = {
            "apiVersion": ISTIO_API,
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"hosts": ["shop.example.com"], "http": self.steps[BACK][name]},
        }
        self.apply("virtualservices", body, PULUMI, force=True)

    def begin(self) -> Record:
        """An `up` writes the record of the rollout."""
        old: dict[str, Any] = {"from_": Release(version="version-1", hash="h1", ready_pods=2)}

        def decide(seen: Look, name: str, now: str) -> Decision:
            return begin(
                seen.stored.record if seen.stored else None,
                service=SERVICE,
                namespace=NAMESPACE,
                vs_uids=seen.vs_uids,
                target=Release(version="version-2", hash="h2"),
                plan=self.schedule.plan(name, self.places),
                by="up",
                at=now,
                annotation=seen.annotation,
                **old,
            )

        return begin_rollout(self.client, NAMESPACE, SERVICE, self.steps, decide, by="up").stored.record

    @property
    def record(self) -> Record:
        """The record as it is."""
        stored = RolloutStore(self.client, NAMESPACE, SERVICE).read()
        assert stored is not None
        return stored.record

    def weight(self, name: str = AT_GATEWAY) -> float:
        """The weight of version-2 in the rolled out rule of a VirtualService."""
        routes = self.get("virtualservices", NAMESPACE, name)["spec"]["http"][1]["route"]
        return float(
            sum(one.get("weight", 100) for one in routes if one["destination"]["subset"] == "version-2")
        )  # fmt: skip

    def annotation(self, name: str = AT_GATEWAY) -> str:
        return str(self.get("virtualservices", NAMESPACE, name)["metadata"]["annotations"]["istio-canary/rollout"])

    def seen(self) -> Look:
        return look(self.client, RolloutStore(self.client, NAMESPACE, SERVICE))

    def events(self) -> list[str]:
        """What was sent as Kubernetes Events, by reason."""
        found = [item for (plural, _, _), item in self.objects.items() if plural == "events"]
        return [str(item["reason"]) for item in found]

    def kill(self, at: int, *, served: bool, only: str = "") -> None:
        """Kill who writes, at the `at`-th write of a record, route or event from now on: before it is served, or after.

        `only` is the plural of the objects whose writes count.
        """
        self.kill_at, self.served, self.counted = at, served, only

    def _serve(self, request: httpx2.Request) -> Any:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            raise RefusedError(failure, "InternalError", "try again")
        if request.method == "GET" or not self._counts(request.url.path):
            return super()._serve(request)
        dies = self.kill_at == 1
        self.kill_at = None if self.kill_at is None or dies else self.kill_at - 1
        if dies and not self.served:
            raise Killed
        answer = super()._serve(request)
        self.after_write()
        if dies:
            raise Killed
        return answer

    def _counts(self, path: str) -> bool:
        return self.counted in path and not path.endswith("-log")


class AtOnce:
    """`Background` whose jobs are done when they are started."""

    def __init__(self) -> None:
        self.done: dict[str, tuple[Hashable, Done]] = {}
        self.started: list[str] = []

    def start(self, name: str, key: Hashable, job: Job) -> None:
        self.started.append(name)
        value = job(lambda: True)
        if value is not None:
            self.done[name] = (key, Done(value, 0.0))

    def result(self, name: str, key: Hashable) -> Done | None:
        known, done = self.done.get(name, (None, None))
        return done if known == key else None

    def forget(self, name: str) -> None:
        self.done.pop(name, None)

    def runs(self, name: str) -> bool:
        return False


class Envoys:
    """A barrier: all Envoys follow, unless a test says otherwise."""

    def __init__(self, following: Following | None = None) -> None:
        self.following = following or Following(True)
        self.asked: list[dict[str, Any]] = []

    def wait(self, routes: Mapping[str, Any], planned: object, goes_on: Callable[[], bool]) -> Following:
        self.asked.append({name: route.http for name, route in routes.items()})
        return self.following


class OneRunner:
    """A runner, as one process: `clock` is its own, and only a test moves it."""

    def __init__(self, world: World, holder: str = "host/1/a", *, envoys: Envoys | None = None, **keys: Any) -> None:
        self.world = world
        self.holds = True
        self.clock = 0.0
        self.background = AtOnce()
        self.envoys = envoys or Envoys()
        beside: Any = (self.envoys, self.background)
        self.seen: list[tuple[Record, Decision]] = []
        store = RolloutStore(world.client, NAMESPACE, SERVICE)
        self.collector = Collector(
            world.client, lambda: world.client, store, holder, *beside,
            clock=lambda: self.clock, **keys,
        )  # fmt: skip
        self.runner = Runner(
            world.client, store, self.collector, lambda: self.holds, holder,
            lambda record, decision: self.seen.append((record, decision)),
        )  # fmt: skip

    def turn(self) -> Turn:
        return self.runner.turn()

    def to_the_end(self, turns: int = 80) -> Record:
        """Take turns until the rollout has ended and its events are sent."""
        for _ in range(turns):
            turn = self.turn()
            if turn.record.phase in END_PHASES and not turn.acted and not turn.record.outbox:
                return turn.record
        raise AssertionError(f"no end after {turns} turns: {self.world.record.phase}, {self.seen[-1][1].why}")

    def until_step(self, step: int) -> None:
        """Take turns until a step has settled."""
        for _ in range(80):
            record = self.turn().record
            if record.step == step and record.stage == "Observing":
                return
        raise AssertionError(f"step {step} has not settled: {self.seen[-1][1].why}")
