"""Arguments and options of the `canary rollout` commands."""

from __future__ import annotations

from typing import Annotated

import typer

ServiceArgument = Annotated[str, typer.Argument(help="The service whose rollout it is, or a group of services.")]
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
OptionalReason = Annotated[
    list[str] | None, typer.Argument(metavar="REASON", help="Why, in any words; it is kept with the rollout.")
]
Reason = Annotated[
    list[str], typer.Argument(metavar="REASON", help="What has changed, in any words; it is kept with the rollout.")
]


def words_of(reason: list[str] | None, otherwise: str = "") -> str:
    """Return a reason as it was typed, with or without quotes."""
    return " ".join(reason or ()).strip() or otherwise
