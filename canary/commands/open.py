"""`canary open`: a console or a service of the stack, on a local port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.command_error import CommandError, cluster_needed
from canary.exit_codes import ExitCode
from canary.options import StackOption
from canary.ui import Ui, command

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.open_target import Target

Name = Annotated[str, typer.Argument(help="kiali, grafana, prometheus, jaeger, or a service of the stack.")]
Port = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        help="Local port, or the next free one; default: kiali 20001, grafana 3000, prometheus 9090, jaeger 16686, "
        "services 8080.",
    ),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the URL.")]


def open_name(name: Name, stack: StackOption = None, port: Port = None, no_browser: NoBrowser = False) -> None:
    """Open a console or a service in the browser.

    Forwards a local port to it through the API server until Ctrl-C, and prints the URL. A service is opened at the
    gateway, so that its route applies.
    """
    with command(json=False) as ui:
        from canary.engine.session import open_session
        from canary.open_target import target_of

        session = open_session(ui, stack)
        stack_file = session.project.stack_file(session.stack).name
        target = target_of(session.settings, name, session.stack, stack_file)
        if isinstance(target, str):
            _print(ui, target, not no_browser)
        else:
            _forward(ui, session, name, target, port, not no_browser)


def _forward(ui: Ui, session: Session, name: str, target: Target, port: int | None, with_browser: bool) -> None:
    """Forward a local port to the target until Ctrl-C; raises CommandError."""
    from kube.port_forward import LocalPortError, PortForward
    from kube.service_pods import PortForwardError, ServiceNotFoundError

    cluster, local_port = session.settings.cluster, port or target.local_port
    try:
        with (
            cluster_needed(),
            PortForward(
                cluster, target.namespace, target.service, target.port, local_port=local_port, note=ui.note
            ) as forward,
        ):
            opened = target.at_port(forward.local_port)
            try:
                ui.note(
                    f"forwarding local port {opened.local_port} to pod {opened.namespace}/{forward.pod}; Ctrl-C stops"
                )
                for note in opened.notes:
                    ui.note(note)
                _print(ui, opened.url, with_browser and opened.for_browser)
                forward.wait()
            except KeyboardInterrupt:
                ui.note("stopped")
    except ServiceNotFoundError as error:
        message = f"{name} is not deployed: {error.message}"
        raise CommandError(message, ExitCode.UNREACHABLE, fix=target.created_by) from None
    except PortForwardError as error:
        code = ExitCode.FAILED if isinstance(error, LocalPortError) else ExitCode.UNREACHABLE
        raise CommandError(error.message, code, fix=error.fix, details=error.details) from None


def _print(ui: Ui, url: str, with_browser: bool) -> None:
    from canary.browser import show

    ui.stdout.print(url, markup=False, soft_wrap=True)
    if with_browser:
        show(url)
