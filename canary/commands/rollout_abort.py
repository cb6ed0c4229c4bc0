"""`canary rollout abort`: all requests go back, and the release is barred."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, OptionalReason, ServiceArgument, words_of
from canary.ui import command


def abort(
    service: ServiceArgument,
    reason: OptionalReason = None,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Bring all requests back to the version before, now.

    The release gets no requests again, whatever `up` is run, until `canary rollout retry`. Needs neither a runner nor
    metrics, and of the stack's file only the service's namespace and the cluster; with --namespace no file at all. A
    service of a group takes the group back with it, callers first.
    """
    with command(json) as ui:
        from canary.rollout.first_write import BY_HAND
        from canary.rollout.group_place import group_place_of
        from canary.rollout.group_verbs import group_goes_back
        from canary.rollout.place import place_of
        from canary.rollout.verb import go_back
        from rollout.verbs import abort as aborted

        why = words_of(reason, BY_HAND)
        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            group_goes_back(ui, group, why)
            return
        place = place_of(ui, service, stack, namespace, context, light=True)
        go_back(ui, place, lambda record, by, now: aborted(record, why, by, now), reason=why)
