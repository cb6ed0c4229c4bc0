"""Carries decisions out in the cluster: the record by compare-and-swap, then the routes. Verbs, `up` and runners do so.

A write that finds something newer than what was decided from changes nothing: it is looked at and decided again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kube.conflicts import ConflictError
from rollout.decision import Decision, Facts
from rollout.going_back import hand_back as due_hand_back
from rollout.going_back import void
from rollout.look import Look, StoredRoutesByName, look
from rollout.pins import release_pods
from rollout.record import FIELD_MANAGER, Phase, Record
from rollout.routes import VirtualServiceGoneError, hand_over, write_http
from rollout.seen_weights import routes_back
from rollout.store import RolloutStore, Stored, barred_versions
from rollout.stored_routes import BACK, Routes, changed
from rollout.verbs import handed_back

if TYPE_CHECKING:
    from lightkube import Client

TRIES = 5
"""How often a verb looks and decides again when somebody else was faster."""
PAUSE = 0.2
"""Seconds before another try after the API server's failure."""


class NotCarriedOutError(Exception):
    """Somebody else wrote the record or the routes each time: nothing of the decision was done. Says the fix."""


@dataclass(frozen=True, kw_only=True)
class Acted:
    """What was done: `stored` is the record after it, `said` are sentences for the person, the first is the decision's.

    `durable` is false if an abort wrote the routes but could not write the record: an `up` or a runner may bring the
    version back until the record says so. A runner with the rights makes it an abort.
    """

    stored: Stored
    decision: Decision
    said: tuple[str, ...]
    durable: bool = True


def act(client: Client, namespace: str, service: str, decide: Callable[[Record, str], Decision], *, by: str) -> Acted:
    """Look, decide from the record and the API server's time, and carry the decision out; on conflicts up to 5 times.

    `decide` is a verb: `lambda record, now: abort(record, reason, by, now)`. What it raises is raised. It does not wait
    for the Envoys: `runner.finish` brings an abort or an undo to its end.

    Raises NoRolloutError, RefusedError, NotCarriedOutError, RecordError, StoredRoutesError, VirtualServiceGoneError,
    RouteRefusedError, and httpx2.HTTPStatusError and httpx2.TransportError, which `kube.client.query` explains.
    """
    store = RolloutStore(client, namespace, service)
    known: StoredRoutesByName = {}
    tries = _Tries(client, store, by)
    for left in reversed(range(TRIES)):
        try:
            acted = tries.once(known, decide, is_last=left == 0)
        except Exception as error:
            is_final = not _is_worth_another_look(error) or (left == 0 and not isinstance(error, ConflictError))
            if is_final and tries.undurable is None:
                raise
            if is_final:
                break
            time.sleep(0.0 if isinstance(error, ConflictError) else PAUSE)
            continue
        if acted is not None:
            return acted
    if tries.undurable is not None:
        return tries.undurable
    raise NotCarriedOutError(
        f"the rollout of {service} or its routes were written by somebody else {TRIES} times meanwhile\n"
        "    fix:  run the same command again; `canary rollout status` names the holder"
    )


class _Tries:
    """The tries of one verb: what the first has decided, and what an abort has done without a record."""

    def __init__(self, client: Client, store: RolloutStore, by: str) -> None:
        self._client = client
        self._store = store
        self._by = by
        self._first: Decision | None = None
        self.undurable: Acted | None = None

    def once(
        self, known: StoredRoutesByName, decide: Callable[[Record, str], Decision], *, is_last: bool
    ) -> Acted | None:
        """Return what was done, None if it is to be decided again. Raises what the API server says."""
        seen = look(self._client, self._store, known)
        stored = seen.record_or_raise(self._store.service)
        becomes_void = _void(seen, stored, self._by)
        decision = becomes_void or decide(stored.record, stored.server_time)
        try:
            stored = _written(self._store, stored, decision)
        except Exception as error:
            if decision.write_routes != BACK or decision.record is None or not _is_of_the_record(error, is_last):
                raise
            self.undurable = _undurable(self._client, seen, decision, error)
            if is_last or not _is_worth_another_look(error):
                return self.undurable
            raise  # the routes are back; the record is tried again
        self._first = self._first or decision  # a verb that looks again is what the person has asked for
        # The last try of an abort overwrites whatever was written meanwhile.
        forced = is_last and decision.write_routes == BACK
        write_routes(self._client, seen, stored.record, decision, forced=forced)
        if becomes_void is not None:
            return None  # it is void now, which the verb refuses with its fix
        return Acted(stored=stored, decision=self._first, said=(self._first.why,))


