"""`canary status`: what runs in the cluster, compared with the config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.command_error import CommandError
from canary.consoles import Availability
from canary.exit_codes import ExitCode
from canary.options import JsonOption, StackOption
from canary.ui import command

if TYPE_CHECKING:
    from rich.console import Console

    from canary.status import EnvironmentState, RuleState, ServiceState


Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Show weights, traffic and pods of each version until Ctrl-C.")
]
Interval = Annotated[
    float | None, typer.Option(min=0.2, max=3600, help="With --watch: seconds between refreshes; default: 1.")
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="With --watch: how much traffic each refresh covers, such as 30s; default: two scrape intervals and 1 s.",
    ),
]


def status(
    stack: StackOption = None,
    json: JsonOption = False,
    watch: Watch = False,
    interval: Interval = None,
    window: Window = None,
) -> None:
    """Show what runs in the cluster.

    Lists versions, replicas and weights of each service, differences from the config, the gateway's address, which
    consoles there are, and with revisions of Istio how many proxies belong to each.
    With --watch, shows live weights, the share of requests, their rate, success and p95, and pods of each version, as
    Prometheus and the cluster know them; with --json, one JSON document on each line.
    """
    with command(json) as ui:
        from canary.engine.session import open_session

        if not watch and (interval, window) != (None, None):
            raise CommandError(
                "--interval and --window have no effect without --watch",
                ExitCode.CONFIG,
                fix="add --watch, or leave them out",
            )
        if watch:
            from canary.time_options import duration
            from canary.watch.loop import watch as watch_stack

            seconds = None if window is None else duration("--window", window)
            watch_stack(ui, open_session(ui, stack), 1.0 if interval is None else interval, seconds)
            return

        from canary.status import as_json, look

        session = open_session(ui, stack)
        state = look(session)
        ui.result(as_json(state, session.stack), lambda console: _show(console, state, session.stack))


def _show(console: Console, state: EnvironmentState, stack: str) -> None:
    from rich.table import Table

    from canary.proxies import has_revisions, remarks_on, table_of

    if not state.deployed:
        console.print(f"stack {stack} is not deployed (`canary up --stack {stack}`)")
        return
    for service in state.services:
        table = Table(title=f"{service.name} (namespace {service.namespace})", title_justify="left")
        for name in ("version", "ready", "image"):
            table.add_column(name)
        for rule in service.rules:
            table.add_column(rule.name, justify="right")
        for version in service.versions:
            weights = [_weight(rule, version.name) for rule in service.rules]
            is_host = version.elsewhere and not (version.desired or version.image)
            decided_by = f" ({version.decided_by})" if version.decided_by else ""
            ready = "-" if is_host else f"{version.ready} of {version.desired}{decided_by}"
            image = version.image or (version.elsewhere and f"({version.elsewhere})") or "(not deployed)"
            table.add_row(version.name, ready, image, *weights)
        console.print(table)
        console.print(f"strategy: {service.strategy}", markup=False)
        if service.rollout:
            console.print(f"rollout: {service.rollout}", markup=False)
        for line in remarks(service, stack):
            console.print(line, style="yellow", markup=False)
    console.print(f"gateway: {state.gateway}", markup=False)
    for port, url in list(state.gateway_ports.items())[1:]:
        console.print(f"gateway port {port}: {url}", markup=False)
    console.print(f"mesh: {state.mesh}", markup=False)
    if has_revisions(state.proxies):
        console.print(table_of(state.proxies))
        for line in remarks_on(state.proxies, stack):
            console.print(line, style="yellow", markup=False)
    for name, summary in state.consoles.items():
        how = f" (`canary open {name} --stack {stack}`)" if summary == Availability.ON else ""
        console.print(f"{name}: {summary}{how}", markup=False)


def remarks(service: ServiceState, stack: str) -> list[str]:
    """Return what differs between the cluster, the state and the config, each with the commands that fix it."""
    if service.drift == "edited":
        revert = f"`canary refresh --stack {stack}`, then `canary up --stack {stack}`"
        return [f"{service.name}: the routing was edited outside the stack; to revert: {revert}"]
    if service.drift == "pending":
        return [
            f"{service.name}: routing changes in the config are not deployed; to deploy: `canary up --stack {stack}`"
        ]
    return []


def _weight(rule: RuleState, version: str) -> str:
    from traffic.proportions import percent_words

    live, configured = rule.live.get(version, 0), rule.configured.get(version, 0)
    words = percent_words(live)
    return words if live == configured else f"{words} (config: {percent_words(configured)})"
