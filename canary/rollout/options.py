"""Arguments and options of the `canary rollout` commands."""

from __future__ import annotations

import re
from typing import Annotated

import typer

URL = re.compile(r"https?://[A-Za-z0-9\[][A-Za-z0-9.:\]-]*(/[^\s?#@]*)?|")

ServiceArgument = Annotated[str, typer.Argument(help="The service whose rollout it is, or a group of services.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="The service's namespace, in place of a stack: then no file is read, and the cluster is kubectl's.",
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="With --namespace: a context of the kubeconfig; default: the current.")
]
PROMETHEUS_VARIABLE = "ISTIO_CANARY_PROMETHEUS"
PrometheusOption = Annotated[
    str | None,
    typer.Option(
        "--prometheus",
        metavar="URL",
        envvar=PROMETHEUS_VARIABLE,
        help="The Prometheus that gates and limits are read from, such as http://prometheus.istio-system:9090; "
        "default: the stack's.",
    ),
]
OptionalReason = Annotated[
    list[str] | None, typer.Argument(metavar="REASON", help="Why, in any words; it is kept with the rollout.")
]
Reason = Annotated[
    list[str], typer.Argument(metavar="REASON", help="What has changed, in any words; it is kept with the rollout.")
]


def prometheus_url(given: str | None) -> str | None:
    """Return the URL of a Prometheus as it was given; raises CommandError if it is none, or has a password."""
    if given is None or URL.fullmatch(given):
        return given or None
    from canary.command_error import CommandError
    from canary.exit_codes import ExitCode

    raise CommandError(
        f"--prometheus (or ${PROMETHEUS_VARIABLE}) is not the URL of a Prometheus",
        ExitCode.CONFIG,
        fix="write http://prometheus.istio-system:9090, for example",
        details=(
            f"given:   {given.rpartition('@')[2]}",
            "allowed: http:// or https://, a host, and if needed a port and a path; no user or password",
        ),
    )


def words_of(reason: list[str] | None, otherwise: str = "") -> str:
    """Return a reason as it was typed, with or without quotes."""
    return " ".join(reason or ()).strip() or otherwise
