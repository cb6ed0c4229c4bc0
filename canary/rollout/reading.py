"""What is read of a rollout: its record, who holds its Lease, and the weights that its VirtualServices have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.errors import explained
from canary.rollout.place import Place

if TYPE_CHECKING:
    from datetime import datetime

    from lightkube import Client

    from rollout.record import Record, Weights

FORBIDDEN = 403
NEXT_VERSION = "nothing is needed; the next version that `to` names is rolled out"
SECONDS = 10.0
"""For the few requests of one reading."""


@dataclass(frozen=True, kw_only=True)
class HolderSeen:
    """Who has the Lease. `renewed` is whether its last renewal still counts, by the API server's clock."""

    name: str
    renewed: bool


@dataclass(frozen=True, kw_only=True)
class RolloutSeen:
    """One rollout as it is in the cluster.

    `now` is the API server's time. `written` are the percentages by rule key and version that its VirtualServices have,
    None if they could not be read; `owner` is the field manager of their routes. `holder_known` is whether the Lease
    could be read, which not everybody may do. `evidence` is what the gates said last (`canary.rollout.evidence`).
    """

    record: Record
    now: str
    holder: HolderSeen | None = None
    holder_known: bool = True
    written: Weights | None = None
    owner: str | None = None
    evidence: Mapping[str, Any] | None = None


def read(place: Place) -> RolloutSeen:
    """Return the rollout of a service; raises CommandError, also if there is none."""
    found = read_if_any(place)
    if found is None:
        raise why_none(place)
    return found


def read_if_any(place: Place) -> RolloutSeen | None:
    """Return the rollout of a service, None if there is none; raises CommandError if it cannot be read."""
    from kube.client import query

    with explained(place):
        return query(place.cluster, lambda client: look(client, place), within=SECONDS)


def why_none(place: Place) -> CommandError:
    """Return the error for a service without a record; raises CommandError if the cluster does not answer."""
    from kube.client import query

    with explained(place):
        return query(place.cluster, lambda client: _none(client, place), within=SECONDS)


def look(client: Client, place: Place) -> RolloutSeen | None:
    """Return the rollout of a service, None if it has no record. Raises as `rollout.look` does."""
    from canary.rollout.evidence import readable
    from rollout.decision import deciding
    from rollout.group_store import lease_of
    from rollout.look import look as look_at
    from rollout.store import RolloutStore

    store = RolloutStore(client, place.namespace, place.service)
    found = look_at(client, store)
    if found.stored is None:
        return None
    record = found.stored.record
    group = record.plan.group
    lease = (place.namespace, place.service) if group is None else (group.namespace, lease_of(group.name))
    holder_known, holder = _holder(client, *lease)
    routes = deciding(record, found.seen) if found.seen else None
    gates = store.read_gates() if any(rule.strategy.gates is not None for rule in record.plan.rules) else None
    evidence = None if gates is None else readable(gates[0])
    return RolloutSeen(
        record=record,
        now=found.stored.server_time,
        holder=holder,
        holder_known=holder_known,
        written=None if routes is None else routes.weights,
        owner=None if routes is None else routes.owner,
        evidence=None if evidence is None or evidence.get("rollout") != record.id else evidence,
    )


def _holder(client: Client, namespace: str, named: str) -> tuple[bool, HolderSeen | None]:
    """Whether the Lease could be read, and who has it; `named` is the service, or what names the Lease of a group."""
    import httpx2
    from lightkube.resources.coordination_v1 import Lease

    from kube.objects import find
    from kube.server_clock import ServerClock
    from rollout.lease import SECONDS as LEASE_SECONDS
    from rollout.store import name_of

    try:
        found: Any = find(client, Lease, name_of(named), namespace)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != FORBIDDEN:
            raise
        return False, None
    spec = None if found is None else found.spec
    if spec is None or not spec.holderIdentity:
        return True, None
    renewed: datetime | None = spec.renewTime
    long = timedelta(seconds=spec.leaseDurationSeconds or LEASE_SECONDS)
    alive = renewed is not None and ServerClock.of(client).now() - renewed < long
    return True, HolderSeen(name=spec.holderIdentity, renewed=alive)


def _none(client: Client, place: Place) -> CommandError:
    """Why there is no record: nothing in the file, no namespace, or no `up`."""
    import httpx2
    from lightkube.resources.core_v1 import Namespace

    from kube.objects import find

    refused = without_rollout(place)
    if refused is not None:
        return refused
    try:
        exists = find(client, Namespace, place.namespace) is not None
    except httpx2.HTTPStatusError:  # no right to read namespaces, which others than `up` need not have
        exists = True
    what = f"{place.service} has no rollout in the cluster"
    if not exists:
        what += f": the namespace {place.namespace} does not exist"
    elif (there := nothing_to_move(client, place)) is not None:
        return CommandError(f"{what}: {there}", ExitCode.CONFIG, NEXT_VERSION)
    elif place.stack is None:
        what += f": there is no ConfigMap istio-canary-rollout-{place.service} in the namespace {place.namespace}"
    else:
        what += " yet: `canary up` writes it down"
    fix = place.up
    if place.stack is None:
        fix = "check --namespace and --context; or run `canary up` in the project, which writes the rollout"
    return CommandError(what, ExitCode.CONFIG, fix)


def nothing_to_move(client: Client, place: Place) -> str | None:
    """Return in words that all requests are where the file's rollout ends, as after the first `up` of a service.

    None if there is something to move, without a file, or if it is not known.
    """
    from rollout.schedule import ScheduleError, schedule
    from stacks.rollout_states import read_rollout_states

    if place.settings is None:
        return None
    state = read_rollout_states(client, place.settings).get(place.service)
    if state is None or not state.now:
        return None
    try:
        found = schedule(place.service, place.settings.services[place.service], place.settings.rollouts, state.now)
    except ScheduleError:
        return None
    if found is None or found.steps:
        return None
    return f"all its requests are where the file's rollout leads, at {found.target}"


def without_rollout(place: Place) -> CommandError | None:
    """Return the error for a service whose rules have no rollout in the stack's file; None if one has, or unknown."""
    from canary.rollout.engine_plan import moved_by
    from stacks.settings.problems import key_path

    loaded = place.loaded
    if loaded is None or loaded.settings.services[place.service].rolled:
        return None
    route = ("services", place.service, "route")
    engine = moved_by(place)
    if engine is not None:
        return CommandError(
            f"{engine} moves the rollout of {place.service}, and its own commands show and change it",
            ExitCode.CONFIG,
            "see `kubectl describe` of its objects in the service's namespace; to have this project move it, write "
            "engine: canary (docs/engines.md)",
        )
    line = loaded.source.line(route) if loaded.source else None
    file = loaded.source.name if loaded.source else "the stack's config"
    return CommandError(
        f"no rule of {place.service} has a rollout",
        ExitCode.CONFIG,
        "write `rollout: {steps: [{weight: 10, for: 10m}, {weight: 100}]}` beside `to`, with the new version as `to`; "
        f"then {place.up}",
        (f"in:      {file}{f':{line}' if line else ''}: {key_path(route)}", "allowed: a rule with `rollout`"),
    )
