"""What a run of the program does to the records of rollouts: before any resource is registered, and after the routes.

A preview writes nothing but what its own dry run needs: routes whose rollout ended an hour ago are handed back to
Pulumi, since the provider's dry run would end in a conflict otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi

from components.waiting import in_own_thread
from kube.client import query
from kube.conflicts import ConflictError
from kube.kubeconfig import ClusterUnreachableError
from rollout.decision import Decision, Facts, RefusedError
from rollout.going_back import hand_back_in, void
from rollout.person import who
from rollout.record import FIELD_MANAGER, Phase, Record, Release
from rollout.store import routes_name
from stacks import cluster_facts
from stacks.cluster_facts import ClusterFacts, stack_file
from stacks.rollout_asks import AskKind, RolloutAsk
from stacks.rollout_events import unsent_events
from stacks.rollout_group_back import taken_back
from stacks.rollout_plans import http_of, rendered_routes
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError
from stacks.with_rollouts import Effective, during_rollout, refuse_force, with_rollouts
from traffic.model import version_label

if TYPE_CHECKING:
    from lightkube import Client

    from rollout.look import Look
    from stacks.environment import Environment

T = TypeVar("T")

WITHIN = 60.0
"""Seconds for what is done to one record."""


class RolloutRunError(Exception):
    """A record or the routes of a rollout could not be written. Says what was done, and the fix."""


def read_effective(
    settings: Settings, owner: str, check: Callable[[ClusterFacts, Settings], None]
) -> tuple[ClusterFacts, Effective]:
    """Return the facts about the cluster, and the settings as the rollouts make them; `owner` is `<project>/<stack>`.

    A real run first does what comes before any resource: it brings back rollouts that the file takes back. Nothing is
    written if `check` raises. Raises what `read_cluster_facts` raises, and RolloutRunError.
    """
    facts = cluster_facts.read_cluster_facts(settings, owner)
    check(facts, settings)
    effective = _effective(settings, facts, owner)
    handed = [name for name in facts.rollouts if _is_due(facts, name) and _handed_back(settings, name)]
    for ask in effective.comes_first if not pulumi.runtime.is_dry_run() else ():
        handed.extend(one for one in _carry_out(settings, ask) if one not in handed)
    if not handed:
        return facts, effective
    before, facts = effective.warnings, cluster_facts.read_cluster_facts(settings, owner)
    effective = _effective(settings, facts, owner)
    effective = replace(effective, warnings=tuple(dict.fromkeys((*before, *effective.warnings))))
    if effective.comes_first and not pulumi.runtime.is_dry_run():
        raise RolloutRunError(_not_back(effective.comes_first[0]))
    # Whoever has gone back in this run, under the stack's lock, gives the routes to Pulumi if it has to write them.
    for name in handed:
        if not pulumi.runtime.is_dry_run() and _changes_routes(effective.settings, facts, name):
            _hand_back(settings, name)
    return facts, effective


def say(effective: Effective) -> None:
    """Tell the engine what this run does to records; of what goes back, the warnings tell."""
    for ask in effective.asks:
        if ask.kind not in (AskKind.GO_BACK, AskKind.SUPERSEDE, AskKind.WITHDRAW):
            pulumi.log.info(ask.text)


def write_records(environment: Environment, settings: Settings, effective: Effective) -> None:
    """Write the records of rollouts that begin, once their VirtualServices are written; nothing in a preview.

    Stored routes of a rollout under way that somebody has deleted are written again.
    """
    if pulumi.runtime.is_dry_run():
        return
    for name, record in effective.under_way.items():
        pulumi.Output.from_input(name).apply(_in_thread(partial(_keep_routes, settings, name, record)))
    for ask in effective.asks:
        if ask.kind in (AskKind.BEGIN, AskKind.NEW_ROUTES):
            environment.routes_written(ask.service).apply(_in_thread(partial(_write, settings, ask)))


def _effective(settings: Settings, facts: ClusterFacts, owner: str) -> Effective:
    file = stack_file(owner)
    forced = refuse_force(settings, facts.rollouts, file, os.environ)
    if forced is not None:
        raise SettingsError([forced], file)
    return with_rollouts(settings, facts.rollouts, file, during=during_rollout.get())


def _carry_out(settings: Settings, ask: RolloutAsk) -> tuple[str, ...]:
    """Do what comes first, and return the services that it was about: a group goes back as a whole."""
    from rollout.acting import act

    def decide(record: Record, now: str) -> Decision:
        from rollout.machine import advance
        from rollout.verbs import abort, supersede, undo, withdraw

        reason = f"the stack's file leads to {record.from_.version} again"
        if ask.kind is AskKind.CLOSE:
            return advance(record, Facts(now=now, holder=by))
        if ask.kind is AskKind.WITHDRAW:
            return withdraw(record, by, now)
        if ask.kind is AskKind.SUPERSEDE:
            return supersede(record, ask.target.version if ask.target else "a third version", by, now)
        if record.phase in (Phase.COMPLETED, Phase.UNDOING):
            # All requests have left the previous version: its pods must be ready first, which `finish` sees to.
            undoing = undo(record, reason, by, now)
            return undoing if undoing.record is not None else Decision(why=undoing.why)
        return abort(record, reason, by, now)

    by = who()
    with_group = _trying(lambda: taken_back(settings, ask, by))
    if with_group is not None:
        if not with_group.ended:
            raise RolloutRunError(_not_back(ask))
        for service in with_group.services:
            _send_events(settings, service)
        return with_group.services
    acted = _asked(settings, lambda client: act(client, ask.namespace, ask.service, decide, by=by))
    if not acted.durable:
        raise RolloutRunError("\n".join(acted.said))
    if ask.kind is not AskKind.CLOSE and acted.stored.record.phase.active:
        _finish(settings, ask, by)
    else:
        _send_events(settings, ask.service)
    return (ask.service,)


def _finish(settings: Settings, ask: RolloutAsk, by: str) -> None:
    """Until every Envoy has the routes: what follows may take the pods away."""
    from rollout.runner import finish

    seconds = float(settings.taken_within + 30)
    end = _trying(lambda: finish(settings.cluster, ask.namespace, ask.service, by, timeout=seconds))
    if end.record.phase.active:
        raise RolloutRunError(_not_back(ask))


def _send_events(settings: Settings, name: str) -> None:
    warning = unsent_events(settings, name)
    if warning is not None:
        pulumi.log.warn(warning)


def _not_back(ask: RolloutAsk) -> str:
    return (
        f"{ask.service}: all requests are sent to the previous version, but not every Envoy is known to follow\n"
        f"    fix:     see `canary rollout status {ask.service}`, then run it again; nothing else was touched"
    )


def _in_thread(write: Callable[[], None]) -> Callable[[Any], Any]:
    """What an apply calls; an error fails the run."""

    async def written(_: Any) -> None:
        try:
            await in_own_thread(write)
        except (RolloutRunError, ClusterUnreachableError) as error:
            raise pulumi.RunError(str(error)) from None

    return written


def _keep_routes(settings: Settings, name: str, record: Record) -> None:
    from rollout.store import RolloutStore
    from rollout.stored_routes import StoredRoutesError

    def keep(client: Client) -> None:
        store = RolloutStore(client, record.namespace, name)
        try:
            store.read_routes(record.plan.routes)
        except StoredRoutesError:
            routes = rendered_routes(settings, name, record.plan)
            if routes_name(name, routes) == record.plan.routes:
                store.write_routes(routes)

    _asked(settings, keep)


def _write(settings: Settings, ask: RolloutAsk) -> None:
    from rollout.acting import begin_rollout

    by, planned = who(), ask.planned
    assert planned is not None

    def begun(client: Client) -> Any:
        releases = _releases(client, ask)

        def decide(look: Look, name: str, now: str) -> Decision:
            return (
                _new_routes(ask, look, now, by)
                if ask.kind is AskKind.NEW_ROUTES
                else _begin(ask, look, now, by, releases)
            )

        return begin_rollout(client, ask.namespace, ask.service, planned.routes, decide, by=by)

    _asked(settings, begun)
    _send_events(settings, ask.service)


def _begin(ask: RolloutAsk, look: Look, now: str, by: str, releases: tuple[Release, Release]) -> Decision:
    from rollout.beginning import begin

    assert ask.planned is not None
    previous = look.stored.record if look.stored else None
    uids = {name: uid for name, uid in look.vs_uids.items() if name in ask.planned.routes["back"]}
    gone = void(previous, Facts(now=now, holder=by, vs_uids=uids)) if previous is not None else None
    if gone is not None and gone.record is not None:
        previous = gone.record  # with the event that tells it
    return begin(
        previous,
        service=ask.service,
        namespace=ask.namespace,
        vs_uids=uids,
        target=releases[1],
        from_=releases[0],
        plan=ask.planned.plan(),
        by=by,
        at=now,
        annotation=look.annotation,
    )


def _new_routes(ask: RolloutAsk, look: Look, now: str, by: str) -> Decision:
    """The steps stay; their routes are those of this run."""
    from rollout.verbs import change_routes

    assert ask.planned is not None
    record = look.record_or_raise(ask.service).record
    if ask.record is None or record.id != ask.record.id:
        raise RefusedError(f"{ask.service}: its rollout has ended meanwhile", "run `canary up` again")
    return change_routes(record, ask.planned.plan(), by, now)


def _releases(client: Client, ask: RolloutAsk) -> tuple[Release, Release]:
    """Both releases with what runs of them now: images by digest, and the pods that capacity is measured by."""
    from rollout.capacity import ready_pods
    from rollout.images import image_ids

    assert ask.from_ is not None
    assert ask.target is not None
    ready = ready_pods(client, ask.namespace, ask.service)
    images = image_ids(client, ask.namespace, ask.service, (ask.from_.version, ask.target.version))

    def seen(release: Release) -> Release:
        pods = len(ready.get(version_label(ask.service, release.version), ()))
        return release.model_copy(update={"image_ids": images[release.version], "ready_pods": pods})

    return seen(ask.from_), seen(ask.target)


def _is_due(facts: ClusterFacts, name: str) -> bool:
    """Whether the routes are a rollout's whose end was an hour ago."""
    state = facts.rollouts[name]
    if state.stored is None or state.http_owner != FIELD_MANAGER or state.stored.record.phase.active:
        return False
    return hand_back_in(state.stored.record, state.stored.server_time) <= 0


