"""`canary rollout start`: moves a rollout forward, to its end."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, PrometheusOption, ServiceArgument, prometheus_url
from canary.ui import command

Detach = Annotated[
    bool, typer.Option("--detach", help="Go on in the background, and return once it has begun; on this machine.")
]
Timeout = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="Stop after so long, such as 50m, and exit with 8; the next start goes on from there."
    ),
]
Once = Annotated[bool, typer.Option("--once", help="One look and one action, for a job that runs every minute.")]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway", help="Also if no pod is ready, the file has changed since `up`, or gates cannot decide in time."
    ),
]


def start(
    service: ServiceArgument,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    detach: Detach = False,
    timeout: Timeout = None,
    once: Once = False,
    anyway: Anyway = False,
    prometheus: PrometheusOption = None,
    json: JsonOption = False,
) -> None:
    """Move a rollout forward, step by step, to its end; one that was interrupted goes on from where it is.

    Runs until the rollout is completed (0), aborted (7) or paused by itself (8). With Ctrl-C the rollout stays where it
    is, and the next start goes on, on any machine. `canary up` must have been run: it writes the rollout. With
    --namespace, gates and limits need --prometheus.
    """
    with command(json) as ui:
        from dataclasses import replace

        from canary.command_error import CommandError
        from canary.exit_codes import ExitCode
        from canary.rollout.group_place import group_place_of
        from canary.rollout.place import place_of
        from canary.rollout.starting import Start, begin

        if detach and (once or timeout is not None):
            raise CommandError(
                "--detach is given with --once or --timeout",
                ExitCode.CONFIG,
                fix="leave --detach out: with these, start ends by itself",
            )
        from canary.time_options import duration

        seconds = None if timeout is None else duration("--timeout", timeout)
        url = prometheus_url(prometheus)
        asked = Start(detach=detach, timeout=seconds, once=once, anyway=anyway)
        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            from canary.rollout.group_starting import begin_group

            begin_group(ui, replace(group, place=replace(group.place, prometheus=url)), asked)
            return
        place = replace(place_of(ui, service, stack, namespace, context, strict=True), prometheus=url)
        begin(ui, place, asked)
