"""`canary explain`: where a request is routed, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.ui import command

if TYPE_CHECKING:
    from rich.console import Console

    from canary.explain.callers import ByVersion
    from canary.explain.decision_words import Explanation

Service = Annotated[str, typer.Argument(help="The service that is called.")]
Path = Annotated[str, typer.Argument(help="Path and query string of the request.")]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, 'name: value'; repeatable.")]
Method = Annotated[
    str | None,
    typer.Option("--request", "-X", help="HTTP method of the request; default: GET, and POST for a service of gRPC."),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WORKLOAD",
        help="The caller inside the mesh: <service>/<version>, <service>, or <namespace>/<name> for workloads outside "
        "the stack; default: a caller outside the mesh.",
    ),
]
Host = Annotated[str | None, typer.Option(help="Host of the request; default: one of the service's hosts.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the request; default: the service's port.")]
ClientIp = Annotated[
    str | None, typer.Option("--client-ip", metavar="ADDRESS", help="Address of the caller, as the gateway sees it.")
]
Claims = Annotated[
    list[str] | None,
    typer.Option("--claim", metavar="NAME=VALUE", help="A claim of the caller's valid token; repeatable."),
]
Https = Annotated[bool, typer.Option("--https", help="Send the request by HTTPS.")]


def explain(
    service: Service,
    path: Path = "/",
    headers: Headers = None,
    method: Method = None,
    source: Source = None,
    host: Host = None,
    port: Port = None,
    https: Https = False,
    client_ip: ClientIp = None,
    claims: Claims = None,
    stack: StackOption = None,
    json: JsonOption = False,
) -> None:
    """Explain where a request is routed.

    Shows the rule that decides and its line in the stack's file, the version that gets the request, and why the earlier
    rules did not match. Needs no cluster: the decision of istiod and Envoy is simulated from the stack's file.
    """
    with command(json) as ui:
        from canary.explain.callers import ByVersion, decide, unknown_labels
        from canary.explain.decision_json import as_json
        from canary.explain.decision_words import Explanation, Places
        from canary.explain.explanation import Question, caller_note, request_of, settings_of
        from canary.explain.mesh_words import mesh_notes
        from stacks.rollouts import not_started
        from stacks.settings.loading import warnings
        from stacks.settings.problems import key_path
        from stacks.simulator import simulator_of

        name, settings, source_file = settings_of(stack)
        question = Question(
            service,
            path,
            method,
            tuple(headers or ()),
            source,
            host,
            port,
            https,
            client_ip,
            tuple(claims or ()),
        )
        simulator = simulator_of(not_started(settings))
        decisions = decide(settings, simulator, question)
        decision = next(iter(decisions.values()))
        for note in filter(None, (caller_note(settings, source), unknown_labels(settings, decision))):
            ui.note(f"note: {note}")
        for warning in warnings(settings, source_file):
            if f"{warning.path}.".startswith(f"{key_path(('services', service))}."):
                ui.note(f"warning: {warning}")
        places = Places(settings, source_file)
        for mesh_note in mesh_notes(places):
            ui.note(f"note: {mesh_note}")
        if len(decisions) > 1:
            asked = Explanation(service, simulator.decide(request_of(settings, question)), places)
            depends = ByVersion({caller: Explanation(service, one, places) for caller, one in decisions.items()})
            ui.result(depends.as_json(asked, name), lambda console: _show_callers(console, asked, depends))
            return
        explanation = Explanation(service, decision, places)
        ui.result(as_json(explanation, name), lambda console: _show(console, explanation))


def _show(console: Console, explanation: Explanation) -> None:
    console.print(explanation.request, markup=False, soft_wrap=True)
    console.print(explanation.result, markup=False, style="bold", soft_wrap=True)
    for line in filter(None, (explanation.rule, *explanation.details)):
        console.print(line, markup=False)
    if explanation.before:
        console.print("\nEarlier rules that did not match:", markup=False)
    for rule, reasons in explanation.before:
        console.print(f"  {rule}", markup=False)
        for reason in reasons:
            console.print(f"    {reason}", markup=False)


def _show_callers(console: Console, asked: Explanation, depends: ByVersion) -> None:
    console.print(asked.request, markup=False, soft_wrap=True)
    first, *rest = depends.lines
    console.print(first, markup=False, style="bold", soft_wrap=True)
    for line in rest:
        console.print(line, markup=False, soft_wrap=True)
