"""`canary status`: what runs in the cluster, compared with the config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary.options import JsonOption, StackOption
from canary.ui import command

if TYPE_CHECKING:
    from rich.console import Console

    from canary.status import EnvironmentState, RuleState, ServiceState


def status(stack: StackOption = None, json: JsonOption = False) -> None:
    """Show what runs in the cluster.

    Lists versions, replicas and weights of each service, differences from the config, and the gateway's address.
    """
    with command(json) as ui:
        from canary.engine.session import open_session
        from canary.status import as_json, look

        session = open_session(ui, stack)
        state = look(session)
        ui.result(as_json(state, session.stack), lambda console: _show(console, state, session.stack))


def _show(console: Console, state: EnvironmentState, stack: str) -> None:
    from rich.table import Table

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
            ready = f"{version.ready} of {version.desired}"
            table.add_row(version.name, ready, version.image or "(not deployed)", *weights)
        console.print(table)
        for line in remarks(service, stack):
            console.print(line, style="yellow", markup=False)
    console.print(f"gateway: {state.gateway}", markup=False)
    console.print(f"mesh: {state.mesh}", markup=False)


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
    live, configured = rule.live.get(version, 0), rule.configured.get(version, 0)
    return f"{live} %" if live == configured else f"{live} % (config: {configured} %)"
