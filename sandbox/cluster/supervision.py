"""supervisord, which keeps the sandbox's daemons running: its configuration and its XML-RPC interface.

supervisord is the first process of the sandbox's PID namespace: it reaps orphaned processes, and all processes end with
it. It listens on a Unix socket in the state folder that only root can open. See supervisord.org, "Configuration File"
and "XML-RPC API Documentation".
"""

from __future__ import annotations

import configparser
import io
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from sandbox.cluster.certificates import write_private
from sandbox.cluster.daemons import Daemon
from sandbox.layout import Layout


@dataclass(frozen=True)
class DaemonState:
    """The state of a daemon; `state` is supervisord's name for it (RUNNING, BACKOFF, FATAL, …)."""

    name: str
    state: str
    pid: int
    uptime_seconds: int
    description: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


def write_configuration(layout: Layout, daemons: Sequence[Daemon]) -> bool:
    """Write supervisord's configuration and every daemon's files; return whether any of them changed."""
    parser = configparser.RawConfigParser()
    parser["unix_http_server"] = {"file": str(layout.supervisor_socket), "chmod": "0600"}
    parser["supervisord"] = {
        "logfile": str(layout.logs / "supervisord.log"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": str(layout.run / "supervisord.pid"),
        "childlogdir": str(layout.logs),
        "minfds": "10000",
    }
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    files: dict[Path, str] = {}
    for daemon in daemons:
        files.update(daemon.files)
        parser[f"program:{daemon.name}"] = _program(layout, daemon)
    text = io.StringIO()
    parser.write(text)
    files[layout.config / "supervisord.conf"] = text.getvalue()
    changed = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    for path, content in changed.items():
        write_private(path, content)
    return bool(changed)


def _program(layout: Layout, daemon: Daemon) -> dict[str, str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **daemon.environment}
    return {
        "command": " ".join(daemon.command).replace("%", "%%"),
        "directory": str(layout.root),
        "autostart": "false",  # `up` starts them, and shows which one it waits for
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "10",
        "stopwaitsecs": "3",  # the API server would wait for its watchers; no data is lost
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.logs / f"{daemon.name}.log"),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
        "environment": ",".join(f'{key}="{value}"' for key, value in environment.items()),
    }


class Supervisor:
    """The supervisord of a running sandbox."""

    def __init__(self, layout: Layout) -> None:
        self._socket = f"unix://{layout.supervisor_socket}"

    @property
    def _rpc(self) -> Any:
        """A new connection for each call: the transport cannot reuse one after an error."""
        transport = SupervisorTransport(None, None, self._socket)
        return xmlrpc.client.ServerProxy("http://sandbox", transport=transport).supervisor

    def answers(self) -> bool:
        """Whether supervisord accepts calls."""
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def states(self) -> list[DaemonState]:
        return [
            DaemonState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                uptime_seconds=max(0, info["now"] - info["start"]) if info["pid"] else 0,
                description=info["spawnerr"] or info["description"],
            )
            for info in self._rpc.getAllProcessInfo()
        ]

    def state(self, name: str) -> DaemonState:
        return next(state for state in self.states() if state.name == name)

    def start(self, name: str) -> None:
        """Start a daemon, unless it runs already."""
        try:
            self._rpc.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise
