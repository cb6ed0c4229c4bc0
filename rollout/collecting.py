"""The facts that a runner decides from, and what it does beside its loop: hooks, events, limits, pods, the log.

Results of what takes time are facts of a later look. Nothing here moves a weight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kube.server_clock import ServerClock
from rollout.background import Background
from rollout.barrier import Barrier, Following
from rollout.capacity import PodsLook, PodsSeen
from rollout.decision import Decision, Facts, HookResult, LimitResult, deciding, delivered
from rollout.event_receivers import receivers_of
from rollout.events import Delivered, Outbox
from rollout.gating_facts import GateFacts, ReadGates
from rollout.holding import HOOK_WAIT, needed_pods
from rollout.hooks import ask, step_at
from rollout.limits import LimitReading
from rollout.look import Look
from rollout.machine import pins
from rollout.pins import raise_pods, release_pods
from rollout.record import NOT_STARTED, Phase, Record
from rollout.store import RolloutStore, Stored
from rollout.windows import WindowError, is_open

if TYPE_CHECKING:
    from lightkube import Client

ReadLimits = Callable[[Record, str], LimitReading | None]
"""What the absolute limits say, from the record and the API server's time; `rollout.limits.read_limits`."""

LIMITS_EVERY = 5.0
LIMITS_OLD = 30.0
"""Seconds after which limits are asked for again, and after which their last answer is none."""
PINS_EVERY = 10.0
"""Seconds after which it is looked again whether somebody went below the pods that the rollout needs."""
HOOK_OLD = 60.0
"""Seconds after which a hook that said yes is asked again, if nothing came of it."""


