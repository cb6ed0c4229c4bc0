"""A group of three services in an API server in memory, and a runner that can be killed at each of its writes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import httpx2

from rollout.acting import begin_rollout
from rollout.beginning import begin
from rollout.decision import Decision
from rollout.group_acting import start, take_back
from rollout.group_member import MemberRun
from rollout.group_members import GroupMember, PlannedGroup
from rollout.group_record import GroupRecord
from rollout.group_runner import GroupRunner, GroupTurn
from rollout.group_store import GroupStore
from rollout.group_verbs import GroupDecision
from rollout.look import Look
from rollout.observed_routes import ISTIO_API
from rollout.places import places
from rollout.record import Record, Release
from rollout.routes_of_steps import BACK, routes_of_steps
from rollout.schedule import rule_key, schedule
from rollout.store import RolloutStore
from tests.unit.rollout.rollouts import AtOnce, Envoys, Killed
from tests.unit.rollout.sample_groups import GROUP, SHOP
from tests.unit.rollout.workloads import PULUMI, Workloads
from tests.unit.route_tables import table
from traffic.model import RolloutStrategy

NAMESPACE = "shop"
ENDS = ("Completed", "Closed", "Aborted", "Undone")
PLANNED = PlannedGroup(name=GROUP, members=tuple(GroupMember(service=one, namespace=NAMESPACE) for one in SHOP))
STEPS = [{"weight": 10}, {"weight": 100}]


class GroupWorld(Workloads):
    """`written` are the services whose VirtualServices were written, in order, with the weight of version-2.

    `kill_at` counts the writes from now on; with `served` the write arrives before the process is gone.
    """

    def __init__(self, services: Sequence[str] = SHOP, **strategy: Any) -> None:
        super().__init__()
        self.services = tuple(services)
        self.kill_at: int | None = None
        self.served = False
        self.written: list[tuple[str, float]] = []
        self.refuses: set[str] = set()
        given = RolloutStrategy.model_validate({"steps": STEPS, **strategy}, by_alias=True)
        self.shops = table(
            **{one: {"namespace": NAMESPACE, "route": [{"to": "version-2", "rollout": "s"}]} for one in services}
        )
        self.plans = {}
        for one in services:
            now = {rule_key(rule): {"version-1": 100.0} for rule in self.shops[one].route}
            found = schedule(one, self.shops[one], {"s": given}, now)
            assert found is not None
            steps = routes_of_steps(self.shops, one, found, gateway_namespace="istio-ingress")
            self.plans[one] = (found, steps)
            for name, http in steps[BACK].items():
                body = {"apiVersion": ISTIO_API, "kind": "VirtualService"}
                metadata = {"name": name, "namespace": NAMESPACE}
                self.apply("virtualservices", {**body, "metadata": metadata, "spec": {"http": http}}, PULUMI)
            self.ready(one, "version-1", "version-2")

    def ready(self, service: str, *versions: str) -> None:
        """Pods of these versions are ready, one of each."""
        pods = []
        for version in versions:
            name = f"{service}-{version}-0"
            labels = {"app": service, "version": f"{service}-{version}"}
            status = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []}
            metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "labels": labels}
            self.objects["pods", NAMESPACE, name] = {
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}, "status": status,
            }  # fmt: skip
            pods.append({"addresses": ["x"], "conditions": {"ready": True},
                         "targetRef": {"kind": "Pod", "name": name, "uid": f"uid-{name}"}})  # fmt: skip
        self.objects["endpointslices", NAMESPACE, service] = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": pods,
            "metadata": {"name": service, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": service}},
        }  # fmt: skip

    def up(self, *services: str, target: str = "h2") -> None:
        """An `up` writes the records, by default of all services."""
        for one in services or self.services:
            found, steps = self.plans[one]
            where = places(
                self.shops, one, found.start, ("version-1", "version-2"), gateway_namespace="istio-ingress"
            )  # fmt: skip

            def decide(
                seen: Look, name: str, now: str, one: str = one, found: Any = found, where: Any = where
            ) -> Decision:
                plan = found.plan(name, where)
                return begin(
                    seen.stored.record if seen.stored else None,
                    service=one,
                    namespace=NAMESPACE,
                    vs_uids=seen.vs_uids,
                    target=Release(version="version-2", hash=target),
                    from_=Release(version="version-1", hash="h1", ready_pods=1),
                    plan=plan.model_copy(update={"group": PLANNED}),
                    by="up",
                    at=now,
                    annotation=seen.annotation,
                )

            begin_rollout(self.client, NAMESPACE, one, steps, decide, by="up")

    def record(self, service: str) -> Record:
        """The record of a service as it is."""
        stored = RolloutStore(self.client, NAMESPACE, service).read()
        assert stored is not None
        return stored.record

    @property
    def group(self) -> GroupRecord:
        """The group's record as it is."""
        stored = GroupStore(self.client, NAMESPACE, GROUP).read()
        assert stored is not None
        return stored.group

    @property
    def phases(self) -> dict[str, str]:
        return {one: self.record(one).phase.value for one in self.services}

    def weight(self, service: str) -> float:
        """The weight of version-2 in the VirtualService."""
        routes = self.get("virtualservices", NAMESPACE, service)["spec"]["http"][0]["route"]
        return float(sum(one.get("weight", 100) for one in routes if one["destination"]["subset"] == "version-2"))

    def start(self, **keys: Any) -> GroupRecord:
        return start(self.client, PLANNED, "ann", **keys)

    def abort(self, reason: str = "it fails", service: str | None = None) -> GroupRecord:
        """A person aborts the group, or a service of it."""
        member = None if service is None else self.record(service)
        return take_back(self.client, PLANNED, reason, "ann", member=member)[0]

    def _serve(self, request: httpx2.Request) -> Any:
        decides = any(kind in request.url.path for kind in ("/configmaps", "/virtualservices"))
        if request.method == "GET" or not decides or request.url.path.endswith("-log"):
            return super()._serve(request)
        name = request.url.path.rpartition("/")[2]
        if "virtualservices" in request.url.path and name in self.refuses:
            from tests.unit.rollout.api_server import RefusedError

            raise RefusedError(403, "Forbidden", f"virtualservices {name} is forbidden")
        dies = self.kill_at == 1
        self.kill_at = None if self.kill_at is None or dies else self.kill_at - 1
        if dies and not self.served:
            raise Killed
        answer = super()._serve(request)
        if "virtualservices" in request.url.path:
            self.written.append((name, self.weight(name)))
        if dies:
            raise Killed
        return answer


