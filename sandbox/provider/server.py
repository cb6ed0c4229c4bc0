"""The plugin's process: start the gRPC server, tell the engine its port, and go when the engine goes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.provider.engine import Engine
from sandbox.provider.service import Provider

STAND_IN = (
    "kubernetes: this is the stand-in provider of the istio-canary sandbox, "
    "not the official plugin pulumi-resource-kubernetes"
)
# Most operations only wait, so there may be many at once.
THREADS = 128
LOOK_SECONDS = 0.5
# The engine kills a plugin 5 s after it interrupts it.
GRACE_SECONDS = 4.0
_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def engine_address(arguments: list[str]) -> str | None:
    """Return the engine's address: the last argument that is no option."""
    return next((a for a in reversed(arguments) if not a.startswith("-")), None)


def serve(arguments: list[str]) -> int:
    """Serve until the engine is gone or says stop; print nothing on stdout but the port."""
    parent = os.getppid()
    print(STAND_IN, file=sys.stderr, flush=True)
    provider = Provider(Engine(engine_address(arguments)))
    server = grpc.server(ThreadPoolExecutor(max_workers=THREADS), options=_UNLIMITED)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        provider.cancelled.set()
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while not stopped.wait(LOOK_SECONDS):
        if os.getppid() != parent:
            provider.cancelled.set()
            break
    server.stop(GRACE_SECONDS).wait()
    return 0
