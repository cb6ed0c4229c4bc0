"""Options shared by the commands."""

from __future__ import annotations

from typing import Annotated

import typer

StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack", "-s", help="The stack; default: $PULUMI_STACK, or the one selected with `pulumi stack select`."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a single JSON document on stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Skip the preview and the confirmation.")]