def begin_rollout(
    client: Client,
    namespace: str,
    service: str,
    routes: Routes,
    decide: Callable[[Look, str, str], Decision],
    *,
    by: str,
) -> Acted:
    """Store the routes of all steps, and carry out what `decide` makes of the look, the routes' name and the time.

    `decide` calls `machine.begin`, with the look's record as the previous one, `look.vs_uids` and `look.annotation`,
    or `retry` with a new plan. Stored routes of earlier rollouts are deleted afterwards. Raises what `act` raises.
    """
    store = RolloutStore(client, namespace, service)
    for _ in range(TRIES):
        name = store.write_routes(routes)
        seen = look(client, store, {})
        decision = decide(seen, name, store.server_time)
        if decision.record is None:
            return Acted(stored=seen.record_or_raise(service), decision=decision, said=(decision.why,))
        try:
            if seen.stored is None:
                stored = store.create(decision.record)
            else:
                stored = store.write(decision.record, seen.stored.resource_version)
        except ConflictError:
            continue
        # Once more: one who began at the same time, before this record was there, deletes what it does not name.
        store.write_routes(routes)
        store.delete_routes(keep=name)
        return Acted(stored=stored, decision=decision, said=(decision.why,))
    raise NotCarriedOutError(
        f"the record of {service} was written by somebody else {TRIES} times meanwhile\n"
        "    fix:  run the same command again"
    )


def hand_back(client: Client, namespace: str, service: str, by: str) -> str | None:
    """Give `spec.http` back to Pulumi's field manager if no rollout moves requests; return what was done, or None.

    So it is after the end, and before the first look at a new rollout. Autoscalers get their minimum back. Call it
    under the stack's lock, before the preview. Raises ConflictError in a race, RouteRefusedError, and httpx2's errors.
    """
    store = RolloutStore(client, namespace, service)
    seen = look(client, store)
    record = seen.stored.record if seen.stored else None
    not_started = record is not None and record.phase is Phase.PENDING and record.started_at is None
    if record is not None and record.phase.active and record.void_since is None and not not_started:
        return None
    return handed_over(client, store, seen, by)


def hand_back_if_due(client: Client, namespace: str, service: str, by: str) -> str | None:
    """As `hand_back`, but only one hour after the end: no `up` that read an older record lives so long."""
    store = RolloutStore(client, namespace, service)
    seen = look(client, store)
    if seen.stored is None or seen.stored.record.phase.active:
        return None
    owners = [route.owner for route in seen.routes.values() if route.name in seen.stored.record.vs_uids]
    owner = FIELD_MANAGER if FIELD_MANAGER in owners else next(iter(owners), None)
    facts = Facts(now=seen.stored.server_time, holder=by, route_owner=owner)
    decision = due_hand_back(seen.stored.record, facts)
    if decision is None or not (decision.hand_over or decision.record):
        return None
    return handed_over(client, store, seen, by)


def handed_over(client: Client, store: RolloutStore, seen: Look, by: str) -> str | None:
    """Give all VirtualServices of the look back, and note it in the record; return what was done, or None."""
    record = seen.stored.record if seen.stored else None
    mine = [route for route in seen.routes.values() if record is None or route.name in record.vs_uids]
    given = [route.name for route in mine if hand_over(client, route.found)]
    said = f"spec.http of {', '.join(given)} is Pulumi's again" if given else None
    if seen.stored is None or record is None or (not given and record.handed_back_at is not None):
        return said
    release_pods(client, store.namespace, store.service, (record.from_.version, record.target.version))
    noted = handed_back(record, by, seen.stored.server_time).record
    if noted is not None:
        store.write(noted, seen.stored.resource_version)
    return said


