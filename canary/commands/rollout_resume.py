"""`canary rollout resume`: a paused rollout goes on."""

from __future__ import annotations

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, ServiceArgument
from canary.ui import command


def resume(
    invocation: typer.Context,
    service: ServiceArgument,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Let a paused rollout go on.

    Deadlines that have passed begin again. If somebody else has changed the routes meanwhile, they are written again as
    the rollout wants them.
    """
    with command(json) as ui:
        from canary.rollout.group_place import group_place_of
        from canary.rollout.group_verbs import perform_on_group
        from canary.rollout.place import place_of
        from canary.rollout.verb import once, perform
        from rollout.verbs import resume as resumed

        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            perform_on_group(ui, group, resumed, about=lambda record: record.paused is not None)
            return
        perform(ui, place_of(ui, service, stack, namespace, context), once(invocation.obj, resumed))
