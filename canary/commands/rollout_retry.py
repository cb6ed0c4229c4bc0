"""`canary rollout retry`: an aborted release may begin again."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, Reason, ServiceArgument, words_of
from canary.ui import command


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
        from canary.rollout.place import place_of
        from canary.rollout.retrying import retried
        from canary.rollout.verb import perform
        from rollout.bars import lift_in_routes

        why = words_of(reason)
        place = place_of(ui, service, stack, namespace, context)
        perform(
            ui,
            place,
            lambda record, by, now: retried(place, record, why, by, now),
            then=lambda client: lift_in_routes(client, place.namespace, place.service),
        )
