"""Options that the commands share."""

from __future__ import annotations

from typing import Annotated

import typer

StackOption = Annotated[
    str | None,
    typer.Option("--stack", "-s", help="The stack; left out: $PULUMI_STACK, or what `pulumi stack select` chose."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without a preview and without asking.")]