def carry_out(
    client: Client, store: RolloutStore, seen: Look, decision: Decision, goes_on: Callable[[], bool] = lambda: True
) -> Stored:
    """Write the decision's record, then its routes, and return the record as it is in the cluster now.

    `goes_on` is asked before routes that go forward: whether the Lease is still held.

    Pods, the barrier, hooks and the hand-over are the runner's. Raises ConflictError if the record or a VirtualService
    was written since the look: nothing after that was done. Raises VirtualServiceGoneError, StoredRoutesError, and
    httpx2's errors.
    """
    stored = _written(store, seen.record_or_raise(store.service), decision)
    if decision.write_routes == "step" and not goes_on():
        raise ConflictError("the Lease has run out between the record and the routes")
    write_routes(client, seen, stored.record, decision)
    return stored


def write_routes(client: Client, seen: Look, record: Record, decision: Decision, *, forced: bool = False) -> None:
    """Write the routes of a decision to the record's VirtualServices, as they were in the look unless `forced`.

    All writes, the way back too, refuse what was written since: an abort that slept must not end the rollout after it.
    """
    if decision.write_routes is None:
        return
    key = BACK if decision.write_routes == BACK else record.routes_key
    routes = (seen.steps or {}).get(key)
    if routes is None and key == BACK:
        # Somebody has deleted what is stored: the way back is made of the routes as they are.
        routes = {name: routes_back(record, name, route.http) for name, route in seen.routes.items()}
        routes = {name: http for name, http in routes.items() if http and name in record.vs_uids}
    if not routes:
        raise changed(f"{record.namespace}/{record.plan.routes}", "it does not exist, or lacks a step")
    # An abort without a record of its own bars the version all the same.
    undurable = {record.target.version} if decision.annotation == record.abort_annotation else set()
    barred = sorted({*barred_versions(record), *undurable})
    for name, http in routes.items():
        route, uid = seen.routes.get(name), record.vs_uids.get(name)
        if route is None or uid is None:
            raise VirtualServiceGoneError(f"the VirtualService {record.namespace}/{name} does not exist any more")
        version = None if forced else route.resource_version
        write_http(client, record.namespace, name, http, str(decision.annotation), version, uid, barred)


def _written(store: RolloutStore, stored: Stored, decision: Decision) -> Stored:
    return stored if decision.record is None else store.write(decision.record, stored.resource_version)


def _void(seen: Look, stored: Stored, by: str) -> Decision | None:
    """A record of other VirtualServices is noted to be void first."""
    if stored.record.void_since is not None:
        return None
    return void(stored.record, Facts(now=stored.server_time, holder=by, vs_uids=seen.vs_uids))


def _is_of_the_record(error: Exception, is_last: bool) -> bool:
    """Whether the record cannot be written: no right, a policy, no answer, or others are faster each time."""
    import httpx2

    return isinstance(error, httpx2.HTTPError) or (isinstance(error, ConflictError) and is_last)


def _is_worth_another_look(error: Exception) -> bool:
    """Whether a write of routes may succeed the next time: others were faster, or no good answer came."""
    import httpx2

    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, (ConflictError, VirtualServiceGoneError, httpx2.TransportError))


def _undurable(client: Client, seen: Look, decision: Decision, error: Exception) -> Acted:
    """The routes without the record: better than requests at a version that is to be given up."""
    stored = seen.record_or_raise("")
    marked = replace(decision, annotation=stored.record.abort_annotation, record=None)
    write_routes(client, seen, stored.record, marked, forced=True)
    first = " ".join(str(error).split())
    return Acted(
        stored=stored,
        decision=marked,
        said=(
            decision.why,
            f"all requests are at {stored.record.from_.version}, but the record could not be written: {first}",
            "it is not durable: an `up` may bring the version back until a runner, or `canary rollout abort` by "
            "somebody with the right to patch configmaps, has written it",
        ),
        durable=False,
    )
