"""`canary rollout`: a rule of a route goes from one version to the next in steps."""

from __future__ import annotations

import typer

from canary.commands.rollout_abort import abort
from canary.commands.rollout_approve import approve
from canary.commands.rollout_pause import pause
from canary.commands.rollout_plan import plan
from canary.commands.rollout_promote import promote
from canary.commands.rollout_report import report
from canary.commands.rollout_resume import resume
from canary.commands.rollout_retry import retry
from canary.commands.rollout_run import run
from canary.commands.rollout_start import start
from canary.commands.rollout_status import status
from canary.commands.rollout_undo import undo

app = typer.Typer(
    name="rollout",
    help="Move a service from one version to the next in steps, watch it, and take it back.",
    epilog="Exit codes: 0 done, or completed; 7 aborted or undone; 8 held: it has not ended, run it again; the others "
    "are those of `canary --help`.",
    no_args_is_help=True,
)
for function in (plan, start, status, pause, resume, promote, approve, abort, undo, retry, report, run):
    app.command()(function)
