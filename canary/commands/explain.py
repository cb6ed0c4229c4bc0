"""`canary explain`: where a request is routed, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.ui import command

if TYPE_CHECKING:
    from rich.console import Console

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
    stack: StackOption = None,
    json: JsonOption = False,
) -> None:
    """Explain where a request is routed.

    Shows the rule that decides and its line in the stack's file, the version that gets the request, and why the earlier
    rules did not match. Needs no cluster: the decision of istiod and Envoy is simulated from the stack's file.
    """
    with command(json) as ui:
        from canary.explain.decision_words import Explanation, Places, as_json
        from canary.explain.explanation import Question, caller_note, request_of, settings_of
        from stacks.settings.loading import warnings
        from stacks.settings.problems import key_path
        from stacks.simulator import simulator_of

        name, settings, source_file = settings_of(stack)
        question = Question(service, path, method, tuple(headers or ()), source, host, port, https)
        decision = simulator_of(settings).decide(request_of(settings, question))
        note = caller_note(settings, source)
        if note is not None:
            ui.note(f"note: {note}")
        for warning in warnings(settings, source_file):
            if f"{warning.path}.".startswith(f"{key_path(('services', service))}."):
                ui.note(f"warning: {warning}")
        explanation = Explanation(service, decision, Places(settings, source_file))
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