def _handed_back(settings: Settings, name: str) -> bool:
    """Hand the routes back; without the right, say who can."""
    from rollout.acting import hand_back_if_due

    try:
        namespace = settings.services[name].namespace
        if _asked(settings, lambda client: hand_back_if_due(client, namespace, name, who())) is None:
            return False
    except (RolloutRunError, ClusterUnreachableError) as error:
        pulumi.log.warn(
            f"{name}: its routes are still those of a rollout that has ended, and could not be handed back to Pulumi, "
            f"so that a change of them ends in a conflict: {error}\n"
            "    fix:     run `canary up` with the rights of docs/rights.md: it hands them back first"
        )
        return False
    _send_events(settings, name)
    return True


def _hand_back(settings: Settings, name: str) -> None:
    from rollout.acting import hand_back

    namespace = settings.services[name].namespace
    if _asked(settings, lambda client: hand_back(client, namespace, name, who())) is not None:
        _send_events(settings, name)


def _changes_routes(settings: Settings, facts: ClusterFacts, name: str) -> bool:
    state = facts.rollouts.get(name)
    live = {one: list(route.http) for one, route in state.routes.items()} if state else {}
    return http_of(settings, name) != live


def _asked(settings: Settings, ask: Callable[[Client], T]) -> T:
    return _trying(lambda: query(settings.cluster, ask, WITHIN))


def _trying(ask: Callable[[], T]) -> T:
    from rollout.acting import NotCarriedOutError
    from rollout.look import NoRolloutError
    from rollout.record import RecordError
    from rollout.routes import RouteRefusedError, VirtualServiceGoneError
    from rollout.store import NameTakenError
    from rollout.stored_routes import StoredRoutesError

    try:
        return ask()
    except (
        NotCarriedOutError,
        NoRolloutError,
        RecordError,
        RefusedError,
        RouteRefusedError,
        VirtualServiceGoneError,
        NameTakenError,
        StoredRoutesError,
        ConflictError,
    ) as error:
        raise RolloutRunError(str(error)) from None
