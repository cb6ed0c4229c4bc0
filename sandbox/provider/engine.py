"""Messages to the engine: log lines, and the short-lived status beside a resource in the progress display."""

from __future__ import annotations

import threading

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

INFO = engine_pb2.INFO
WARNING = engine_pb2.WARNING


class Engine:
    """The engine that started this plugin, at ``address``; without an address messages go nowhere."""

    def __init__(self, address: str | None) -> None:
        self._lock = threading.Lock()
        self._stub: engine_pb2_grpc.EngineStub | None = None
        self._last_status: dict[str, str] = {}
        if address:
            self.attach(address)

    def attach(self, address: str) -> None:
        """Send messages to the engine at ``address`` from now on."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def log(self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType = INFO) -> None:
        """Show a message that stays."""
        self._send(urn, message, severity, ephemeral=False)

    def status(self, urn: str, message: str) -> None:
        """Show what is being waited for; an empty message clears it. Repetitions are not sent."""
        with self._lock:
            if self._last_status.get(urn, "") == message:
                return
            self._last_status[urn] = message
        self._send(urn, message, INFO, ephemeral=True)

    def _send(self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool) -> None:
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=5)
        except grpc.RpcError:
            return  # the engine is going away; what it asked for is answered or cancelled elsewhere
