"""`canary rollout run`: the runner in the cluster, which moves the rollouts of namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canary.rollout.options import PrometheusOption, prometheus_url
from canary.ui import command

Namespaces = Annotated[
    list[str],
    typer.Option("--namespace", "-n", help="A namespace whose rollouts are run; may be given several times."),
]
Context = Annotated[str | None, typer.Option("--context", help="A context of the kubeconfig; default: the current.")]
Once = Annotated[
    bool, typer.Option("--once", help="One look at each rollout and one action, for a CronJob that runs every minute.")
]
ProbeFolder = Annotated[
    Path | None,
    typer.Option(
        "--probe-folder",
        metavar="FOLDER",
        help="Touch the files `alive`, and after a reading that succeeds `ready`, in this folder: for a pod's probes.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document in each line, one for each change.")]


def run(
    namespace: Namespaces,
    context: Context = None,
    prometheus: PrometheusOption = None,
    once: Once = False,
    probe_folder: ProbeFolder = None,
    json: Json = False,
) -> None:
    """Move the rollouts of namespaces, as the runner in the cluster: those with `autoStart`, and those under way.

    Reads the records there and needs neither a stack's file nor Pulumi. It takes each rollout, and each group, whose
    lease is free, and runs until a signal ends it; then the rollouts stay where they are, and the next runner goes on.
    Without --prometheus, steps with gates or limits are held. With --once it ends with 1 if a rollout could not be
    moved.
    """
    with command(json) as ui:
        from canary.rollout.running import Run, move

        move(ui, Run(tuple(dict.fromkeys(namespace)), context, prometheus_url(prometheus), once, probe_folder))