class Collector:
    """Collects the facts of one service's rollout. `connect` makes clients for what runs beside the loop."""

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Client],
        store: RolloutStore,
        holder: str,
        barrier: Barrier,
        background: Background,
        *,
        limits: ReadLimits | None = None,
        gates: ReadGates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._connect = connect
        self._store = store
        self._holder = holder
        self._barrier = barrier
        self._background = background
        self._read_limits = limits
        self._gates = GateFacts(gates, background, clock)
        self._clock = clock
        self._server = ServerClock.of(client)
        self._pods = PodsLook(client, store.namespace, store.service, clock)
        self._outbox = Outbox(clock)
        self._log: list[dict[str, Any]] = []
        self._pinned: tuple[Mapping[str, int], float] | None = None
        self._problems: tuple[str, ...] = ()
        self._released = ""
        self._limits_text = ""
        self._others: dict[str, Client] = {}

    def facts(self, seen: Look, stored: Stored, *, lease_held: bool) -> Facts:
        """Return what is known at this look. Raises httpx2's errors if the pods cannot be listed."""
        record, now = stored.record, self._server.estimate()
        routes = deciding(record, seen.seen) if seen.seen else None
        pods = self._look_at_pods(record)
        following = self._following(seen)
        limits = self._limits(record, now)
        self._limits_text = limits.text if limits else ""
        gates = self._gates.look(record, now)
        return Facts(
            now=now,
            lease_held=lease_held,
            holder=self._holder,
            ready_to=pods.ready_to if pods else None,
            ready_from=pods.ready_from if pods else None,
            to_unready_seconds=pods.to_unready_seconds if pods else 0.0,
            pods_started=pods.started if pods else (),
            pods_text="; ".join(filter(None, (pods.pods_text if pods else "", *self._problems))),
            envoys_follow=following.all_follow if following else None,
            envoys_text=following.text if following else "",
            route_weights=routes.weights if routes else None,
            route_annotation=routes.annotation if routes else None,
            route_owner=routes.owner if routes else None,
            vs_uids=seen.vs_uids,
            window_open=_window_is_open(record, now),
            hook_result=self._hook_result(record),
            limits=limits.result if limits else None,
            observed_seconds=limits.observed_seconds if limits else None,
            verdict=gates.verdict,
            gates_fixed=gates.fixed,
            gates_text=gates.text,
        )

    def beside(self, seen: Look, stored: Stored, decision: Decision, *, lease_held: bool) -> None:
        """Start what a decision asks for beside the loop, and what is due anyhow."""
        record = stored.record
        if decision.barrier and decision.record is None and decision.write_routes is None:
            routes = {name: seen.routes[name] for name in record.vs_uids if name in seen.routes}
            planned = record.plan.envoys
            self._background.start(
                "envoys", _routes_key(seen), lambda goes_on: self._barrier.wait(routes, planned, goes_on)
            )
        if decision.hook is not None:
            self._ask_hooks(record, decision)
        if lease_held:
            self._pin(record, decision)
            self.send_events(record)
            self._write_log()
            self._gates.keep(lambda: RolloutStore(self._other("gates"), self._store.namespace, self._store.service))

    def scale(self, decision: Decision) -> None:
        """Raise the pods that a decision asks for; the same ones again only after a while."""
        self._problems = ()
        if decision.scale:
            self._raise(decision.scale)

    def send_events(self, record: Record) -> None:
        """Start to deliver the events of the record, unless that is going on or has to wait."""
        if self._background.runs("events") or self._background.result("events", "events") is not None:
            return
        client = self._other("events")
        receivers = receivers_of(client, record, self._holder)
        wait = self._outbox.wait_seconds(record, [one.name for one in receivers])
        if wait is None or wait > 0:
            return
        self._background.start(
            "events", "events", lambda goes_on: self._outbox.deliver(record, receivers, goes_on)
        )  # fmt: skip

    def delivered(self, record: Record) -> Record | None:
        """Return the record with what has been delivered since, None if nothing was. Call `noted` once it is kept."""
        done = self._background.result("events", "events")
        if done is None:
            return None
        found: Delivered = done.value
        if not found.changes(record):
            self.noted()
            return None
        return delivered(record, found.by_event, found.receivers)

    def noted(self) -> None:
        """What was delivered is in the record."""
        self._background.forget("events")

    def log(self, record: Record, facts: Facts, decision: Decision) -> None:
        """Keep a decision for the log."""
        self._log.append(log_entry(record, facts, decision, self._holder, self._limits_text, self._gates.words))

    def is_done_beside(self) -> bool:
        """Return whether the log is written and pods are given back; starts what is left of the log."""
        self._write_log()
        self._gates.keep(
            lambda: RolloutStore(self._other("gates"), self._store.namespace, self._store.service), last=True
        )
        return not self._log and not any(self._background.runs(name) for name in ("log", "pins", "gates kept"))

    def close(self) -> None:
        """Close the connections of what ran beside the loop."""
        for client in self._others.values():
            client.close()

    def _look_at_pods(self, record: Record) -> PodsSeen | None:
        if record.phase in (Phase.ABORTED, Phase.UNDONE, Phase.CLOSED, Phase.ABORTING) or record.void_since:
            return None  # nothing is decided from them, and going back must not wait for a list
        import httpx2

        coming = min(record.step + 1, len(record.plan.steps) - 1)
        try:
            return self._pods.look(record, needed_pods(record, coming))
        except httpx2.HTTPStatusError as error:
            # Unknown pods hold a step; a way back that needs none must not wait for them.
            status = error.response.status_code
            self._problems = (f"the pods cannot be listed: HTTP {status}",)
            return None

    def _following(self, seen: Look) -> Following | None:
        done = self._background.result("envoys", _routes_key(seen))
        return done.value if done else None

    def _limits(self, record: Record, now: str) -> LimitReading | None:
        if record.strategy.limits is None or record.settled_at is None or record.phase.goes_back:
            return None
        if self._read_limits is None:
            return LimitReading(result=LimitResult(no_data=True), text="nothing reads the limits")
        read, key = self._read_limits, (record.id, record.step, record.settled_at)
        done = self._background.result("limits", key)
        if (done is None or self._clock() - done.at >= LIMITS_EVERY) and not self._background.runs("limits"):
            self._background.start("limits", key, lambda goes_on: (read(record, now),))
        if done is None:
            return LimitReading(result=LimitResult(awaited=True), text="", observed_seconds=0.0)
        if self._clock() - done.at >= LIMITS_OLD:
            return LimitReading(result=LimitResult(no_data=True), text="there is no newer answer")
        found: LimitReading | None = done.value[0]
        return found

    def _hook_result(self, record: Record) -> HookResult | None:
        for at in ("beforeStep", "afterStep", "beforeEnd", "afterAbort"):
            done = self._background.result("hooks", _hook_key(record, at))
            if done is not None and self._clock() - done.at < HOOK_OLD:
                found: HookResult = done.value
                return found
        return None

    def _ask_hooks(self, record: Record, decision: Decision) -> None:
        at = decision.hook
        assert at is not None
        key = _hook_key(record, at)
        done = self._background.result("hooks", key)
        if done is None or self._clock() - done.at >= HOOK_WAIT:
            self._background.start("hooks", key, lambda goes_on: ask(record, at, goes_on=goes_on))

    def _pin(self, record: Record, decision: Decision) -> None:
        """Keep the pods of both versions, and give autoscalers their minimum back at the end."""
        if record.void_since is not None or record.started_at is None or self._background.runs("pins"):
            return
        if not record.phase.active:
            if self._released != record.id:
                self._released = record.id
                versions = (record.from_.version, record.target.version)
                client, store = self._other("pins"), self._store
                self._background.start(
                    "pins", record.id, lambda goes_on: release_pods(client, store.namespace, store.service, versions)
                )
            return
        least = pins(record)
        if self._pinned is None or self._pinned[0] != least or self._clock() - self._pinned[1] >= PINS_EVERY:
            self._pinned = (least, self._clock())
            client = self._other("pins")
            self._background.start(
                "pins",
                (record.id, record.step),
                lambda goes_on: raise_pods(client, self._store.namespace, self._store.service, least),
            )

    def _raise(self, least: Mapping[str, int]) -> None:
        key: Hashable = tuple(sorted(least.items()))
        done = self._background.result("scale", key)
        if done is not None:
            self._problems = done.value
        if (done is None or self._clock() - done.at >= PINS_EVERY) and not self._background.runs("scale"):
            client = self._other("scale")
            self._background.start(
                "scale", key, lambda goes_on: raise_pods(client, self._store.namespace, self._store.service, least)
            )

    def _write_log(self) -> None:
        if not self._log or self._background.runs("log"):
            return
        taken, self._log = self._log, []
        store = RolloutStore(self._other("log"), self._store.namespace, self._store.service)

        def write(goes_on: Callable[[], bool]) -> None:
            for one in taken:
                store.log(one)

        self._background.start("log", len(taken), write)

    def _other(self, name: str) -> Client:
        """A client of its own for each kind of job: with a shared connection, threads get each other's answers."""
        if name not in self._others:
            self._others[name] = self._connect()
        return self._others[name]


