"""`canary rollout retry`: an aborted release may begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, Reason, ServiceArgument, words_of
from canary.ui import command

if TYPE_CHECKING:
    from rollout.decision import Decision
    from rollout.record import Record


def retry(
    service: ServiceArgument,
    reason: Reason,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Lift the bar of a release that was aborted or undone: a new rollout from the first step.

    It begins with the next `canary rollout start`. If the stack's file leads to a release that an earlier rollout has
    barred, it is that bar, and `canary up` begins the rollout. Asks for a reason: a release was given up for one.
    """
    with command(json) as ui:
        from canary.rollout.group_place import group_place_of, refuse_alone
        from canary.rollout.group_verbs import perform_on_group
        from canary.rollout.place import place_of
        from canary.rollout.retrying import retried
        from canary.rollout.verb import perform
        from rollout.bars import lift_in_routes
        from rollout.group_verbs import retry_of
        from rollout.verbs import retry as retry_alone

        why = words_of(reason)
        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            perform_on_group(
                ui, group, lambda record, by, now: retry_alone(record, why, by, now), about=retry_of, lifts_bars=True
            )
            return
        place = place_of(ui, service, stack, namespace, context)

        def decide(record: Record, by: str, now: str) -> Decision:
            refuse_alone(place, record, "retry")
            return retried(place, record, why, by, now)

        perform(
            ui,
            place,
            decide,
            then=lambda client: lift_in_routes(client, place.namespace, place.service),
        )