class OneGroupRunner:
    """A group's runner as one process."""

    def __init__(self, world: GroupWorld, holder: str = "host/1/a", *, envoys: Envoys | None = None) -> None:
        self.world = world
        self.holds = True
        self.decisions: list[GroupDecision] = []
        self.envoys = envoys or Envoys()
        members = [
            MemberRun(world.client, lambda: world.client, one, holder, threading.Event(), AtOnce(), self.envoys)  # type: ignore[arg-type]
            for one in world.group.members
        ]
        self.runner = GroupRunner(
            GroupStore(world.client, NAMESPACE, GROUP),
            members,
            lambda: self.holds,
            holder,
            lambda group, records, decision: self.decisions.append(decision),
        )

    def turn(self) -> GroupTurn:
        return self.runner.turn()

    def to_the_end(self, turns: int = 120) -> GroupRecord:
        """Take turns until the group has ended."""
        for _ in range(turns):
            turn = self.turn()
            if turn.group.phase.value in ENDS and not turn.acted:
                return turn.group
        raise AssertionError(f"no end after {turns} turns: {self.world.phases}, {self.decisions[-1]}")

    def until_step(self, step: int, turns: int = 120) -> None:
        """Take turns until every member has settled in a step."""
        for _ in range(turns):
            self.turn()
            records = [self.world.record(one) for one in self.world.services]
            if all(one.step == step and one.stage == "Observing" for one in records):
                return
        raise AssertionError(f"step {step} is not reached: {self.world.phases}, {self.decisions[-1]}")
