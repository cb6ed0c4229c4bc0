"""Arguments and options of the `canary rollout` commands."""

from __future__ import annotations

from typing import Annotated

import typer

ServiceArgument = Annotated[str, typer.Argument(help="The service whose rollout it is.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="The service's namespace, in place of a stack: then no file is read, and the cluster is kubectl's.",
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="With --namespace: a context of the kubeconfig; default: the current.")
]
ReasonArgument = Annotated[str, typer.Argument(help="Why; it is kept with the rollout.")]