def _routes_key(seen: Look) -> Hashable:
    """Names the routes as they are: whether the Envoys have them says nothing about later ones."""
    return tuple(sorted((name, route.uid, route.resource_version) for name, route in seen.routes.items()))


def _hook_key(record: Record, at: Any) -> Hashable:
    return (record.id, at, step_at(record, at))


def _window_is_open(record: Record, now: str) -> bool:
    """Of the step that is next; a zone that this machine does not know keeps it closed."""
    coming = record.plan.steps[min(record.step + 1 if record.step != NOT_STARTED else 0, len(record.plan.steps) - 1)]
    try:
        return is_open(record.plan.rules[coming.rule].strategy.windows, datetime.fromisoformat(now))
    except WindowError:
        return False


def log_entry(
    record: Record, facts: Facts, decision: Decision, by: str, limits: str = "", gates: str = ""
) -> dict[str, Any]:
    """Return a decision as the log has it: `generation` is that of the record after it."""
    after = decision.record or record
    did = {
        "record": decision.record is not None,
        "routes": decision.write_routes is not None,
        "scale": bool(decision.scale),
        "barrier": decision.barrier,
        "hook": decision.hook is not None,
        "hand-over": decision.hand_over,
    }
    numbers = {
        "weights": facts.route_weights,
        "readyTo": facts.ready_to,
        "readyFrom": facts.ready_from,
        "limits": limits,
        "gates": gates,
        "pods": facts.pods_text,
    }
    return {
        "at": facts.now,
        "by": by,
        "id": record.id,
        "generation": after.generation,
        "phase": after.phase.value,
        "step": after.step,
        "why": decision.why,
        "did": [word for word, done in did.items() if done],
        "numbers": {key: value for key, value in numbers.items() if value not in (None, "")},
    }
