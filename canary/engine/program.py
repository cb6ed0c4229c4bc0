"""Runs the project's `__main__.py` as an inline program: the engine calls back into this process.

This is the protocol of Pulumi's Automation API (LanguageRuntime, https://www.pulumi.com/docs/iac/automation-api/).
The SDK's Stack class also queries the CLI's version, selects the stack, and reads outputs and history after each run,
which takes about a second on two cores. Here the engine starts at once, while the SDK is being imported.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc

if TYPE_CHECKING:
    from stacks.settings.loading import StackSettings

Handler: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"


@dataclass
class Program:
    """Runs `check`, then `__main__.py` of the project in `root`; `failure` is the exception that they raised, if any.

    `check` returns the uid of the cluster that the stack was last deployed to, None if it is not deployed. With
    `settings`, the program uses these instead of reading the stack's file again. `during_rollout` are the services
    whose route may be changed in the middle of a rollout.
    """

    root: Path
    check: Callable[[], str | None] = lambda: None
    settings: StackSettings | None = None
    during_rollout: frozenset[str] = frozenset()
    failure: BaseException | None = field(default=None)
    loaded: Event = field(default_factory=Event)

    def __call__(self) -> None:
        """Run the program, as the engine's language host does."""
        try:
            cluster = self.check()
            self.loaded.wait()
            _pass_on(self.settings, cluster, self.during_rollout)
            runpy.run_path(str(self.root / "__main__.py"), run_name="__main__")
        except SystemExit as end:  # the program has reported why
            self.failure = end.__context__
            raise RuntimeError(str(end.__context__)) from None
        except BaseException as error:
            self.failure = error
            raise


def _pass_on(settings: StackSettings | None, cluster: str | None, during_rollout: frozenset[str]) -> None:
    """Pass on the stack's cluster, the loaded settings, and whose route may be changed in the middle of a rollout.

    The program loads settings itself if the file names an ESC environment, which only Pulumi resolves.
    """
    from stacks import program, with_rollouts

    program.deployed_to.set(cluster)
    with_rollouts.during_rollout.set(during_rollout)
    if settings is not None and settings.source is not None and not settings.source.has_environment:
        program.loaded.set(settings)


@contextmanager
def served(program: Program, runs: bool) -> Iterator[str]:
    """Serve `program` to the engine; yields the address for the engine's `--client`.

    With `runs`, the modules that the program imports are loaded in advance, else only the SDK is.
    """
    if str(program.root) not in sys.path:
        sys.path.insert(0, str(program.root))
    sys.unraisablehook = _unraisable
    language: Future[Handler] = Future()
    server = grpc.server(ThreadPoolExecutor(max_workers=4), handlers=[_Deferred(language)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    Thread(target=_load, args=(program, language, runs), name="load", daemon=True).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0)


_usual_hook = sys.unraisablehook


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    """Report an exception that nobody can catch, unless it is of a program that the engine has given up.

    When the engine fails in the middle of a run, the SDK closes the event loop and leaves its coroutine alone. That
    finds no loop when it is collected, perhaps in the next run; the run has reported its own error before.
    """
    if getattr(found.object, "__qualname__", "") != "run_in_stack":
        _usual_hook(found)


def _load(program: Program, language: Future[Handler], runs: bool) -> None:
    """Import everything in one thread: concurrent imports of a package can see partially initialized modules."""
    try:
        language.set_result(_language_server(program))
    except Exception as error:  # noqa: BLE001 - raised again where the result is used
        language.set_exception(error)
    if runs:
        # An import error is raised again in the program, and reported there.
        with suppress(Exception):
            _import_for_program()
    program.loaded.set()


def _import_for_program() -> tuple[object, ...]:
    """The imports take more than a second, about as long as the engine takes to start."""
    from lightkube.resources.core_v1 import Namespace
    from pulumi_kubernetes.apps.v1 import Deployment
    from pulumi_kubernetes.core.v1 import Service
    from pulumi_kubernetes.helm.v3 import Release

    from stacks import cluster_facts, environment, program

    return Namespace, Deployment, Service, Release, cluster_facts, environment, program


def _language_server(program: Program) -> Handler:
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import language_pb2_grpc

    collector = _Collector()
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), cast(grpc.Server, collector))
    return collector.handlers[0]


class _Deferred(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """A handler that may still be loading: the engine's first call waits for it."""

    def __init__(self, handler: Future[Handler]) -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handler.result().service(handler_call_details)


class _Collector:
    """Stands in for a server, to collect the handlers that generated code registers."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[Handler]) -> None:
        self.handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Newer generated code also calls this; the generic handler is enough."""
