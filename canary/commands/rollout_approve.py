"""`canary rollout approve`: a person allows the step after one with `approve: true`."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, ServiceArgument
from canary.ui import command


def approve(
    service: ServiceArgument,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Approve that the rollout goes on after a step with `approve: true`.

    The step is still kept for its time. To end it at once: `canary rollout promote`.
    """
    with command(json) as ui:
        from canary.rollout.group_place import group_place_of
        from canary.rollout.group_verbs import perform_on_group
        from canary.rollout.place import place_of
        from canary.rollout.verb import perform
        from rollout.verbs import approve as approved

        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            perform_on_group(ui, group, approved)
            return
        perform(ui, place_of(ui, service, stack, namespace, context), approved)
