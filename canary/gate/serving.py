"""`canary gate serve`: whose canaries it judges, by which Prometheus, where it listens, and how it ends."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.first_write import NAME

if TYPE_CHECKING:
    from canary.ui import Ui
    from kube.kubeconfig import ClusterAccess
    from rollout.gating_facts import ReadGates

TIMEOUT = 5.0
"""Seconds for one query of Prometheus."""
LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    stack: str | None
    namespaces: tuple[str, ...]
    prometheus: str | None
    context: str | None
    listen: str


@dataclass(frozen=True)
class _Judged:
    """Whose canaries are judged, and what makes the reader of one service's gates."""

    cluster: ClusterAccess
    namespaces: Sequence[str]
    reader: Callable[[], ReadGates]


def serve(ui: Ui, asked: Asked) -> None:
    """Serve until SIGINT or SIGTERM; raises CommandError if it cannot begin."""
    from rollout.gate_service.serving import GateServer
    from rollout.gate_service.watching import Canaries, looks_at

    address = address_of(asked.listen)
    judged = _by_namespaces(asked) if asked.namespaces else _by_stack(ui, asked)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    canaries = Canaries(judged.namespaces, looks_at(judged.cluster), judged.reader)
    try:
        server = GateServer(address, canaries)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {asked.listen}: {error.strerror}",
            ExitCode.FAILED,
            fix="give another port with --listen 127.0.0.1:8088, for example; 0 takes a free one",
        ) from None
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server:
        if address[0] not in LOCAL:
            ui.note(f"{address[0]} is reached from other machines too; anybody who reaches it may read the verdicts")
        ui.note(f"serving the gates of {', '.join(judged.namespaces)} on http://{address[0]}:{server.port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        canaries.run(ended)
        server.shutdown()


def address_of(text: str) -> tuple[str, int]:
    """Return an address and port as `--listen` has them; raises CommandError."""
    host, found, port = text.rpartition(":")
    if not found or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise CommandError(
            "--listen is no address with a port",
            ExitCode.CONFIG,
            fix="write --listen 127.0.0.1:8087",
            details=(f"given:   {text}", "allowed: <address>:<port>, the port from 0 to 65535"),
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _by_namespaces(asked: Asked) -> _Judged:
    from canary.rollout.place import KubectlAccess
    from metrics.prometheus import Prometheus
    from rollout.gate_reader import GateReader

    if asked.stack is not None:
        raise CommandError(
            "--stack and --namespace are both given",
            ExitCode.CONFIG,
            fix="keep --stack, whose file names namespaces and Prometheus; or --namespace, with --prometheus",
        )
    for namespace in asked.namespaces:
        if not NAME.fullmatch(namespace):
            raise CommandError(
                "--namespace is not a name of Kubernetes",
                ExitCode.CONFIG,
                fix="see `kubectl get namespaces`",
                details=(
                    f"given:   {namespace}",
                    "allowed: at most 63 lowercase letters, digits and -, first and last a letter or a digit",
                ),
            )
    url = asked.prometheus
    if url is None or not url.startswith(("http://", "https://")):
        raise CommandError(
            "--namespace is given without the URL of a Prometheus",
            ExitCode.CONFIG,
            fix="add --prometheus http://prometheus.istio-system:9090, or what it is called here",
            details=(f"given:   {url or 'nothing'}", "allowed: a URL that begins with http:// or https://"),
        )

    def reader() -> ReadGates:
        gates, prometheus = GateReader(), Prometheus(url, TIMEOUT)
        return lambda record, now: gates.read(record, now, prometheus)

    return _Judged(KubectlAccess(asked.context), asked.namespaces, reader)


def _by_stack(ui: Ui, asked: Asked) -> _Judged:
    from canary.engine.cluster_source import find_cluster
    from canary.engine.session import selected_stack
    from canary.project import choose_stack, find_project
    from canary.rollout.place import Place
    from canary.rollout.prometheus_readings import readings_of
    from stacks.settings.engines import engines_of
    from stacks.settings.loading import load_stack
    from stacks.settings.problems import SettingsError

    for option, value in (("--prometheus", asked.prometheus), ("--context", asked.context)):
        if value is not None:
            raise CommandError(
                f"{option} is given without --namespace",
                ExitCode.CONFIG,
                fix="add --namespace with the namespaces to judge, or leave it out: the stack's file says it",
            )
    project = find_project()
    name = choose_stack(project, asked.stack, lambda: selected_stack(project))
    try:
        loaded = load_stack(project.stack_file(name))
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.CONFIG) from None
    settings = loaded.settings
    judged = [one for one, given in engines_of(settings).items() if given.strategy.gates is not None]
    if not judged:
        raise CommandError(
            f"no rollout of stack {name} has another engine, and gates",
            ExitCode.CONFIG,
            fix="write engine: argo, or engine: flagger, and gates: {} into the strategy of a rule; this project's own "
            "rollouts need no gate service",
        )
    find_cluster(project, name, settings.cluster)
    place = Place(judged[0], settings.services[judged[0]].namespace, settings.cluster, name, loaded)
    namespaces = sorted({settings.services[one].namespace for one in judged})
    return _Judged(settings.cluster, namespaces, lambda: readings_of(ui, place).gates)
