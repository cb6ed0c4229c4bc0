"""`canary rollout pause`: the weight stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, OptionalReason, ServiceArgument, words_of
from canary.ui import command

if TYPE_CHECKING:
    from rollout.decision import Decision
    from rollout.record import Record

For = Annotated[
    str | None,
    typer.Option("--for", metavar="DURATION", help="How long, such as 30m; default: until `canary rollout resume`."),
]


def pause(
    service: ServiceArgument,
    reason: OptionalReason = None,
    pause_for: For = None,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Keep the weight of a rollout as it is.

    It goes on after --for, or with `canary rollout resume`. What must bring the requests back, such as pods that are
    not ready or a broken limit, still does, as long as a runner watches.
    """
    with command(json) as ui:
        from canary.rollout.group_place import group_place_of
        from canary.rollout.group_verbs import perform_on_group
        from canary.rollout.place import place_of
        from canary.rollout.verb import perform
        from canary.time_options import duration
        from rollout.verbs import pause as paused

        long = None if pause_for is None else duration("--for", pause_for)
        why = words_of(reason)

        def decide(record: Record, by: str, now: str) -> Decision:
            return paused(record, why, by, now, seconds_long=long)

        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            perform_on_group(ui, group, decide)
            return
        perform(ui, place_of(ui, service, stack, namespace, context), decide)
