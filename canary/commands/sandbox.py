"""`canary sandbox`: a real one-machine Kubernetes for a machine that has none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from canary.exit_codes import ExitCode

app = typer.Typer(
    name="sandbox",
    help="A real one-machine Kubernetes, for a machine that has none.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option("--name", envvar="ISTIO_CANARY_SANDBOX", help="name of the sandbox")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")]


@contextmanager
def _reporting_errors(as_json: bool) -> Iterator[None]:
    """Report an error of the sandbox as one message, and exit with its code."""
    from sandbox.builder.commands import BuildError
    from sandbox.builder.preflight import PreflightError
    from sandbox.cluster.lifecycle import SandboxError
    from sandbox.cluster.namespaces import NamespaceError
    from sandbox.layout import LayoutError

    codes: dict[type[Exception], ExitCode] = {
        PreflightError: ExitCode.MACHINE,
        LayoutError: ExitCode.CONFIG,
        BuildError: ExitCode.FAILED,
        SandboxError: ExitCode.FAILED,
        NamespaceError: ExitCode.FAILED,
    }
    try:
        yield
    except tuple(codes) as error:
        code = codes[type(error)]
        if as_json:
            typer.echo(json.dumps({"error": {"code": int(code), "message": str(error)}}))
        else:
            typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(code) from None


@app.command()
def up(name: Name = "sandbox", as_json: Json = False) -> None:
    """Build what is missing, start what does not run, and wait until the cluster is ready. Safe to repeat."""
    with _reporting_errors(as_json):
        from sandbox.cluster import lifecycle
        from sandbox.progress import progress

        here = lifecycle.up(name, progress())
        if as_json:
            typer.echo(json.dumps(lifecycle.status(name).as_dict()))
            return
        typer.echo(f"sandbox {name} is up: context {here.context}, kubeconfig {here.kubeconfig}")
        typer.echo(f"gateway, once a stack has deployed one: {here.gateway_url}")


@app.command()
def down(
    name: Name = "sandbox",
    delete: Annotated[bool, typer.Option("--delete", help="also delete the cluster's data and keys")] = False,
    as_json: Json = False,
) -> None:
    """Stop the sandbox: no process, mount, interface, iptables chain or cgroup is left. The next `up` resumes it."""
    with _reporting_errors(as_json):
        from sandbox.cluster import lifecycle
        from sandbox.progress import progress

        lifecycle.down(name, delete=delete, progress=progress())
        if as_json:
            typer.echo(json.dumps(lifecycle.status(name).as_dict()))
        else:
            typer.echo(f"sandbox {name} is {'deleted' if delete else 'down'}")


@app.command()
def status(name: Name = "sandbox", as_json: Json = False) -> None:
    """Show what runs, in which versions, and where its logs are. Exit code 0 when the sandbox is up, 1 otherwise."""
    with _reporting_errors(as_json):
        from sandbox.cluster import lifecycle

        found = lifecycle.status(name)
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    else:
        _print_status(found)
    raise typer.Exit(ExitCode.OK if found.state == "up" else ExitCode.FAILED)


@app.command()
def logs(
    daemon: Annotated[str | None, typer.Argument(help="etcd, kube-apiserver, kubelet, …; omit to list all")] = None,
    name: Name = "sandbox",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="number of lines from the end")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep printing new lines")] = False,
) -> None:
    """Print the end of a daemon's log."""
    import subprocess

    from sandbox.layout import layout

    with _reporting_errors(False):
        folder = layout(name).logs
    known = sorted(file.stem for file in folder.glob("*.log"))
    if daemon is None:
        for log in known:
            typer.echo(f"{log:<26}{folder / log}.log")
        return
    if daemon not in known:
        fix = "name one of these" if known else f"start the sandbox: canary sandbox up --name {name}"
        typer.secho(
            f"error: sandbox {name} has no log of {daemon!r}\n"
            f"    allowed: {', '.join(known) or 'none yet'}\n"
            f"    fix:     {fix}",
            err=True,
            fg="red",
        )
        raise typer.Exit(ExitCode.CONFIG)
    command = [
        "tail",
        f"--lines={lines}",
        *(["--follow=name"] if follow else []),
        str(folder / f"{daemon}.log"),
    ]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command()
def kubeconfig(name: Name = "sandbox") -> None:
    """Print the path of the kubeconfig: export KUBECONFIG=$(canary sandbox kubeconfig)."""
    from sandbox.layout import layout

    with _reporting_errors(False):
        path = layout(name).kubeconfig
    if not path.exists():
        typer.secho(
            f"error: sandbox {name} has no kubeconfig yet\n    fix: start it: canary sandbox up --name {name}",
            err=True,
            fg="red",
        )
        raise typer.Exit(ExitCode.FAILED)
    typer.echo(path)


def _print_status(found: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from sandbox.cluster.lifecycle import Status

    assert isinstance(found, Status)
    console = Console()
    console.print(f"sandbox [bold]{found.name}[/bold] is [bold]{found.state}[/bold]")
    if found.daemons:
        table = Table("daemon", "state", "PID", "uptime", box=None, pad_edge=False)
        for daemon in found.daemons:
            table.add_row(daemon.name, daemon.state, str(daemon.pid or "-"), f"{daemon.uptime_seconds} s")
        console.print(table)
        console.print(f"node ready: {'yes' if found.node_ready else 'no'}")
    if found.state == "absent":
        console.print(f"start it: canary sandbox up --name {found.name}")
        return
    for title, value in (
        ("versions", ", ".join(f"{program} {version}" for program, version in found.versions.items())),
        ("API server", found.api_server),
        ("gateway", found.gateway),
        ("kubeconfig", f"{found.kubeconfig} (context {found.context})"),
        ("logs", found.logs),
    ):
        console.print(f"{title:<11} {value}", soft_wrap=True)
