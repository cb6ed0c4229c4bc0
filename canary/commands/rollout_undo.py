"""`canary rollout undo`: all requests go back after the end of a rollout."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, OptionalReason, ServiceArgument, words_of
from canary.ui import command


def undo(
    service: ServiceArgument,
    reason: OptionalReason = None,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Bring all requests back after a rollout has ended, while the version before stays (`keepPrevious`).

    Its pods are added first where they are fewer. The release is barred, as after an abort.
    """
    with command(json) as ui:
        from canary.rollout.first_write import BY_HAND
        from canary.rollout.group_place import group_place_of
        from canary.rollout.group_verbs import group_goes_back
        from canary.rollout.place import place_of
        from canary.rollout.verb import go_back
        from rollout.verbs import undo as undone

        why = words_of(reason, BY_HAND)
        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            group_goes_back(ui, group, why, undo=True)
            return
        place = place_of(ui, service, stack, namespace, context)
        go_back(ui, place, lambda record, by, now: undone(record, why, by, now), reason=why, undo=True)
