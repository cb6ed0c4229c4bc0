"""`canary verify`: measure the traffic split at the gateway and compare it with the config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from canary.command_error import CommandError, cluster_needed
from canary.exit_codes import ExitCode
from canary.options import JsonOption, StackOption
from canary.service_named import service_named
from canary.ui import Ui, command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from canary.engine.session import Session
    from canary.verify.measure import Answers
    from canary.verify.verification import Planned, RuleResult
    from stacks.settings.model import Settings

Services = Annotated[list[str] | None, typer.Argument(help="The services whose rules are measured; default: all.")]
Count = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Requests per rule; default: 2000 for a weighted rule, up to 50000 if a share is small, 100 for a rule "
        "with a single outcome.",
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Number of requests in flight at once.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="Time limit for all requests together, in seconds; default: 60, or 1 for every 50 requests if longer.",
    ),
]
Gateway = Annotated[str | None, typer.Option(help="URL of the gateway; default: the address of its Service.")]
Significance = Annotated[
    float,
    typer.Option(min=1e-9, max=0.5, help="Probability that a correct split fails, over all rules together."),
]
SCHEMES = ("http", "https")
SECONDS, SLOWEST = 60.0, 50
"""The default time limit in seconds, and the requests a second from which on it is longer."""
Seed = Annotated[int, typer.Option(help="Seed for the parts of a request that its rule leaves open.")]


def verify(
    services: Services = None,
    stack: StackOption = None,
    json: JsonOption = False,
    count: Count = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = None,
    gateway: Gateway = None,
    significance: Significance = 0.001,
    seed: Seed = 0,
) -> None:
    """Measure the split at the gateway.

    Sends real requests for every rule and compares the versions that answered with the weights in the stack's file, or
    with those that a rollout wants now.
    Exits with 3 unless every rule was measured in full and passes. The test is an exact binomial test (Clopper-Pearson
    intervals) with its significance divided among all comparisons (Bonferroni); a version at 0 or 100 percent must
    match to the last request. With too few requests for so small a share, even a version without any answer would pass:
    then the rule does not pass, and the output names the number that is needed.
    """
    with command(json) as ui:
        from canary.engine.session import open_session
        from canary.explain.mesh_words import unsimulated_words
        from canary.verify.verification import all_pass, as_json, conclude, counted

        url = None if gateway is None else _url(gateway)
        session = open_session(ui, stack)
        header = session.settings.version_header
        if header is None:
            raise CommandError(
                "responses do not name the version that served them: versionHeader is not set",
                ExitCode.CONFIG,
                fix=f"set istio-canary:versionHeader: x-served-version in "
                f"{session.project.stack_file(session.stack).name}, then `canary up --stack {session.stack}`",
            )
        unsimulated = unsimulated_words(session.settings)
        for words in unsimulated:
            ui.note(f"note: not simulated, so the expected shares leave it out: {words}")
        planned = counted(_plan(session, services or [], url, count, seed), count, significance)
        answers = _send(ui, planned, header, concurrency, timeout)
        results = conclude(planned, answers, significance)
        document = as_json(results, session.stack, significance, unsimulated)
        ui.result(document, lambda console: _show(console, results, significance, session.stack))
        if not all_pass(results):
            raise typer.Exit(ExitCode.SPLIT)


def _url(given: str) -> str:
    """Return the URL in --gateway, where `http://` may be left out; raises CommandError if it is not one of HTTP."""
    url = given.rstrip("/") if "://" in given else f"http://{given.rstrip('/')}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or a bracket without its pair
        valid = False
    if not valid:
        raise CommandError(
            "--gateway is not the URL of an HTTP server",
            ExitCode.CONFIG,
            fix="write it as http://<host>:<port>, for example",
            details=(f"given:   {given}", f"allowed: the schemes {' and '.join(SCHEMES)}, with a host"),
        )
    return url


def _plan(session: Session, services: list[str], url: str | None, count: int | None, seed: int) -> list[Planned]:
    from canary.gateway import gateway_url
    from canary.verify.verification import addressed, at_url, plan
    from kube.client import query

    settings = _effective(session)
    if not settings.services:
        raise CommandError(f"the stack {session.stack} has no services to measure", ExitCode.CONFIG)
    for name in services:
        service_named(settings, name)
    planned = list(plan(settings, count, seed, dict.fromkeys(services)))
    if url is not None:
        return at_url(planned, url)
    endpoints = sorted({entry.batch.endpoint for entry in planned if entry.batch})
    with cluster_needed():
        urls = query(
            settings.cluster,
            lambda client: {
                (scheme, port, pods): gateway_url(client, settings, port, scheme, pods)
                for scheme, port, pods in endpoints
            },
        )
    return addressed(planned, lambda scheme, port, pods: urls[scheme, port, pods])


def _effective(session: Session) -> Settings:
    """The settings with the weights of rollouts, which only the cluster knows."""
    from canary.effective import effective_routes, has_rollouts
    from kube.client import query

    if not has_rollouts(session.settings):
        return session.settings
    settings = session.settings
    with cluster_needed():
        return query(settings.cluster, lambda client: effective_routes(client, settings)).settings


def _send(ui: Ui, planned: list[Planned], header: str, concurrency: int, timeout: float | None) -> list[Answers]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from canary.verify.measure import measure

    batches = [entry.batch for entry in planned if entry.batch]
    seconds = timeout or max(SECONDS, sum(batch.count for batch in batches) / SLOWEST)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = ui.stderr.is_terminal and not ui.json
    with Progress(*columns, console=ui.stderr, transient=True, disable=not shown) as progress:
        names = [f"{entry.service}: {entry.rule}" for entry in planned if entry.batch]
        tasks = [progress.add_task(name, total=batch.count) for name, batch in zip(names, batches, strict=True)]
        answers = measure(batches, header, concurrency, seconds, lambda index: progress.advance(tasks[index]))
    if batches and not any(entry.connected for entry in answers):
        kinds = sorted({kind for entry in answers for kind in entry.errors}) or ["no answer in time"]
        raise CommandError(
            f"the gateway at {batches[0].url} does not answer",
            ExitCode.UNREACHABLE,
            fix="check that its pods are running (`canary status`), or pass a reachable address with --gateway",
            details=tuple(kinds),
        )
    return answers


def _show(console: Console, results: list[RuleResult], significance: float, stack: str) -> None:
    from rich.table import Table

    from canary.verify.measure import as_curl

    table = Table("service", "rule", "version", title_justify="left")
    for name in ("configured", "observed", "answers", f"{100 * (1 - significance):g} % interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for result in results:
        _add_rows(table, result)
    console.print(table)
    for result in results:
        name = f"{result.planned.service}, rule {result.planned.index + 1}"
        if result.answers is None:
            console.print(f"{name} was not measured: {result.planned.reason}", markup=False)
        if result.verdict == "not enough" or (result.answers is None and result.planned.needed):
            console.print(_needed(result, name, stack), markup=False, soft_wrap=True)
        if result.answers is None:
            continue
        for kind, number in result.answers.errors.most_common():
            console.print(f"{name}: {number} x {kind}", markup=False)
        if result.answers.unsent:
            console.print(
                f"{name}: {result.answers.unsent} requests were not answered within the time limit", markup=False
            )
    console.print(
        f"{_summary(results)} (exact binomial test, significance {significance:g} over all comparisons together)",
        markup=False,
    )
    console.print("by hand:")
    for result in results:
        if result.planned.batch:
            console.print(f"  {as_curl(result.planned.batch)}", markup=False, soft_wrap=True)


def _needed(result: RuleResult, name: str, stack: str) -> str:
    from traffic.proportions import percent_words

    needed = result.planned.needed
    command = f"canary verify {result.planned.service} --count {needed} --stack {stack}"
    smallest = min((weight, version) for version, weight in result.planned.weights.items() if weight)
    share = f"{smallest[1]} at {percent_words(smallest[0])}"
    return f"{name}: with fewer than {needed} requests, {share} would pass without any answer; to measure it: {command}"


def _summary(results: list[RuleResult]) -> str:
    from collections import Counter

    from canary.verify.verification import BY_INGRESS, CONNECTIONS, INSIDE

    exempt = Counter(result.planned.exempt for result in results if result.planned.exempt)
    measurable = len(results) - exempt.total()
    failed = measurable - sum(1 for result in results if result.passes)
    rules = "1 rule" if measurable == 1 else f"{measurable} rules"
    if not measurable:
        verdict = "no rule could be measured"
    elif failed:
        verdict = f"{failed} of {rules} {'fails' if failed == 1 else 'fail'}"
    else:
        verdict = "1 rule passes" if measurable == 1 else f"{rules}: all pass"
    words = {INSIDE: "for callers inside the mesh", BY_INGRESS: "by an Ingress", CONNECTIONS: "of connections"}
    return "; ".join([verdict, *(f"{count} {words[why]}" for why, count in exempt.items())])


def _add_rows(table: Table, result: RuleResult) -> None:
    from rich.markup import escape

    from traffic.proportions import percent_words

    style = "green" if result.passes else "dim" if result.planned.exempt else "bold red"
    verdict = f"[{style}]{result.verdict}[/]"
    rule = f"{result.planned.index + 1}. {result.planned.rule}"
    rows = result.shares or ()
    # As many decimals as the smallest share needs to be told from none.
    digits = 1 if all(share.configured in (0, 100) or 1 <= share.configured <= 99 for share in rows) else 4
    if not rows:
        table.add_row(result.planned.service, escape(rule), "", "", "", "", "", verdict)
    for index, share in enumerate(rows):
        first = index == 0
        table.add_row(
            result.planned.service if first else "",
            escape(rule) if first else "",
            share.version,
            percent_words(share.configured),
            f"{share.observed:.{digits}f} %",
            f"{share.count} of {share.total}",
            f"{100 * share.low:.{digits}f} - {100 * share.high:.{digits}f} %",
            verdict if first else "",
        )
