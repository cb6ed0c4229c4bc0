"""The `canary` command. Each command imports what it needs only when it runs, so that `canary --help` is fast."""

from __future__ import annotations

import typer

from canary.commands.cancel import cancel
from canary.commands.check import check
from canary.commands.destroy import destroy
from canary.commands.diff import diff
from canary.commands.explain import explain
from canary.commands.gate import app as gate
from canary.commands.open import open_name
from canary.commands.preview import preview
from canary.commands.refresh import refresh
from canary.commands.render import render
from canary.commands.report import report
from canary.commands.rollout import app as rollout
from canary.commands.sandbox import app as sandbox
from canary.commands.schema import schema
from canary.commands.status import status
from canary.commands.undo import undo
from canary.commands.up import up
from canary.commands.verify import verify

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 invalid settings or usage, nothing changed; "
    "3 the measured split is not as configured; 4 the stack is locked; 5 cluster, gateway or Prometheus unreachable; "
    "6 this machine cannot run a sandbox; 7 the rollout was aborted or undone; 8 the rollout has not ended; "
    "9 a mandatory policy is violated; "
    "10 diff --exit-code: there are differences; 130 interrupted."
)

app = typer.Typer(
    name="canary",
    help="Canary releases with Istio and Pulumi: route a few requests to a new version, and measure the split.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for function in (
    preview,
    up,
    undo,
    verify,
    explain,
    check,
    diff,
    render,
    status,
    report,
    refresh,
    destroy,
    cancel,
    schema,
):
    app.command()(function)
app.command("open")(open_name)
app.add_typer(rollout)
app.add_typer(gate)
app.add_typer(sandbox)
