"""Carries decisions out in the cluster: the record by compare-and-swap, then the routes; for verbs, `up` and the runner.

A write that finds something newer than what was decided from changes nothing: it is looked at and decided again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollout.decision import Decision
from rollout.look import Look, StoredRoutesByName
from rollout.record import Record
from rollout.store import Stored
from rollout.stored_routes import Routes

if TYPE_CHECKING:
    from lightkube import Client

TRIES = 5


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
    raise NotImplementedError


def begin_rollout(
    client: Client,
    namespace: str,
    service: str,
    routes: Routes,
    decide: Callable[[Look, str, str], Decision],
    *,
    by: str,
) -> Acted:
    """Store the routes of all steps, and carry out what `decide` makes of the look, the name of the routes and the time.

    `decide` calls `machine.begin`, with `look.stored.record` as the previous one, `look.vs_uids` and `look.annotation`,
    or `retry` with a new plan. Stored routes of earlier rollouts are deleted afterwards. Raises what `act` raises.
    """
    raise NotImplementedError


def hand_back(client: Client, namespace: str, service: str, by: str) -> str | None:
    """Give `spec.http` back to Pulumi's field manager if no rollout is active, at once; return what was done, or None.

    Call it under the stack's lock, before the preview. Raises ConflictError in a race, RouteRefusedError, and httpx2's
    errors.
    """
    raise NotImplementedError


def hand_back_if_due(client: Client, namespace: str, service: str, by: str) -> str | None:
    """As `hand_back`, but only one hour after the end: no `up` that read an older record lives so long."""
    raise NotImplementedError


def carry_out(client: Client, seen: Look, decision: Decision, *, known: StoredRoutesByName | None = None) -> Stored:
    """Scale, write the record, then the routes; the barrier, hooks and the hand-over are the runner's.

    Raises ConflictError if the record or a VirtualService was written since the look; nothing after that was done.
    """
    raise NotImplementedError
