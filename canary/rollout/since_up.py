"""Whether the stack's file still says what the rollout's record was made from, by the last `up`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from canary.rollout.place import Place
from rollout.record import Record, Release

if TYPE_CHECKING:
    from stacks.settings.model import Settings


def other_target(place: Place, record: Record) -> str | None:
    """Return in words that the file leads to another release than the record; None if not, or without a file."""
    settings = place.settings
    if settings is None:
        return None
    service = settings.services[place.service]
    targets = list(dict.fromkeys(str(rule.to) for rule in service.rolled))
    file = _file(place)
    if not targets:
        return f"{file} has no rollout for {place.service} any more, the cluster has one to {record.target.version}"
    if record.target.version not in targets:
        return f"{file} leads to {' and '.join(targets)}, the rollout in the cluster to {record.target.version}"
    if _differs(settings, place.service, record.target):
        return (
            f"{record.target.version} of {place.service} in {file} is another one than in the cluster: its pods differ"
        )
    return None


def changes(place: Place, record: Record) -> list[str]:
    """Return what else the file says otherwise than the record, in words; empty without a file."""
    return [] if place.settings is None else list(_changes(place, place.settings, record))


def _changes(place: Place, settings: Settings, record: Record) -> Iterator[str]:
    from rollout.schedule import ScheduleError
    from stacks.rollout_plans import rollout_plan

    file = _file(place)
    if _differs(settings, place.service, record.from_):
        yield f"{record.from_.version} of {place.service} in {file} is another one than in the cluster: its pods differ"
    try:
        planned = rollout_plan(settings, place.service, record.plan.start)
    except ScheduleError as error:
        yield str(error).splitlines()[0]
        return
    if planned is None:
        yield f"{file} has nothing to move for {place.service}"
        return
    if planned.schedule.plan(record.plan.routes).digest != record.plan.digest:
        yield f"the rules, the steps or the strategy in {file} are not those of the rollout in the cluster"
    elif planned.group != record.plan.group:
        yield f"the group of {place.service} in {file} is not the one of the rollout in the cluster"
    elif record.plan.routes != planned.name:
        yield f"the route of {place.service} in {file} is not the one in the cluster"


def _differs(settings: Settings, service: str, release: Release) -> bool:
    """Whether the file has another release under the same name; not if the stack does not deploy it."""
    from stacks.template_hash import template_hash

    try:
        return template_hash(settings, service, release.version) != release.hash
    except KeyError:
        return False


def _file(place: Place) -> str:
    source = place.loaded.source if place.loaded else None
    return source.name if source else "the stack's config"
