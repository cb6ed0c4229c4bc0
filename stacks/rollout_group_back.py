"""An `up` whose file takes a service back that is rolled out with a group: then all of the group go back."""

from __future__ import annotations

from dataclasses import dataclass

from kube.client import query
from rollout.group_acting import LeftGroupError, take_back
from rollout.record import Phase
from stacks.rollout_asks import AskKind, RolloutAsk
from stacks.settings.model import Settings

WITHIN = 60.0
"""Seconds for what is done to the group's record."""


@dataclass(frozen=True, kw_only=True)
class GroupBack:
    """What was done: the stack's services that went back, and whether every Envoy is known to follow."""

    services: tuple[str, ...]
    ended: bool


def taken_back(settings: Settings, ask: RolloutAsk, by: str) -> GroupBack | None:
    """Take the group of a service back, callers first; None if the service goes alone. Raises as `group_acting` does.

    After the end it is an undo, as for one service.
    """
    record = ask.record
    group = None if record is None else record.plan.group
    if record is None or group is None or ask.kind not in (AskKind.GO_BACK, AskKind.SUPERSEDE):
        return None
    from rollout.group_runner import finish_group

    reason = f"the stack's file leads to {record.from_.version} again"
    if ask.kind is AskKind.SUPERSEDE:
        reason = f"superseded by {ask.target.version if ask.target else 'a third version'}"
    try:
        known, _ = query(
            settings.cluster, lambda client: take_back(client, group, reason, by, member=record, undo=None), WITHIN
        )
    except LeftGroupError:
        return None
    end = finish_group(settings.cluster, known, by, timeout=float(settings.taken_within + 30))
    services = tuple(one for one in end.group.services if one in settings.services)
    return GroupBack(services=services, ended=end.group.phase in (Phase.ABORTED, Phase.UNDONE))
