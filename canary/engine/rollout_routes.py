"""Gives the routes of rollouts to Pulumi's field manager: after their end, or in the middle for one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkube import Client

    from rollout.record import Record
    from stacks.rollout_states import RolloutState
    from stacks.settings.model import Settings

SECONDS = 30.0
"""For all services together; an API server that does not answer at all is known earlier."""
TRIES = 3
"""How often the routes are looked at again when somebody else was faster."""


def hand_over_routes(settings: Settings, during: AbstractSet[str], note: Callable[[str], None]) -> None:
    """Give the routes of rollouts that have ended back to Pulumi, and note it; call it while no other run is going on.

    Those of a service whose rollout is not in the file any more, too. Rollouts of the services in `during` that are
    under way are paused first, and their routes handed over as well. What cannot be done is noted with its fix: a run
    that does not change these routes passes all the same. Raises ClusterUnreachableError if nothing answers.
    """
    from kube.client import query
    from kube.kubeconfig import ClusterUnreachableError
    from stacks.rollout_events import unsent_events

    if not settings.services:
        return
    written: list[str] = []
    try:
        told = query(settings.cluster, lambda client: list(_handed_over(client, settings, during, written)), SECONDS)
    except ClusterUnreachableError as error:
        if not error.is_refusal:
            raise
        told = [f"warning: the routes of rollouts could not be looked at: {error}"]
    for said in told:
        note(said)
    for name in dict.fromkeys(written):
        warning = unsent_events(settings, name)
        if warning is not None:
            note(f"warning: {warning}")


def _handed_over(client: Client, settings: Settings, during: AbstractSet[str], written: list[str]) -> Iterator[str]:
    """What was done, for each service; those whose record was written are added to `written`."""
    from kube.conflicts import ConflictError
    from rollout.record import FIELD_MANAGER
    from rollout.routes import RouteRefusedError, VirtualServiceGoneError
    from stacks.rollout_states import read_rollout_states

    for name, state in read_rollout_states(client, settings).items():
        if state.unreadable is not None:
            continue  # the program says what is wrong with the record
        if state.http_owner != FIELD_MANAGER:
            yield from _lifted(client, settings.services[name].namespace, name, state)
            continue
        for tries_left in reversed(range(TRIES)):
            try:
                for said in _of_service(client, settings.services[name].namespace, name, state, name in during):
                    written.append(name)
                    yield said
            except ConflictError as error:
                if tries_left == 0:
                    yield f"warning: {name}: its routes were not handed over to Pulumi: {error}; run it again"
            except (RouteRefusedError, VirtualServiceGoneError) as error:
                yield f"warning: {name}: {error}"
                break
            else:
                break


def _of_service(client: Client, namespace: str, name: str, state: RolloutState, during: bool) -> Iterator[str]:
    from canary.rollout.place import who
    from rollout.acting import hand_back

    by, record = who(), state.stored.record if state.stored else None
    if during and record is not None and record.phase.active:
        yield from _in_the_middle(client, namespace, name, record, by)
        return
    yield from _lifted(client, namespace, name, state)
    said = hand_back(client, namespace, name, by)
    if said is not None:
        waits = record is not None and record.phase.active and record.void_since is None
        yield f"{name}: the rollout {'has not started' if waits else 'has ended'}, and {said}"


def _lifted(client: Client, namespace: str, name: str, state: RolloutState) -> Iterator[str]:
    """Bars that a retry lifted, and that it was killed before it could take out of the routes."""
    from kube.conflicts import ConflictError
    from rollout.bars import lift_in_routes, lifted_bars
    from rollout.routes import RouteRefusedError, VirtualServiceGoneError

    if state.stored is None or not lifted_bars(state.stored.record, state.routes):
        return
    try:
        lift_in_routes(client, namespace, name)
    except (ConflictError, RouteRefusedError, VirtualServiceGoneError) as error:
        yield f"warning: {name}: {error}"


def _in_the_middle(client: Client, namespace: str, name: str, record: Record, by: str) -> Iterator[str]:
    """Paused first, so that no step takes the routes back before the run has written them."""
    from rollout.acting import act
    from rollout.decision import Decision, RefusedError
    from rollout.routes import hand_over, read_routes_in_cluster
    from rollout.verbs import pause

    def paused(found: Record, now: str) -> Decision:
        if found.paused is not None:
            return Decision(why=f"{found.id} is paused already")
        return pause(found, "the stack changes the route (canary up --during-rollout)", by, now)

    try:
        yield f"{name}: {act(client, namespace, name, paused, by=by).said[0]}"
    except RefusedError as error:
        yield f"{name}: not paused: {error}"
    routes = read_routes_in_cluster(client, namespace, record.vs_uids).values()
    given = [route.name for route in routes if hand_over(client, route.found)]
    if given:
        yield f"{name}: spec.http of {', '.join(given)} is Pulumi's for now; `canary rollout resume {name}` goes on"
