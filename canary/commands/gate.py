"""`canary gate`: tells other engines of rollouts whether a canary may rise."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.options import StackOption
from canary.ui import command

app = typer.Typer(
    name="gate", help="Answer Argo Rollouts and Flagger whether a canary that they move may rise.", no_args_is_help=True
)
Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", "-n", help="A namespace whose canaries are judged, in place of a stack; may be repeated."
    ),
]
Prometheus = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="With --namespace: the Prometheus that is asked.")
]
Context = Annotated[
    str | None, typer.Option("--context", help="With --namespace: a context of the kubeconfig; default: the current.")
]
Listen = Annotated[
    str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where it listens; others than this machine reach it.")
]


@app.callback()
def gate() -> None:
    """Keeps `serve` a command of its own."""


@app.command()
def serve(
    stack: StackOption = None,
    namespace: Namespaces = None,
    prometheus: Prometheus = None,
    context: Context = None,
    listen: Listen = "127.0.0.1:8087",
) -> None:
    """Serve the verdicts of the gates on canaries that another engine moves, until Ctrl-C.

    GET /<namespace>/<service> answers with JSON: the answer, whether it is a pass or harm, the evidence and why. POST
    to confirm-traffic-increase, confirm-promotion and rollback below it answers Flagger's webhooks by the status. No
    data is neither a pass nor a failure. It listens on this machine alone unless --listen says otherwise.
    """
    with command(False) as ui:
        from canary.gate.serving import Asked
        from canary.gate.serving import serve as serve_gates

        serve_gates(ui, Asked(stack, tuple(namespace or ()), prometheus, context, listen))
