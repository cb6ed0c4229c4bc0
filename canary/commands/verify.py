"""`canary verify`: measure the split at the gateway, and say whether it is what the config asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.exit_codes import ExitCode
from canary.failure import Failure
from canary.options import JsonOption, StackOption
from canary.ui import Ui, command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from canary.measure import Answers
    from canary.session import Session
    from canary.verification import Finding, Planned

Count = Annotated[
    int | None,
    typer.Option(
        min=1, help="Requests for each rule; left out: 2000 where weights share, 100 where one version takes all."
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Requests under way at a time.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that all requests together may take.")]
Gateway = Annotated[str | None, typer.Option(help="URL of the gateway, instead of its Service's address.")]
Significance = Annotated[
    float,
    typer.Option(min=1e-9, max=0.5, help="Probability that a right split is called wrong, over all rules together."),
]
Seed = Annotated[int, typer.Option(help="Seed for what a rule leaves open in its requests.")]


def verify(
    stack: StackOption = None,
    json: JsonOption = False,
    count: Count = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = 60.0,
    gateway: Gateway = None,
    significance: Significance = 0.001,
    seed: Seed = 0,
) -> None:
    """Measure the split at the gateway.

    Sends real requests for every rule, and compares which version answered with the weights. Ends with exit code 3
    unless every rule was measured in full and is what the stack's file says. The test is exact (binomial, by
    Clopper-Pearson intervals), its significance is shared over all comparisons (Bonferroni), and a version at 0 or
    100 percent must be met to the last request.
    """
    with command(json) as ui:
        from canary.session import open_session
        from canary.verification import all_as_wanted, as_json, conclude

        session = open_session(ui, stack)
        header = session.settings.version_header
        if header is None:
            raise Failure(
                "no answer says which version served: the setting versionHeader is off",
                ExitCode.CONFIG,
                remedy=f"set istio-canary:versionHeader: x-served-version in "
                f"{session.project.stack_file(session.stack).name}, then `canary up --stack {session.stack}`",
            )
        planned = _plan(session, gateway, count, seed)
        answers = _send(ui, planned, header, concurrency, timeout)
        findings = conclude(planned, answers, significance)
        ui.result(
            as_json(findings, session.stack, significance), lambda console: _show(console, findings, significance)
        )
        if not all_as_wanted(findings):
            raise typer.Exit(ExitCode.SPLIT)


def _plan(session: Session, gateway: str | None, count: int | None, seed: int) -> list[Planned]:
    from canary.gateway import gateway_url
    from canary.verification import addressed, at_url, plan
    from stacks.cluster import DEADLINE, ClusterUnreachable, asking

    settings = session.settings
    if not settings.services:
        raise Failure(f"the stack {session.stack} has no services to measure", ExitCode.CONFIG)
    planned = list(plan(settings, count, seed))
    if gateway is not None:
        url = gateway.rstrip("/") if "://" in gateway else f"http://{gateway.rstrip('/')}"
        return at_url(planned, url)
    ports = sorted({entry.probe.asked for entry in planned if entry.probe})
    try:
        urls = asking(
            settings,
            lambda client: {(scheme, port): gateway_url(client, settings, port, scheme) for scheme, port in ports},
            within=DEADLINE,
        )
    except ClusterUnreachable as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from None
    return addressed(planned, lambda scheme, port: urls[scheme, port])


def _send(ui: Ui, planned: list[Planned], header: str, concurrency: int, timeout: float) -> list[Answers]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from canary.measure import measure

    probes = [entry.probe for entry in planned if entry.probe]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = ui.stderr.is_terminal and not ui.json
    with Progress(*columns, console=ui.stderr, transient=True, disable=not shown) as progress:
        names = [f"{entry.service}: {entry.rule}" for entry in planned if entry.probe]
        tasks = [progress.add_task(name, total=probe.count) for name, probe in zip(names, probes, strict=True)]
        answers = measure(probes, header, concurrency, timeout, lambda index: progress.advance(tasks[index]))
    if probes and not any(entry.connected for entry in answers):
        kinds = sorted({kind for entry in answers for kind in entry.failures}) or ["no answer in time"]
        raise Failure(
            f"the gateway at {probes[0].url} does not answer",
            ExitCode.UNREACHABLE,
            remedy="see whether its pods run (`canary status`), or name a reachable address with --gateway",
            details=tuple(kinds),
        )
    return answers


def _show(console: Console, findings: list[Finding], significance: float) -> None:
    from rich.table import Table

    from canary.measure import as_curl

    table = Table("service", "rule", "version", title_justify="left")
    for name in ("wanted", "observed", "answers", f"{100 * (1 - significance):g} % interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for finding in findings:
        _add_rows(table, finding)
    console.print(table)
    for finding in findings:
        name = f"{finding.planned.service}, rule {finding.planned.index + 1}"
        if finding.answers is None:
            console.print(f"{name} was not measured: {finding.planned.reason}", markup=False)
            continue
        for kind, number in finding.answers.failures.most_common():
            console.print(f"{name}: {number} x {kind}", markup=False)
        if finding.answers.unsent:
            console.print(f"{name}: {finding.answers.unsent} requests were not answered in time", markup=False)
    console.print(
        f"{_summary(findings)} (exact binomial test, significance {significance:g} over all comparisons together)",
        markup=False,
    )
    console.print("by hand:")
    for finding in findings:
        if finding.planned.probe:
            console.print(f"  {as_curl(finding.planned.probe)}", markup=False, soft_wrap=True)


def _summary(findings: list[Finding]) -> str:
    inside = sum(1 for finding in findings if finding.planned.inside)
    asked = len(findings) - inside
    wrong = asked - sum(1 for finding in findings if finding.ok)
    rules = "1 rule" if asked == 1 else f"{asked} rules"
    told = f"{wrong} of {rules} not shown to be as wanted" if wrong else f"{rules}: all as wanted"
    return (
        f"{told if asked else 'no rule could be measured'}{f'; {inside} for callers inside the mesh' if inside else ''}"
    )


def _add_rows(table: Table, finding: Finding) -> None:
    from rich.markup import escape

    style = "green" if finding.ok else "dim" if finding.planned.inside else "bold red"
    verdict = f"[{style}]{finding.verdict}[/]"
    rule = f"{finding.planned.index + 1}. {finding.planned.rule}"
    rows = finding.shares or ()
    if not rows:
        table.add_row(finding.planned.service, escape(rule), "", "", "", "", "", verdict)
    for index, share in enumerate(rows):
        first = index == 0
        table.add_row(
            finding.planned.service if first else "",
            escape(rule) if first else "",
            share.version,
            f"{share.wanted:g} %",
            f"{share.observed:.1f} %",
            f"{share.count} of {share.total}",
            f"{100 * share.low:.1f} - {100 * share.high:.1f} %",
            verdict if first else "",
        )
