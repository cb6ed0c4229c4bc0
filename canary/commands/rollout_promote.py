"""`canary rollout promote`: the present step has been kept long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, OptionalReason, ServiceArgument, words_of
from canary.ui import command

if TYPE_CHECKING:
    from rollout.decision import Decision
    from rollout.record import Record

Full = Annotated[bool, typer.Option("--full", help="Go to the last step at once.")]
DespiteHarm = Annotated[
    bool, typer.Option("--despite-harm", help="Also when a limit is broken, for this step; needs a reason.")
]


def promote(
    invocation: typer.Context,
    service: ServiceArgument,
    reason: OptionalReason = None,
    full: Full = False,
    despite_harm: DespiteHarm = False,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """End the hold of the present step.

    Also in place of an approval. Pods, windows and hooks still count. With gates that do not let it rise, a reason is
    asked for.
    """
    with command(json) as ui:
        from canary.command_error import CommandError
        from canary.exit_codes import ExitCode
        from canary.rollout.evidence import read_unproved
        from canary.rollout.group_place import group_place_of, refuse_alone
        from canary.rollout.group_verbs import perform_on_group
        from canary.rollout.place import place_of
        from canary.rollout.verb import once, perform
        from rollout.verbs import promote as promoted

        why = words_of(reason)
        group = group_place_of(ui, service, stack, namespace, context)
        place = place_of(ui, service, stack, namespace, context) if group is None else group.place
        if despite_harm and not why:
            raise CommandError(
                "--despite-harm is given without a reason",
                ExitCode.CONFIG,
                fix=place.command("promote", "'why the harm is accepted'", "--despite-harm"),
            )
        places = [place] if group is None else [group.of(one.service) for one in group.group.members]
        missing = {} if why else {one.service: read_unproved(one) for one in places}

        def decide(record: Record, by: str, now: str) -> Decision:
            if group is None:
                refuse_alone(place, record, "promote")
            unproved = missing.get(record.service, "")
            return promoted(record, why, by, now, full=full, despite_harm=despite_harm, unproved=unproved)

        if group is not None:
            perform_on_group(ui, group, decide)
            return
        perform(ui, place, once(invocation.obj, decide))
