"""What the rollouts of a stack make of its settings: the weights that the program renders, and what an `up` must do.

The stack's file says where a rule ends, the record in the cluster how far it is. This is the one place where both meet
(`stacks/service_rollout.py` has the cases); all that comes later (environment, render, verify, status, explain) sees
effective weights and no rollouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from rollout.machine import pins
from rollout.record import Record
from stacks.rollout_asks import FIRST, AskKind, RolloutAsk
from stacks.rollout_refusals import FORCE, Refusals
from stacks.rollout_states import RolloutState
from stacks.service_rollout import Ruling, ServiceRollout
from stacks.settings.model import ServiceSettings, Settings, VersionSettings
from stacks.settings.problems import Problem
from traffic.model import Target

__all__ = ["FIRST", "AskKind", "Effective", "RolloutAsk", "during_rollout", "refuse_force", "with_rollouts"]


during_rollout: ContextVar[frozenset[str]] = ContextVar("during_rollout", default=frozenset())
"""Services whose route this run may change in the middle of a rollout: `canary up --during-rollout`."""


@dataclass(frozen=True, kw_only=True)
class Effective:
    """A stack's settings with what the records say.

    `settings` have effective weights: no rule has a `rollout` any more. They also have the numbers of pods: nothing
    goes below `pinned`, and who decides about those of `replicas_left` is the rollout, as with `replicas: null`.
    `problems` are refusals: nothing may be touched. `asks` is what a real `up` does to records; those of a kind in
    `FIRST` come before everything, and then the states are read again. `routes_left` are services whose http routes a
    preview must not compare, since the `up` first brings them back by the fast path. `leaving` are versions that lose
    their requests by that, and that may be removed by the same `up`.
    """

    settings: Settings
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    asks: tuple[RolloutAsk, ...] = ()
    pinned: Mapping[Target, int] = field(default_factory=dict)
    replicas_left: frozenset[Target] = frozenset()
    routes_left: frozenset[str] = frozenset()
    leaving: frozenset[Target] = frozenset()
    under_way: Mapping[str, Record] = field(default_factory=dict)
    """By service, the records of rollouts that are under way."""

    @property
    def comes_first(self) -> tuple[RolloutAsk, ...]:
        """What is to be done before any resource is registered."""
        return tuple(ask for ask in self.asks if ask.kind in FIRST)


def with_rollouts(
    settings: Settings,
    states: Mapping[str, RolloutState],
    file: str,
    *,
    during: AbstractSet[str] = frozenset(),
) -> Effective:
    """Return loaded settings as the rollouts in the cluster make them; `file` is the name of the stack's file.

    `states` are those of `read_rollout_states`; without any, as before the first `up`, each rule is where it ends.
    `during` are services whose route may be changed in the middle of a rollout (`canary up --during-rollout`).
    """
    nothing = RolloutState()
    rulings = {
        name: ServiceRollout(settings, name, states.get(name, nothing), file, name in during).ruling()
        for name in settings.services
        if name in states or settings.services[name].rolled
    }
    pinned = dict(_pinned(settings, rulings))
    left = frozenset(_left(settings, rulings))
    services = {
        name: _with_pods(name, service, rulings[name], pinned, left) if name in rulings else service
        for name, service in settings.services.items()
    }
    return Effective(
        settings=settings.model_copy(update={"services": services}) if rulings else settings,
        problems=tuple(problem for ruling in rulings.values() for problem in ruling.problems),
        warnings=tuple(problem for ruling in rulings.values() for problem in ruling.warnings),
        asks=_with_group(tuple(ask for ruling in rulings.values() for ask in ruling.asks)),
        pinned=pinned,
        replicas_left=left,
        under_way={name: ruling.record for name, ruling in rulings.items() if ruling.record is not None},
        routes_left=frozenset(name for name, ruling in rulings.items() if ruling.leaves_routes),
        leaving=frozenset(
            Target(ask.service, ask.record.target.version)
            for ruling in rulings.values()
            for ask in ruling.asks
            if ask.record is not None and ask.kind in (AskKind.GO_BACK, AskKind.SUPERSEDE)
        ),
    )


def _with_group(asks: tuple[RolloutAsk, ...]) -> tuple[RolloutAsk, ...]:
    """The same; a rollout that begins knows which others of its group begin by this `up`: it may die in between."""
    begins = {ask.service: ask.planned.group for ask in asks if ask.kind is AskKind.BEGIN and ask.planned}

    def known(ask: RolloutAsk) -> RolloutAsk:
        group = begins.get(ask.service) if ask.kind is AskKind.BEGIN else None
        if ask.planned is None or group is None:
            return ask
        services = tuple(service for service, one in begins.items() if one is not None and one.name == group.name)
        return replace(ask, planned=replace(ask.planned, begins_with=services))

    return tuple(known(ask) for ask in asks)


def refuse_force(
    settings: Settings, states: Mapping[str, RolloutState], file: str, environment: Mapping[str, str]
) -> Problem | None:
    """Return why a stack with rollouts is not run with this environment of the process, None if it is."""
    given = environment.get(FORCE, "")
    if given.lower() not in ("true", "1", "t"):
        return None
    for name, service in settings.services.items():
        if name in states or service.rolled:
            return Refusals(name, service, file).forced(given)
    return None


def _decides(record: Record | None) -> bool:
    """Whether a rollout decides about numbers of pods: from its first look on, until it is over."""
    return record is not None and record.phase.active and (record.started_at is not None)


def _pinned(settings: Settings, rulings: Mapping[str, Ruling]) -> Iterator[tuple[Target, int]]:
    for name, ruling in rulings.items():
        if ruling.record is not None and _decides(ruling.record):
            for version, pods in pins(ruling.record).items():
                if version in settings.services[name].deployed:
                    yield Target(name, version), pods


def _left(settings: Settings, rulings: Mapping[str, Ruling]) -> Iterator[Target]:
    for name, ruling in rulings.items():
        if ruling.record is None or not _decides(ruling.record):
            continue
        for version in (ruling.record.from_.version, ruling.record.target.version):
            given = settings.services[name].deployed.get(version)
            if given is not None and given.autoscaling is None and given.replicas is not None:
                yield Target(name, version)


def _with_pods(
    name: str, service: ServiceSettings, ruling: Ruling, pinned: Mapping[Target, int], left: AbstractSet[Target]
) -> ServiceSettings:
    versions = {
        version: _version(given, pinned.get(Target(name, version), 0), Target(name, version) in left)
        if isinstance(given, VersionSettings)
        else given
        for version, given in service.versions.items()
    }
    return service.model_copy(update={"route": ruling.route, "versions": versions})


def _version(given: VersionSettings, least: int, is_left: bool) -> VersionSettings:
    if is_left:
        return given.model_copy(update={"replicas": None})
    scaling = given.autoscaling
    if scaling is None or scaling.min_replicas >= least:
        return given
    raised = scaling.model_copy(update={"min_replicas": min(least, scaling.max_replicas)})
    return given.model_copy(update={"autoscaling": raised})
