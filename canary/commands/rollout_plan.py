"""`canary rollout plan`: what a rollout would do, from where the requests go now."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ServiceArgument
from canary.ui import command

Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="argo|flagger", help="Show instead what is lost if another engine moves it."),
]


def plan(service: ServiceArgument, stack: StackOption = None, engine: Engine = None, json: JsonOption = False) -> None:
    """Show what a rollout would do; nothing is written.

    Its steps, how long each is kept, the pods that each needs beside those that are ready, what it waits for, and when
    it stops by itself. Reads where the requests go now from the cluster. With gates also how long they take at the
    traffic of the last hour, by Prometheus; ends with 2 if a step cannot decide before its deadline.
    """
    with command(json) as ui:
        from canary.rollout.forecasting import refused
        from canary.rollout.group_place import group_place_of
        from canary.rollout.place import place_of
        from canary.rollout.planning import as_json, planned, show

        group = group_place_of(ui, service, stack)
        if group is not None:
            from canary.rollout.group_showing import show_plan

            show_plan(ui, group)
            return
        place = place_of(ui, service, stack, strict=True)
        if engine is not None:
            from canary.rollout import engine_plan

            lost = engine_plan.engine_plan(place, engine)
            ui.result(engine_plan.as_json(place, lost), lambda console: engine_plan.show(console, place, lost))
            return
        found = planned(ui, place)
        ui.result(as_json(place, found), lambda console: show(console, place, found))
        problem = refused(place, found.forecast)
        if problem is not None:
            ui.fail_text(problem)
            raise typer.Exit(problem.code)
